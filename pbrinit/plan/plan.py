"""What the kernel is told: rules, routes, sysctls and links, in order, as plain values.

In: nothing (values only).  Out: `Plan`.  The compiler makes it; netlink, show, the model
and the audit take it.  Two equal plans make equal machines.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from pbrinit.net.addresses import Address, Family, InterfaceAddress, Prefix
from pbrinit.net.services import Ports
from pbrinit.policy.assigned import Awaits
from pbrinit.policy.policy import STAY, Metrics, OnFailure
from pbrinit.policy.programs import Run, User

TABLE_MAIN = 254
TABLE_LOCAL = 255


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

    `argument` is the table of a lookup and the preference a goto jumps to.  `note` says
    which part of the policy asked for it.
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


class RouteKind(enum.Enum):
    """The route types in use (ip-route(8), RTN_* in rtnetlink.h)."""

    UNICAST = "unicast"
    LOCAL = "local"
    BROADCAST = "broadcast"
    THROW = "throw"
    BLACKHOLE = "blackhole"
    PROHIBIT = "prohibit"


WITHOUT_DEVICE = (RouteKind.THROW, RouteKind.BLACKHOLE, RouteKind.PROHIBIT)
"""The kinds that name no device; in IPv6 the kernel gives them loopback (fib6_nh_init)."""


@dataclass(frozen=True)
class Route:
    """One route. `destination` None is the default; the device is the link's that holds it.

    `source`, in IPv6 alone, is the prefix that a packet must come from (IPV6_SUBTREES).
    `preferred` is the address that those get who leave by it and have none yet.

    A gateway is said to be on the link and not looked up: IPv4's look-up (fib_check_nh_v4_gw,
    net/ipv4/fib_semantics.c) goes through the rules, as any, and would end in the hairpin,
    whereupon the gateway is silently not used; IPv6's (ip6_route_check_nh, net/ipv6/route.c)
    does where the route's own table has no way to the gateway, and would be refused.
    """

    family: Family
    table: int
    kind: RouteKind
    destination: Prefix | None = None
    gateway: Address | None = None
    source: Prefix | None = None
    note: str = ""
    preferred: Address | None = None

    @property
    def onlink(self) -> bool:
        """Whether the gateway is taken for on link without a look-up."""
        return self.gateway is not None


@dataclass(frozen=True)
class Sysctl:
    """One file below /proc/sys, its value and why."""

    key: str
    value: str
    note: str


@dataclass(frozen=True)
class Link:
    """An interface that goes up, and what is set on it, in this order: sysctls, up, routes
    before any address, addresses, routes.

    Where `mac` is given, the device that has it is first renamed to `device`.  The link of a
    room comes and goes with its program.
    """

    name: str
    device: str
    mac: str | None
    sysctls: tuple[Sysctl, ...]
    early_routes: tuple[Route, ...]
    addresses: tuple[InterfaceAddress, ...]
    routes: tuple[Route, ...]

    @property
    def speaks_six(self) -> bool:
        """Whether IPv6 is on; the door of a room has no address of it."""
        return self._set("disable_ipv6", "0")

    @property
    def makes_link_local(self) -> bool:
        """Whether the kernel gives it an address of its link, and the prefix of all of them
        (addrconf_addr_gen, net/ipv6/addrconf.c).
        """
        return self.speaks_six and not self._set("addr_gen_mode", "1")

    def _set(self, key: str, value: str) -> bool:
        path = f"net/ipv6/conf/{self.device}/{key}"
        return any((sysctl.key, sysctl.value) == (path, value) for sysctl in self.sysctls)


@dataclass(frozen=True)
class Room:
    """The network namespace of one program: what its loopback and its eth0 get, in this order:
    sysctls, up, addresses, routes.

    `device` is the other end of eth0, a link of the plan; both ends have `mac`, and since no
    address is asked for on either (IFF_NOARP), a frame is for whoever is at the other end.
    """

    device: str
    mac: str
    clients: Ports
    sysctls: tuple[Sysctl, ...]
    addresses: tuple[InterfaceAddress, ...]
    routes: tuple[Route, ...]


@dataclass(frozen=True)
class Program:
    """A program that is kept running, in its room if it has one."""

    run: Run
    room: Room | None


@dataclass(frozen=True)
class Plan:
    """Everything, in the order in which it is done: sysctls, rules, links, last sysctls, programs.

    `summary` has a sentence for each entry of the policy; `on_failure` is what is done where
    the plan cannot be put in force, or kept so.  `last` switches forwarding on, once
    all links are as planned; it is empty where the policy forwards nothing.  `awaits` is the same
    with what is `given` and without.
    """

    hostname: str
    summary: tuple[str, ...]
    users: tuple[User, ...]
    sysctls: tuple[Sysctl, ...]
    rules: tuple[Rule, ...]
    links: tuple[Link, ...]
    tables: tuple[tuple[int, str], ...]
    last: tuple[Sysctl, ...] = ()
    on_failure: OnFailure = STAY
    programs: tuple[Program, ...] = ()
    metrics: Metrics | None = None
    log: bool = False
    awaits: tuple[Awaits, ...] = ()
    given: tuple[str, ...] = ()

    @property
    def forwards(self) -> bool:
        """Whether packets that are not for this machine may pass through it."""
        return bool(self.last)

    def passes_on(self, family: Family, device: str) -> bool:
        """Whether packets that arrive by the device may pass through in the end: IPv4 asks the
        device (IN_DEV_FORWARD), IPv6 the whole machine (ip6_forward).
        """
        key = "net/ipv6/conf/all/forwarding"
        if family is Family.V4:
            key = f"net/ipv4/conf/{device}/forwarding"
        return any(sysctl.key == key and sysctl.value == "1" for sysctl in self.last)


LOOPBACK = "lo"


TABLE_DEFAULT = 253


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
"""What a network namespace starts with, in the order in which it is taken away:
fib_default_rules_init (net/ipv4/fib_rules.c), fib6_rules_net_init (net/ipv6/fib6_rules.c)."""
