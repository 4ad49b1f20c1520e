"""`pbrctl lease`: what PID 1 has done with a lease.

In: the lease, as `configured.given` reads it, and the resolvers that came with it.  Out: the plan
for it in force.  The policy is the image's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pbrinit import collector
from pbrinit.boot import standing
from pbrinit.boot.leasing import put_in_force
from pbrinit.compiler import compile_policy
from pbrinit.configured import configured, given
from pbrinit.language import read
from pbrinit.netlink import encode

POLICY = Path("/etc/pbrinit/policy.toml")


def use(text: str, resolvers: Sequence[str]) -> str:
    """Have the plan for a lease in force; what the guard says of it.

    Raises GivenError, CompileError, PolicyError, UseError, OSError, BootFileError: then what was
    in force still is.
    """
    with collector.paused():
        policy = read(POLICY, at_home=False)
        plan = compile_policy(configured(policy, given(policy, text)))
        encoded = encode(plan, standing.load(standing.IMAGE).policy)
    return put_in_force(encoded, resolvers)
