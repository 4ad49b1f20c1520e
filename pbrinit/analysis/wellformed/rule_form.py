"""Whether the kernel reads each rule of a plan as the plan means it.

In: a `Plan`.  Out: `Claim` values.  The numbers are the kernel's and IANA's, written here and not
taken from the compiler; functions named are those of Linux 6.12.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from pbrinit.analysis.claim import Claim, Flaw
from pbrinit.net.addresses import Family, Prefix
from pbrinit.net.services import Ports
from pbrinit.plan.ip_commands import rule_command
from pbrinit.plan.plan import Action, Plan, Rule

LAST_PREFERENCE = 19_999_999
"""A plan ends below the place of the next one. Preference 0 is the gate's, which leads to one of
two plans while both are there."""

UNSPECIFIED, COMPATIBLE, DEFAULT, MAIN, LOCAL = 0, 252, 253, 254, 255
"""Tables with a meaning of their own (RT_TABLE_* in linux/rtnetlink.h). A look-up of table 0 is in
a new and empty table in IPv4 (fib4_rule_configure), and is refused in IPv6 (fib6_rule_configure).
"""

OF_NOBODY = frozenset({UNSPECIFIED, COMPATIBLE, DEFAULT})
LAST_TABLE = 999_999
"""The tables of a plan end below those of the next one."""

WITH_PORTS = frozenset({6, 17})
"""TCP and UDP. SCTP, DCCP, UDP-Lite, AH and ESP have something in the place of ports too
(skb_flow_get_ports), so a rule with ports and without a protocol matches them."""

WITH_TYPES = {Family.V4: 1, Family.V6: 58}
"""ICMP. Output has type and code in the place of the destination port (union flowi_uli)."""

LAST_PROTOCOL = 255
FIRST_PORT, LAST_PORT = 1, 65534
"""The kernel refuses ports 0 and 65535 in a rule (fib_rule_port_range_valid)."""

LAST_USER = (1 << 32) - 2
"""4294967295 is no user (uid_valid)."""


def claims(plan: Plan) -> Iterator[Claim]:
    """Everything that is to hold of the rules alone."""
    yield Claim(
        f"each rule has a preference of its own in its family, from 1 to {LAST_PREFERENCE}",
        tuple(_preferences(plan.rules)),
    )
    targets = {(rule.family, rule.preference) for rule in plan.rules}
    devices = frozenset(link.device for link in plan.links)
    for text, flaw in (
        ("each goto leads on to a rule of its family", lambda rule: _target(rule, targets)),
        ("each look-up is in main, in local or in a table of the plan", _table),
        (f"each protocol of a rule is from 1 to {LAST_PROTOCOL}", _protocol),
        ("only TCP and UDP have ports in rules, and ICMP types; no rule has port 0 or 65535",
         _ports),
        (f"each user of a rule is from 0 to {LAST_USER}", _user),
        ("each prefix of a rule is of its family, and is not everybody", _prefixes),
        ("each device of a rule is set up by the plan", lambda rule: _devices(rule, devices)),
    ):  # fmt: skip
        yield Claim(text, tuple(_flaws(plan.rules, flaw)))


def is_own_table(number: int) -> bool:
    """Whether a table can be a plan's own, or is main or local."""
    return 0 <= number <= LAST_TABLE and number not in OF_NOBODY


def _flaws(rules: Iterable[Rule], flaw: Callable[[Rule], str | None]) -> Iterator[Flaw]:
    for rule in rules:
        why = flaw(rule)
        if why is not None:
            yield Flaw(rule_command(rule), why)


def _preferences(rules: Iterable[Rule]) -> Iterator[Flaw]:
    taken: dict[tuple[Family, int], Rule] = {}
    for rule in rules:
        if not 1 <= rule.preference <= LAST_PREFERENCE:
            yield Flaw(rule_command(rule), "no rule of a plan can have this preference")
        first = taken.setdefault((rule.family, rule.preference), rule)
        if first is not rule:
            yield Flaw(rule_command(rule), f"so has another rule: {rule_command(first)}")


def _target(rule: Rule, targets: set[tuple[Family, int]]) -> str | None:
    """A goto to a rule that is not there is passed over (fib_rules_lookup), and one that leads
    back is refused (fib_nl2rule).
    """
    if rule.action is not Action.GOTO:
        return None
    if rule.argument is None or (rule.family, rule.argument) not in targets:
        return "it leads to no rule, so the kernel passes it over"
    if rule.argument <= rule.preference:
        return "it does not lead on, which the kernel refuses"
    return None


def _table(rule: Rule) -> str | None:
    if rule.action is Action.GOTO:
        return None
    if rule.action is not Action.LOOKUP:
        return None if rule.argument is None else "such a rule has no argument"
    if rule.argument is None or not is_own_table(rule.argument):
        return "no plan has such a table"
    return None


def _protocol(rule: Rule) -> str | None:
    if rule.protocol == 0:
        return "protocol 0 is any protocol to the kernel"
    if rule.protocol is not None and not 1 <= rule.protocol <= LAST_PROTOCOL:
        return "there is no such protocol"
    return None


def _ports(rule: Rule) -> str | None:
    if rule.source_ports is None and rule.destination_ports is None:
        return None
    for ports in (rule.source_ports, rule.destination_ports):
        if ports is not None and not _is_range(ports):
            return f"the kernel refuses the ports {ports}"
    if rule.protocol is None:
        return "ports without a protocol are those of SCTP and of ESP as well"
    with_types = rule.protocol == WITH_TYPES[rule.family] and rule.source_ports is None
    if rule.protocol not in WITH_PORTS and not with_types:
        return f"protocol {int(rule.protocol)} has no ports here"
    return None


def _is_range(ports: Ports) -> bool:
    return FIRST_PORT <= ports.first <= ports.last <= LAST_PORT


def _user(rule: Rule) -> str | None:
    return None if rule.uid is None or 0 <= rule.uid <= LAST_USER else "there is no such user"


def _prefixes(rule: Rule) -> str | None:
    """A prefix of length 0 is told back as if there were none (fib4_rule_fill, fib6_rule_fill), so
    the rule that is read back is another.
    """
    prefixes: tuple[Prefix | None, ...] = (rule.source, rule.destination)
    for prefix in prefixes:
        if prefix is not None and prefix.version != rule.family.version:
            return f"{prefix} is of the other family"
        if prefix is not None and prefix.prefixlen == 0:
            return f"the kernel reads the rule back without {prefix}"
    return None


def _devices(rule: Rule, devices: frozenset[str]) -> str | None:
    for device in (rule.iif, rule.oif):
        if device is not None and device not in devices:
            return f"the plan has no device {device}"
    return None
