"""The audit: what the kernel has, compared with all of the plan, and made right.

In: a `BootPlan` and a `Kernel`.  Out: differences, each with the messages that mend it.  What
only PID 1 can mend, an interface that is not as planned, is `guard`'s.
"""

from __future__ import annotations

import _socket

from pbrinit.boot import addresses, links, routedump, routes, rules, sysctl
from pbrinit.boot.rtnetlink import Kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pbrinit.boot.routedump import Shape
    from pbrinit.boot.routes import Link, Repair
    from pbrinit.bootfile import BootPlan

LOOPBACK = 1
"""Its index in every network namespace (loopback_net_init, drivers/net/loopback.c)."""

KERNELS = {(family, table) for family in routedump.FAMILIES for table in (254, 255)}
"""main and local, in which the kernel makes routes by itself."""


class RoutesError(Exception):
    """Routes that are not in force as planned; the text says which."""


class Audit:
    """A plan to compare with. What routes must be there follows from the links that are up."""

    def __init__(self, plan: BootPlan) -> None:
        self._plan = plan
        self._planned: tuple[list[tuple[str, int]], dict[Shape, routes.Planned]] = ([], {})

    @property
    def count(self) -> int:
        """How many routes were planned when they were last compared."""
        return sum(len(planned.prefixes) for planned in self._planned[1].values())

    def up(self) -> list[Link]:
        """The planned links that are up, with their devices' indexes."""
        here = links.devices()
        return [
            (link, _socket.if_nametoindex(link.device))
            for link in self._plan.links
            if link.device in here and links.is_up(link.device)
        ]

    def rules(self, kernel: Kernel) -> list[Repair]:
        """What is wrong with the rules."""
        return rules.repairs(self._plan, rules.in_force(kernel))

    def sysctls(self) -> dict[str, str]:
        """The value of every sysctl of the plan that is on a device that is there."""
        here = links.devices()
        wanted = dict(self._plan.sysctls)
        for link in self._plan.links:
            wanted |= dict(link.sysctls) if link.device in here else {}
        return wanted | {k: v for k, v in self._plan.last if sysctl.is_there(k)}

    def routes(self, kernel: Kernel, tables: set[tuple[int, int]] | None = None) -> list[Repair]:
        """What is wrong with routes, those of some tables where only they are asked for, and
        with addresses.
        """
        up = self.up()
        key = [(link.device, index) for link, index in up]
        if key != self._planned[0]:
            self._planned = (key, routes.planned(up))
        if tables is not None:
            tables = tables | KERNELS
        found = routedump.in_force(kernel, tables)
        wrong = list(routes.differences(self._planned[1], found, tables))
        book = addresses.Book(kernel)
        others = [(link, index) for link, index in up if index != LOOPBACK]
        wrong += addresses.differences(others, LOOPBACK, book)
        return wrong + list(addresses.own_differences(others, LOOPBACK, book, found.own))


def check_routes(plan: BootPlan) -> int:
    """See that the routes are those of the links that are up, before any other link is; how many.

    Raises RoutesError.
    """
    audit = Audit(plan)
    with Kernel() as kernel:
        wrong = audit.routes(kernel)
    if wrong:
        told = [text for text, _ in wrong if text][:3]
        raise RoutesError(f"the routes read back differ, {len(wrong)} in all: {'; '.join(told)}")
    return audit.count
