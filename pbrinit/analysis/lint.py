"""Entries of a sound policy that do nothing, and expectations that say nothing.

In: a `Policy`.  Out: for each entry of which deny entries leave nothing, or that allows nothing
which another one does not, and each expectation that is about nobody, what is odd about it.
"""

from __future__ import annotations

from collections.abc import Iterator

from pbrinit.analysis import card_names, exposure, forwarding
from pbrinit.analysis.cells import Grid, minus
from pbrinit.analysis.containment import Containment
from pbrinit.net.addresses import Family
from pbrinit.policy.policy import Allow, Deny, Direction, Policy
from pbrinit.policy.problems import Problems
from pbrinit.policy.programs import Zone
from pbrinit.semantics.expectations import expected_flows
from pbrinit.semantics.header_space import PathPolicy
from pbrinit.semantics.paths import PolicySemantics

Path = tuple[Family, PathPolicy]


def lint(policy: Policy, remarks: Problems) -> None:
    """Take note of the entries of a policy that do nothing, and of empty expectations."""
    semantics = PolicySemantics(policy)
    card_names.remark_on_card_names(policy, remarks)
    _empty(policy, semantics, remarks)
    exposure.remark_on_exposures(policy, semantics, remarks)
    forwarding.remark_on_no_return(policy, semantics, remarks)
    forwarding.remark_on_wide_denies(policy, semantics, remarks)
    containment = Containment(policy.allows)
    for number, entry in enumerate(policy.allows):
        paths = list(_asking(entry, policy, semantics))
        if takers := _shadowing_denies(entry, policy, paths):
            keys = ", ".join(deny.key for deny in takers)
            remarks.report(
                entry.key, f"does nothing: what it lets be asked is taken away by {keys}"
            )
            continue
        holder = containment.holder(number)
        if holder is not None:
            remarks.report(entry.key, f"allows nothing that {holder.key} does not allow as well")


def _empty(policy: Policy, semantics: PolicySemantics, remarks: Problems) -> None:
    """Who lives behind an interface that is to be given its address shows when it is."""
    if any(interface.dynamic_families for interface in policy.interfaces):
        return
    spaces = [
        (one.key, one.space) for family in Family for one in expected_flows(semantics, family)
    ]
    about = {key for key, space in spaces if space.sources and space.destinations}
    for expected in policy.expectations:
        if expected.key not in about:
            remarks.report(
                expected.key, "holds whatever is allowed: nobody it names is where it looks"
            )


def _shadowing_denies(entry: Allow, policy: Policy, paths: list[Path]) -> tuple[Deny, ...]:
    """The deny entries that leave nothing of what an entry lets be asked: one where one alone
    does, else all that take some of it; none where something is left.
    """
    near = [
        deny
        for deny in policy.denies
        if any(_meets(entry, deny, path_policy) for _, path_policy in paths)
    ]
    if not near or not _take_all(entry, near, paths):
        return ()
    alone = next((deny for deny in near if _take_all(entry, [deny], paths)), None)
    return (alone,) if alone else tuple(near)


def _meets(entry: Allow, deny: Deny, path_policy: PathPolicy) -> bool:
    """Whether a deny entry may take something of an entry on a path, services apart."""
    return any(
        space.sources.overlaps(mine.sources) and space.destinations.overlaps(mine.destinations)
        for space in path_policy.denied_requests.get(deny.key, ())
        for mine in path_policy.requests.get(entry.key, ())
        if space.pattern.protocol in (None, mine.pattern.protocol)
    )


def _take_all(entry: Allow, denies: list[Deny], paths: list[Path]) -> bool:
    """Whether nothing is left on any path."""
    keys = {deny.key for deny in denies}
    for family, path_policy in paths:
        mine = path_policy.requests.get(entry.key, [])
        denied = path_policy.denied_requests
        taken = [space for key in keys for space in denied.get(key, ())]
        grid = Grid(family, [*mine, *taken])
        if minus(map(grid.cell, mine), map(grid.cell, taken)):
            return False
    return True


def _asking(entry: Allow, policy: Policy, semantics: PolicySemantics) -> Iterator[Path]:
    """The paths of what asks for an entry; none where there is nothing to take it away."""
    ways: list[tuple[Zone | None, Zone | None]]
    if entry.direction is Direction.INPUT:
        ways = [(way, entry.room) for way in entry.interfaces]
    elif entry.direction is Direction.OUTPUT:
        ways = [(entry.room, way) for way in entry.interfaces]
    else:
        ways = [(i, o) for i in entry.interfaces for o in entry.egress_interfaces if i is not o]
    for ingress, egress in ways if policy.denies else ():
        for family in Family:
            yield family, semantics.path_policy(family, ingress, egress)
