"""The audit: what the kernel has, compared with all of the plan, and made right.

In: a `BootPlan` and a `Kernel`.  Out: differences, each with the messages that mend it.  What
only PID 1 can mend, an interface that is not as planned, is `guard`'s.
"""

from __future__ import annotations

import _socket
import contextlib

from pbrinit.boot.network import addresses, links, routes, rules
from pbrinit.boot.network.repair import OF_ADDRESS, OF_OWN_ROUTE, OF_ROUTE, OF_RULE, OF_SYSCTL
from pbrinit.boot.system import sysctl
from pbrinit.wire.netlink import route_dump
from pbrinit.wire.netlink.socket import Kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pbrinit.boot.network.repair import Repair
    from pbrinit.boot.network.routes import Link
    from pbrinit.wire.bootplan import BootPlan
    from pbrinit.wire.netlink.route_dump import Shape

LOOPBACK = 1
"""Its index in every network namespace (loopback_net_init, drivers/net/loopback.c)."""

FEW, SHOWN = 3, 10
"""How many differences an error names, and how many of a kind a person sees one by one."""

KERNELS = {(family, table) for family in route_dump.FAMILIES for table in (254, 255)}
"""main and local, in which the kernel makes routes by itself."""


class RoutesError(Exception):
    """Routes that are not in force as planned; the text says which."""


class Audit:
    """A plan to compare with. What routes must be there follows from the links that are up."""

    def __init__(self, plan: BootPlan) -> None:
        self._plan = plan
        self._rooms = {link.device for link in plan.links if link.room}
        self._planned: tuple[list[tuple[str, int]], dict[Shape, routes.PlannedRoutes]] = ([], {})

    @property
    def count(self) -> int:
        """How many routes were planned when they were last compared."""
        return sum(len(planned.prefixes) for planned in self._planned[1].values())

    def links_up(self) -> list[Link]:
        """The planned links that are up, with their devices' indexes."""
        indexes = _indexes()
        return [
            (link, indexes[link.device])
            for link in self._plan.links
            if link.device in indexes and links.is_ready(link) and links.is_up(link.device)
        ]

    def rules(self, kernel: Kernel) -> list[Repair]:
        """What is wrong with the rules."""
        return rules.repairs(self._plan, rules.in_force(kernel))

    def sysctls(self) -> dict[str, str]:
        """The value of every sysctl of the plan that is on a device that is there."""
        devices = links.devices()
        wanted = dict(self._plan.sysctls)
        for link in self._plan.links:
            wanted |= dict(link.sysctls) if link.device in devices and links.is_ready(link) else {}
        return wanted | {k: v for k, v in self._plan.forwarding_sysctls if sysctl.exists(k)}

    def routes(self, kernel: Kernel, tables: set[tuple[int, int]] | None = None) -> list[Repair]:
        """What is wrong with routes, those of some tables where only they are asked for, and
        with addresses.

        Left out are those of a device that came or went meanwhile, or of a room that was not there
        all the time: the kernel tells of it, and they are looked at again.
        """
        present, before = _indexes(), self.links_up()
        if tables is not None:
            tables = tables | KERNELS
        dumped = route_dump.in_force(kernel, tables)
        book = addresses.Addresses(kernel)
        after = {(link.device, index) for link, index in self.links_up()}
        up = [(link, index) for link, index in before if (link.device, index) in after]
        gone = {index for _, index in before} - {index for _, index in up}
        indexes = {index for device, index in present.items() if device not in self._rooms} - gone
        indexes |= {index for _, index in up}
        key = [(link.device, index) for link, index in up]
        if key != self._planned[0]:
            self._planned = (key, routes.planned_routes(up))
        wrong = list(routes.differences(self._planned[1], dumped, indexes, tables))
        others = [(link, index) for link, index in up if index != LOOPBACK]
        wrong += addresses.differences(others, LOOPBACK, book)
        return wrong + list(addresses.own_differences(others, LOOPBACK, book, dumped.own, indexes))


def _indexes() -> dict[str, int]:
    """The index of each device; one that is just going has none."""
    indexes = {}
    for device in links.devices():
        with contextlib.suppress(OSError):
            indexes[device] = _socket.if_nametoindex(device)
    return indexes


def check_routes(plan: BootPlan) -> int:
    """See that the routes are those of the links that are up, before any other link is; how many.

    Raises RoutesError.
    """
    audit = Audit(plan)
    with Kernel() as kernel:
        wrong = audit.routes(kernel)
    if wrong:
        texts = "; ".join(describe(repair) for repair in wrong[:FEW])
        raise RoutesError(f"the routes read back differ, {len(wrong)} in all: {texts}")
    return audit.count


def describe(repair: Repair) -> str:
    """What differs, for a person."""
    return repair.describe(NAMES[repair.kind])


def describe_all(repairs: Iterable[Repair]) -> list[str]:
    """All that differs, for a person: a line each, and where many of one kind do, how many more."""
    kinds: dict[tuple[int, str], list[Repair]] = {}
    for repair in repairs:
        kinds.setdefault((repair.kind, repair.fault), []).append(repair)
    lines = []
    for (_, fault), alike in kinds.items():
        lines += [describe(repair) for repair in alike[:SHOWN]]
        if len(alike) > SHOWN:
            lines.append(f"{fault}: {len(alike) - SHOWN} more of this kind")
    return lines


NAMES: dict[int, Callable[..., str]] = {
    OF_RULE: rules.name,
    OF_ROUTE: routes.name,
    OF_OWN_ROUTE: addresses.name_own,
    OF_ADDRESS: addresses.name,
    OF_SYSCTL: str,
}
"""How each kind of thing is named for a person."""
