"""Where things stand in a plan: bands of preferences, numbers of tables.

In: nothing.  Out: numbers and their names.  The bands are explained, in this order, in
docs/how-it-filters.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network

from pbrinit.addresses import Family, InterfaceAddress, Prefix
from pbrinit.plan import TABLE_LOCAL, TABLE_MAIN, Action, Rule

LOOPBACK = "lo"

TABLE_SINK = 100
TABLE_HAIRPIN = 1000
TABLE_BY = 2000

DISPATCH = 0
OUTPUT = 100_000
OUTPUT_ASKS = 110_000
OUTPUT_ANSWERS = 140_000
OUTPUT_RETURNS = 170_000
OUTPUT_REFUSED = 190_000
INPUT = 200_000
INPUT_ALLOWED = 10_000
INPUT_REFUSED = 99_000
INPUT_SIZE = 100_000
TAIL = 10_000_000

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


class TooLargeError(Exception):
    """A policy with more rules than a band holds; the text says which band."""


def place(band: str, first: int, end: int, rules: Iterator[Rule]) -> Iterator[Rule]:
    """Give the rules of one band their preferences, from `first` on and below `end`."""
    for preference, rule in enumerate(rules, first):
        if preference >= end:
            family = f"IPv{rule.family.version}"
            raise TooLargeError(f"{band} needs more than {end - first} rules in {family}")
        yield replace(rule, preference=preference)


def host(address: InterfaceAddress) -> Prefix:
    """The one address as a prefix of full length."""
    return (
        IPv4Network(address.ip.packed)
        if address.version == Family.V4.version
        else IPv6Network(address.ip.packed)
    )
