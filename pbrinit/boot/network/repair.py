"""What differs from the plan, and the messages that make it right.

In: what rules, routes and addresses found.  Out: `Repair` values, which tell each other apart by
what they are about.  The words for one are made where a person reads them (`audit.describe`).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

OF_RULE, OF_ROUTE, OF_OWN_ROUTE, OF_ADDRESS, OF_SYSCTL = range(5)
"""What it is about. An own route is one that the kernel makes by itself, after an address."""

MISSING, EXTRA, CHANGED = "missing", "not in the plan", "changed"


class Repair:
    """One difference: its `kind`, its `fault`, the `thing` that it is about, which is equal
    whenever the same difference comes back, and the netlink messages that mend it.
    """

    __slots__ = ("fault", "kind", "messages", "thing")

    def __init__(
        self, kind: int, fault: str, thing: object, messages: tuple[bytes, ...] = ()
    ) -> None:
        self.kind = kind
        self.fault = fault
        self.thing = thing
        self.messages = messages

    @property
    def key(self) -> tuple[int, str, object]:
        """The same for the same difference."""
        return self.kind, self.fault, self.thing

    def describe(self, name: Callable[..., str]) -> str:
        """The difference for a person; `name` says what such a thing is."""
        return f"{self.fault}: {name(self.thing)}"

    def follows_links(self) -> bool:
        """Whether it comes of a link that went down and up: such a one takes its routes and
        addresses along.
        """
        return self.fault == MISSING and self.kind in (OF_ROUTE, OF_ADDRESS)
