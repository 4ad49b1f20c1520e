"""Own addresses that somebody on the link says are his: asked again, and used in the end.

In: the links that are up.  Out: the addresses set anew, and a line for each time.

The kernel does not use an IPv6 address for which another host answers while it is tried, or asks
too (RFC 4862, 5.4; addrconf_dad_failure, net/ipv6/addrconf.c), and never tries it again.  One frame
of a neighbour would be enough to take an address away for good.  So it is tried again, and after
some times it is used all the same, as an IPv4 address is: the policy says whose it is.
"""

from __future__ import annotations

from pbrinit.boot.network import addresses
from pbrinit.boot.system.log import seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pbrinit.boot.network.routes import Link
    from pbrinit.boot.state.guard_status import GuardStatus
    from pbrinit.wire.netlink.socket import Kernel

MOST_TRIES = 3
"""So often an address is tried, the first time included, before it is used all the same."""

PAUSE_SECONDS = 2.0
FORGET_SECONDS = 60.0
"""An address that was in use for so long is tried from the beginning the next time."""


class Duplicates:
    """How often each address was tried, and when for the last time. `is_waiting`: one is refused
    whose pause is not over.
    """

    def __init__(self, status: GuardStatus) -> None:
        self._status = status
        self._tries: dict[tuple[int, bytes], tuple[int, float]] = {}
        self.is_waiting = False

    def repair(self, kernel: Kernel, links: Iterable[Link]) -> None:
        """Set those anew that the kernel does not use and whose pause is over. That one is refused
        again, the kernel reports as a change.
        """
        now = seconds()
        self.is_waiting = False
        for refused in addresses.refused(links, addresses.Addresses(kernel)):
            key = (refused.index, refused.own)
            tries, at = self._tries.get(key, (1, 0.0))
            if now < at + PAUSE_SECONDS:
                self.is_waiting = True
                continue
            if now > at + FORGET_SECONDS:
                tries = 1
            is_last = tries >= MOST_TRIES
            self._tries[key] = (tries + 1, now)
            told = "it is used all the same" if is_last else "it is tried again"
            self._status.log(f"{refused.text}: another host says that it is his; {told}")
            kernel.attempt([refused.removal, refused.untried if is_last else refused.again])
