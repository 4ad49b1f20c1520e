"""The terms of the proof: what is known of a packet, and what a look-up ends with.

In: classes of addresses, z3 variables.  Out: values that `symbolic_fib`, `symbolic_kernel` and
`encoding` share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

import z3

from pbrinit.net.addresses import Address, Prefix
from pbrinit.net.martians import UNSPECIFIED
from pbrinit.net.services import Ports
from pbrinit.net.special_addresses import LIMITED_BROADCAST, LOCAL_MULTICAST
from pbrinit.plan.plan import RouteType

RESULT_BITS = 16
PORT_BITS = 16
UID_BITS = 32


NO_USER = (1 << UID_BITS) - 1

SPECIAL: dict[str, tuple[Prefix, ...]] = {
    "group": (IPv4Network("224.0.0.0/4"), IPv6Network("ff00::/8")),
    "near group": (LOCAL_MULTICAST,),
    "to all": (LIMITED_BROADCAST,),
    "loopback": (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128")),
    "loopback broadcast": (IPv4Network("127.255.255.255/32"),),
    "unspecified": (IPv4Network(UNSPECIFIED), IPv6Network("::/128")),
    "link-local": (IPv6Network("fe80::/10"),),
    "no scope": tuple(
        IPv6Network((0xFF << 120 | flags << 116 | scope << 112, 16))
        for flags in range(16)
        for scope in (0, 1)
    ),
}
"""What the kernel tells apart by itself (martians.py, kernel.py)."""


@dataclass(frozen=True)
class Result:
    """What a look-up ends with: a route of a kind by a device, to a router of its link or on the
    link itself, or no route. `group` says whether the route is to a group, which decides in IPv6
    what is delivered (ip6_rt_init_dst).
    """

    type: RouteType | None = None
    device: str | None = None
    group: bool = False
    router: Address | None = None


NO_ROUTE, REFUSED, PROHIBITED = Result(), Result(RouteType.BLACKHOLE), Result(RouteType.PROHIBIT)
FAILED = (NO_ROUTE, REFUSED, PROHIBITED)
"""No rule took it; a rule or a route refused, in silence or telling."""

NONE = FAILED.index(NO_ROUTE)


class Results:
    """Numbers for the results that a plan's look-ups can have; NONE is no route."""

    def __init__(self) -> None:
        self.known: list[Result] = [*FAILED]

    def number(self, result: Result) -> int:
        """The number of a result."""
        if result not in self.known:
            self.known.append(result)
        return self.known.index(result)

    def among(self, found: z3.BitVecRef, wanted: Callable[[Result], bool]) -> z3.BoolRef:
        """Whether the result is one of those wanted."""
        return any_of(found == n for n, result in enumerate(self.known) if wanted(result))


def failed(results: Results, found: z3.BitVecRef) -> z3.BoolRef:
    """Whether the look-up fails."""
    return results.among(found, lambda result: result in FAILED)


class AddressClassVar:
    """One end of a packet: the class of its address, as a variable or known."""

    def __init__(self, value: z3.BitVecRef | int) -> None:
        self.value = value
        self._within: dict[int, z3.BoolRef | bool] = {}

    def within(self, mask: int) -> z3.BoolRef | bool:
        """Whether the class is among those of `mask`."""
        if isinstance(self.value, int):
            return bool(mask >> self.value & 1)
        if mask not in self._within:
            self._within[mask] = any_of(self.value == n for n in bits(mask))
        return self._within[mask]


@dataclass(frozen=True)
class PacketVars:
    """What a packet has, as it is looked up; ends as classes of addresses."""

    source: AddressClassVar
    destination: AddressClassVar
    source_port: z3.BitVecRef | int
    destination_port: z3.BitVecRef | int
    uid: z3.BitVecRef | int


@dataclass(frozen=True)
class SymbolicFlow:
    """What is looked up (`fib.Flow`). Ports and user are variables or numbers.

    `strict` are the classes of destinations for which only routes by the device count.
    """

    iif: str
    protocol: int
    source: AddressClassVar
    destination: AddressClassVar
    source_port: z3.BitVecRef | int
    destination_port: z3.BitVecRef | int
    uid: z3.BitVecRef | int = 0
    oif: str | None = None
    strict: int = 0


def any_of(parts: Iterable[z3.BoolRef | bool]) -> z3.BoolRef:
    """The disjunction; false where there are none."""
    return z3.Or(*parts)


def bits(mask: int) -> Iterable[int]:
    """The numbers of the bits that are set."""
    return (n for n in range(mask.bit_length()) if mask >> n & 1)


def in_ports(port: z3.BitVecRef | int, ports: Ports) -> z3.BoolRef | bool:
    """Whether a port is in a range."""
    if isinstance(port, int):
        return ports.first <= port <= ports.last
    if ports.first == ports.last:
        return port == ports.first
    above = [z3.UGE(port, ports.first)] if ports.first else []
    below = [z3.ULE(port, ports.last)] if ports.last < (1 << PORT_BITS) - 1 else []
    return z3.And(*above, *below)
