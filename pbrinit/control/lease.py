"""`pbrctl lease`: what PID 1 has done with what is given to the machine's interfaces.

In: leases and advertisements, as `configured.given` reads them, and the resolvers that came with
them.  Out: the plan for all of them in force.  The policy is the one that is kept: one that was
tried and confirmed, else the image's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pbrinit import collector
from pbrinit.boot import keeping, standing
from pbrinit.boot.leasing import put_in_force
from pbrinit.compiler import compile_policy
from pbrinit.configured import configured, given
from pbrinit.control import sources
from pbrinit.language import read
from pbrinit.netlink import encode
from pbrinit.policy import Policy

POLICY = Path("/etc/pbrinit/policy.toml")


def use(texts: Sequence[str], resolvers: Sequence[str]) -> str:
    """Have the plan for what is given in force; what the guard says of it.

    Raises GivenError, CompileError, PolicyError, UseError, OSError, BootFileError: then what was
    in force still is.
    """
    with collector.paused():
        kept = keeping.read(keeping.KEPT)
        policy = _read(kept.files) if kept else read(POLICY, at_home=False)
        plan = compile_policy(configured(policy, *(given(policy, text) for text in texts)))
        waiting = kept.plan if kept else standing.load(standing.IMAGE)
        encoded = encode(plan, waiting.policy)
    return put_in_force(encoded, resolvers, kept=waiting.digest)


def _read(files: Mapping[str, bytes]) -> Policy:
    with sources.unfolded(files) as path:
        return read(path, at_home=False)
