"""What is configured in the kernel: rules, routes, sysctls and links, in order, as plain values.

In: nothing (values only).  Out: `Plan`.  The compiler makes it; the encoder, `show` and the model
take it.  Two equal plans make equal machines.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from pbrinit.net.addresses import Address, Family, InterfaceAddress, Prefix
from pbrinit.net.services import Ports
from pbrinit.policy.assigned import DynamicInterface
from pbrinit.policy.policy import STAY, Metrics, OnFailure
from pbrinit.policy.programs import Program, User
from pbrinit.wire.netlink import constants as nl

TABLE_MAIN = nl.RT_TABLE_MAIN
TABLE_LOCAL = nl.RT_TABLE_LOCAL


class Action(enum.Enum):
    """What a rule does with a packet that it matches (ip-rule(8), FR_ACT_* in fib_rules.h)."""

    LOOKUP = "lookup"
    GOTO = "goto"
    NOP = "nop"
    BLACKHOLE = "blackhole"
    PROHIBIT = "prohibit"


@dataclass(frozen=True)
class Rule:
    """One ip rule. Every selector that is not None must match.

    `argument` is the table of a lookup, or the preference that a goto leads to.  `note` says why
    the rule is there, and `entries` are the keys of the policy's entries that it is for.
    """

    family: Family
    preference: int
    action: Action
    argument: int | None = None
    iif: str | None = None
    oif: str | None = None
    source: Prefix | None = None
    destination: Prefix | None = None
    protocol: int | None = None
    source_ports: Ports | None = None
    destination_ports: Ports | None = None
    uid: int | None = None
    note: str = ""
    entries: tuple[str, ...] = ()


class RouteType(enum.IntEnum):
    """The route types by the kernel's numbers (RTN_* in linux/rtnetlink.h)."""

    UNICAST = nl.RTN_UNICAST
    LOCAL = nl.RTN_LOCAL
    BROADCAST = nl.RTN_BROADCAST
    ANYCAST = nl.RTN_ANYCAST
    MULTICAST = nl.RTN_MULTICAST
    BLACKHOLE = nl.RTN_BLACKHOLE
    PROHIBIT = nl.RTN_PROHIBIT
    THROW = nl.RTN_THROW

    @property
    def word(self) -> str:
        """The type as ip-route(8) writes it."""
        return self.name.lower()


WITHOUT_DEVICE = (RouteType.THROW, RouteType.BLACKHOLE, RouteType.PROHIBIT)
"""The types without a device; in IPv6 the kernel gives them loopback (fib6_nh_init)."""


@dataclass(frozen=True)
class Route:
    """One route. `destination` None is the default; the device is that of the link that holds it.

    `source`, in IPv6 only, is the prefix that packets must come from (IPV6_SUBTREES).  `preferred`
    is the source address of packets that leave by the route and have none yet.

    A gateway is set `onlink`, so that the kernel does not look it up. In IPv4 that look-up
    (fib_check_nh_v4_gw, net/ipv4/fib_semantics.c) goes through the rules and would end in the
    hairpin, whereupon the gateway is silently not used. In IPv6 it goes through the rules where
    the route's own table does not reach the gateway (ip6_route_check_nh, net/ipv6/route.c), and
    would be refused.
    """

    family: Family
    table: int
    type: RouteType
    destination: Prefix | None = None
    gateway: Address | None = None
    source: Prefix | None = None
    note: str = ""
    preferred: Address | None = None

    @property
    def onlink(self) -> bool:
        """Whether the kernel takes the gateway as on the link, without a look-up."""
        return self.gateway is not None


@dataclass(frozen=True)
class Sysctl:
    """One file below /proc/sys, its value, and why it has this value."""

    key: str
    value: str
    note: str


