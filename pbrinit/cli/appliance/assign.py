"""`pbrctl lease`: what PID 1 has done with what is given to the machine's interfaces.

In: leases and advertisements, as `configured.given` reads them, and the resolvers that came with
them.  Out: the plan for all of them in force.  The policy is the one that is kept: one that was
tried and confirmed, else the image's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pbrinit.boot.autoconf.address_manager import activate
from pbrinit.boot.state import active_plan, confirmed_policy
from pbrinit.cli import build, policy_files
from pbrinit.compiler.compile import compile_policy
from pbrinit.plan.encode import encode
from pbrinit.policy.assigned import configured, given
from pbrinit.policy.policy import Policy
from pbrinit.policy.reader.reader import read

POLICY = Path("/etc/pbrinit/policy.toml")


def use(texts: Sequence[str], resolvers: Sequence[str]) -> str:
    """Have the plan for what is given in force; what the guard says of it.

    Raises GivenError, CompileError, PolicyError, UseError, OSError, BootFileError: then what was
    in force still is.
    """
    with build.paused():
        kept = confirmed_policy.read(confirmed_policy.KEPT)
        policy = _read(kept.files) if kept else read(POLICY, at_home=False)
        plan = compile_policy(configured(policy, *(given(policy, text) for text in texts)))
        waiting = kept.plan if kept else active_plan.load(active_plan.IMAGE)
        encoded = encode(plan, waiting.policy)
    return activate(encoded, resolvers, kept=waiting.digest)


def _read(files: Mapping[str, bytes]) -> Policy:
    with policy_files.unfolded(files) as path:
        return read(path, at_home=False)
