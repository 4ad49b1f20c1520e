"""`pbrctl lease`: what PID 1 has done with what is given to the machine's interfaces.

In: leases and advertisements, as `configured.given` reads them, and the resolvers that came with
them.  Out: the plan for all of them in force.  The policy is the image's.
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


def use(texts: Sequence[str], resolvers: Sequence[str]) -> str:
    """Have the plan for what is given in force; what the guard says of it.

    Raises GivenError, CompileError, PolicyError, UseError, OSError, BootFileError: then what was
    in force still is.
    """
    with collector.paused():
        policy = read(POLICY, at_home=False)
        plan = compile_policy(configured(policy, *(given(policy, text) for text in texts)))
        encoded = encode(plan, standing.load(standing.IMAGE).policy)
    return put_in_force(encoded, resolvers)
