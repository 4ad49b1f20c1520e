"""A policy tried on a machine to which addresses are given: acts of `lab`.

In: policies as text, and what is given.  Out: plain values.  A guard watches already (`watched`),
and /run is the machine's own.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from pbrinit.boot.autoconf import address_manager
from pbrinit.boot.guard import requests
from pbrinit.boot.state import active_plan
from pbrinit.cli.appliance import assign, main
from pbrinit.wire import bootplan
from pbrinit.wire.bootplan import BootPlan

FOLDER = Path("/run/image")


def image(plan: BootPlan, policy: str) -> None:
    """Let this be what the machine started with."""
    FOLDER.mkdir()
    (FOLDER / "plan").write_bytes(bootplan.pack(plan))
    (FOLDER / "policy.toml").write_text(policy)
    active_plan.IMAGE = str(FOLDER / "plan")
    assign.POLICY = FOLDER / "policy.toml"
    address_manager.RESOLVERS = "/run/resolv.conf"


def give(*words: str) -> tuple[int, str]:
    """Have the plan for what is given in force, or for nothing, as PID 1 does."""
    if words:
        return _run("lease", *words)
    address_manager.ApplyAssignments()([])
    return 0, ""


def attempt(name: str, policy: str, seconds: int) -> tuple[int, str]:
    """Try a policy that is in a file for a moment."""
    path = FOLDER / f"{name}.toml"
    path.write_text(policy)
    try:
        return _run("try", str(path), "--confirm", str(seconds))
    finally:
        path.unlink()


def confirm() -> tuple[bool, str]:
    """Keep what is on trial."""
    return requests.ask("confirm")


def _run(*words: str) -> tuple[int, str]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        return main.main(words), said.getvalue()
