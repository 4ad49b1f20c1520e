"""`pbrctl lease`: what PID 1 has done with what is given to the machine's interfaces.

In: leases and advertisements, as `assigned.parse_assignment` reads them, and the resolvers that
came with them.  Out: the plan for all of them in force.  The policy is the one that is kept: one
that was tried and confirmed, else the image's.  A program may have sent it: it is compiled in the
sandbox.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pbrinit.boot.autoconf.address_manager import activate
from pbrinit.boot.state import active_plan, confirmed_policy
from pbrinit.cli import policy_files
from pbrinit.cli.appliance.compiler_process import CompilerProcess

POLICY = Path("/etc/pbrinit/policy.toml")


def use(texts: Sequence[str], resolvers: Sequence[str]) -> str:
    """Put the plan with these assignments in force; returns what the guard reports.

    Raises CompilerError, VettingError, PolicyError, ApplyError, OSError, BootFileError: then what
    was in force still is.
    """
    compiler = CompilerProcess()
    kept = confirmed_policy.read(confirmed_policy.KEPT)
    files = kept.files if kept else policy_files.policy_and_lists(POLICY)
    waiting = kept.plan if kept else active_plan.load(active_plan.IMAGE)
    plan = compiler.assigned(waiting.policy, files, texts, waiting)
    return activate(plan, resolvers, kept=waiting.digest)
