"""Where things stand in a plan: bands of preferences, numbers of tables.

In: nothing.  Out: numbers and their names.  The bands are explained, in this order, in
docs/how-it-filters.md.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from pbrinit.net.addresses import Family, InterfaceAddress, Prefix
from pbrinit.plan.plan import TABLE_LOCAL, TABLE_MAIN, Action, Rule

LOOPBACK = "lo"

TABLE_SINK = 100
TABLE_LOG = 101
TABLE_DHCP, TABLE_ROUTERS = 200, 201
TABLE_HAIRPIN = 1000
TABLE_ROOMS = 2000
TABLE_SETS = 3000

DISPATCH = 0
OUTPUT = 100_000
INPUT = 200_000
INPUT_SIZE = 100_000
TAIL = 10_000_000
ROOMS = 11_000_000
ROOM_SIZE = 20_000

FEW = 8
"""As many prefixes of a set as are written as rules, some 26 ns each; more are a table."""

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


class CompileError(Exception):
    """A policy that makes no plan, although each of its entries is sound; the text says why."""


ALL_ROUTERS = IPv6Network("ff02::2/128")
"""Those of one link (RFC 4291, section 2.7.1)."""


def host(address: InterfaceAddress) -> Prefix:
    """The one address as a prefix of full length."""
    return (
        IPv4Network(address.ip.packed)
        if address.version == Family.V4.version
        else IPv6Network(address.ip.packed)
    )