@dataclass(frozen=True)
class Link:
    """An interface that is set up, and what is set on it, in this order: sysctls, up, the routes
    that come before any address, addresses, routes.

    With `mac`, the device with that MAC address is first renamed to `device`.  The link of a room
    exists as long as its program runs.
    """

    name: str
    device: str
    mac: str | None
    sysctls: tuple[Sysctl, ...]
    preaddress_routes: tuple[Route, ...]
    addresses: tuple[InterfaceAddress, ...]
    routes: tuple[Route, ...]

    @property
    def has_ipv6(self) -> bool:
        """Whether IPv6 is on; the device of a room has IPv6 without an address."""
        return self._set("disable_ipv6", "0")

    @property
    def has_link_local(self) -> bool:
        """Whether the kernel gives it a link-local address and the link-local prefix
        (addrconf_addr_gen, net/ipv6/addrconf.c).
        """
        return self.has_ipv6 and not self._set("addr_gen_mode", "1")

    def _set(self, key: str, value: str) -> bool:
        path = f"net/ipv6/conf/{self.device}/{key}"
        return any((sysctl.key, sysctl.value) == (path, value) for sysctl in self.sysctls)


@dataclass(frozen=True)
class Room:
    """The network namespace of one program: what is set on its loopback and its eth0, in this
    order: sysctls, up, addresses, routes.

    `device` is the other end of eth0, a link of the plan. Both ends have the MAC address `mac` and
    no address resolution (IFF_NOARP), so a frame always reaches the other end.
    `first_id` is the number that user 0 of the room has on the machine (`policy.room_ids`).
    """

    device: str
    mac: str
    client_ports: Ports
    first_id: int
    sysctls: tuple[Sysctl, ...]
    addresses: tuple[InterfaceAddress, ...]
    routes: tuple[Route, ...]


@dataclass(frozen=True)
class PlannedProgram:
    """A program that is kept running, and its room if it has one."""

    program: Program
    room: Room | None


@dataclass(frozen=True)
class Plan:
    """Everything, in the order in which it is done: sysctls, rules, links, forwarding, programs.

    `summary` has a sentence for each entry of the policy; `on_failure` is what is done where the
    plan cannot be put in force, or cannot be kept in force.  `forwarding_sysctls` switch forwarding
    on, after all links are as planned; there are none where the policy forwards nothing.
    `dynamic_interfaces` are the same with `assignments` and without.
    """

    hostname: str
    summary: tuple[str, ...]
    users: tuple[User, ...]
    sysctls: tuple[Sysctl, ...]
    rules: tuple[Rule, ...]
    links: tuple[Link, ...]
    tables: tuple[tuple[int, str], ...]
    forwarding_sysctls: tuple[Sysctl, ...] = ()
    on_failure: OnFailure = STAY
    programs: tuple[PlannedProgram, ...] = ()
    metrics: Metrics | None = None
    log: bool = False
    dynamic_interfaces: tuple[DynamicInterface, ...] = ()
    assignments: tuple[str, ...] = ()

    @property
    def forwards(self) -> bool:
        """Whether it forwards packets that are not for this machine."""
        return bool(self.forwarding_sysctls)

    def forwards_from(self, family: Family, device: str) -> bool:
        """Whether packets that arrive by the device are forwarded: IPv4 has a switch for each
        device (IN_DEV_FORWARD), IPv6 one for the machine (ip6_forward).
        """
        key = "net/ipv6/conf/all/forwarding"
        if family is Family.V4:
            key = f"net/ipv4/conf/{device}/forwarding"
        return any(sysctl.key == key and sysctl.value == "1" for sysctl in self.forwarding_sysctls)


LOOPBACK = "lo"


TABLE_DEFAULT = nl.RT_TABLE_DEFAULT


KERNEL_RULES = tuple(
    Rule(family, preference, Action.LOOKUP, table)
    for family, preference, table in (
        (Family.V4, 32767, TABLE_DEFAULT),
        (Family.V4, 32766, TABLE_MAIN),
        (Family.V4, 0, TABLE_LOCAL),
        (Family.V6, 32766, TABLE_MAIN),
        (Family.V6, 0, TABLE_LOCAL),
    )
)
"""The rules that a network namespace starts with, in the order in which they are removed:
fib_default_rules_init (net/ipv4/fib_rules.c), fib6_rules_net_init (net/ipv6/fib6_rules.c)."""
