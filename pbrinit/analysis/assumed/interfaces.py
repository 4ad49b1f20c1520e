"""Whether the machine has the interfaces, and on each the addresses, that the policy gives it.

In: a `Policy` and its `Plan`.  Out: `Claim` values.  Which way packets take by them, the proof asks
of every packet; here is what it takes from the plan without a question.
"""

from __future__ import annotations

from collections.abc import Iterator

from pbrinit.analysis.claim import Claim, Flaw
from pbrinit.net.addresses import Family
from pbrinit.plan.plan import LOOPBACK, Action, Link, Plan, RouteType
from pbrinit.policy.policy import Policy

REFUSING = frozenset({RouteType.THROW, RouteType.BLACKHOLE, RouteType.PROHIBIT})


def claims(policy: Policy, plan: Plan) -> Iterator[Claim]:
    """Devices, their addresses, and the order in which they get them."""
    yield Claim("loopback, each interface of the policy and each room have a link, and no other",
                tuple(_links(policy, plan)))  # fmt: skip
    yield Claim("each interface has the policy's addresses, and MAC address, and no others",
                tuple(_addresses(policy, plan)))  # fmt: skip
    yield Claim("what refuses is in force before any address is", tuple(_order(plan)))


def _links(policy: Policy, plan: Plan) -> Iterator[Flaw]:
    found = [(link.name, link.device) for link in plan.links]
    needed = [(LOOPBACK, LOOPBACK)]
    needed += [(interface.name, interface.device) for interface in policy.interfaces]
    needed += [(program.label, program.device) for program in policy.rooms]
    if found[:1] != needed[:1]:
        yield Flaw(str(found[:1]), "loopback is the first")
    for link in found:
        if link not in needed:
            yield Flaw(link[1], "the policy has no such interface or room")
    for link in needed:
        if link not in found:
            yield Flaw(link[1], f"{link[0]} has no link")


def _addresses(policy: Policy, plan: Plan) -> Iterator[Flaw]:
    """The first address of a family is the one that the kernel chooses, so they come in order."""
    interfaces = {interface.device: interface for interface in policy.interfaces}
    for link in plan.links:
        interface = interfaces.get(link.device)
        addresses = interface.addresses if interface else ()
        if link.addresses != addresses:
            found, needed = (" ".join(map(str, a)) or "none" for a in (link.addresses, addresses))
            yield Flaw(link.device, f"its addresses are {found}, and have to be {needed}")
        mac = interface.mac if interface else None
        if link.mac != mac:
            yield Flaw(link.device, f"it is found by {link.mac}, and has to be by {mac}")


def _order(plan: Plan) -> Iterator[Flaw]:
    """Routes come before the addresses of their link, or after: in between a bound socket could
    send, and what a table is to refuse could pass.
    """
    for link in plan.links:
        late = [route for route in link.routes if link.device == LOOPBACK or route.type in REFUSING]
        for route in late:
            yield Flaw(link.device, f"the {route.type.word} route in table {route.table} is late")
        if link.device != LOOPBACK and not _has_hairpin(plan, link):
            yield Flaw(
                link.device, "what a bound socket may not send is not refused from the start"
            )


def _has_hairpin(plan: Plan, link: Link) -> bool:
    """Whether a rule for sockets bound to the device looks up a table from which all comes back."""
    tables = {
        route.table
        for route in link.preaddress_routes
        if (route.family, route.type, route.destination) == (Family.V4, RouteType.LOCAL, None)
    }
    return any(
        rule.family is Family.V4
        and rule.oif == link.device
        and rule.action is Action.LOOKUP
        and rule.argument in tables
        for rule in plan.rules
    )
