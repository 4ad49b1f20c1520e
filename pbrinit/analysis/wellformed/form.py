"""Everything that makes a plan well-formed.

In: a `Plan`.  Out: `Claim` values.  The model says nothing of a plan that is not well-formed, so
`prove` asks no further about one.
"""

from __future__ import annotations

from collections.abc import Iterator

from pbrinit.analysis.claim import Claim
from pbrinit.analysis.wellformed import link_form, route_form, rule_form
from pbrinit.plan.plan import Plan


def claims(plan: Plan) -> Iterator[Claim]:
    """Each statement, about rules, routes, devices, addresses, tables and rooms."""
    yield from rule_form.claims(plan)
    yield from route_form.claims(plan)
    yield from link_form.claims(plan)
