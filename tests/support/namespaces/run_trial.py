"""A policy on trial on a machine that gets addresses: calls for `lab`.

In: policies as text, and addresses.  Out: plain values.  A guard runs already (`run_guard`), and
/run belongs to the machine alone.
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


def set_image(plan: BootPlan, policy: str) -> None:
    """Set the plan and policy of the image."""
    FOLDER.mkdir()
    (FOLDER / "plan").write_bytes(bootplan.pack(plan))
    (FOLDER / "policy.toml").write_text(policy)
    active_plan.IMAGE = str(FOLDER / "plan")
    assign.POLICY = FOLDER / "policy.toml"
    address_manager.RESOLVERS = "/run/resolv.conf"


def give_addresses(*words: str) -> tuple[int, str]:
    """Put the plan for these addresses in force, or for none, as PID 1 does."""
    if words:
        return _run("lease", *words)
    address_manager.ApplyAssignments()([])
    return 0, ""


def attempt(name: str, policy: str, seconds: int) -> tuple[int, str]:
    """Try a policy; its file exists during the call only."""
    path = FOLDER / f"{name}.toml"
    path.write_text(policy)
    try:
        return _run("try", str(path), "--confirm", str(seconds))
    finally:
        path.unlink()


def confirm() -> tuple[bool, str]:
    """Confirm the policy on trial."""
    return requests.ask("confirm")


def _run(*words: str) -> tuple[int, str]:
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        return main.main(words), output.getvalue()
