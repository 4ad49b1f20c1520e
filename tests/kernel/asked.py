"""What a running machine is asked, inside a namespace: acts of `tests.kernel.lab`.

In: plans and words.  Out: plain values.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path
from typing import Any

from pbrinit.boot import closed, commands, drops, pbrctl, status
from pbrinit.bootfile import BootPlan, pack

status.__dict__["SYSCTLS"] = ()  # of the kernel that is shipped, not of the one that tests run on


def answer(plan: BootPlan, line: str) -> tuple[Any, list[str]]:
    """What a command says, as values and as lines; how it was wrong, where it was."""
    try:
        told, lines = commands.answer(plan, line.split())
    except commands.UsageError as error:
        return None, [str(error)]
    return told, list(lines)


def dropped() -> dict[tuple[str, str], int]:
    """How many of each kind and family."""
    return {(str(d["kind"]), str(d["family"])): int(d["count"]) for d in drops.counted()}


def program(plan: BootPlan, *words: str) -> tuple[int, str, str]:
    """What `pbrctl` says on a machine with this plan: exit status, output, errors."""
    pbrctl.PLAN = f"{tempfile.mkdtemp()}/plan"
    closed.REASON = f"{pbrctl.PLAN}.closed"
    Path(pbrctl.PLAN).write_bytes(pack(plan))
    out, wrong = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(wrong):
        code = pbrctl.main(words)
    return code, out.getvalue(), wrong.getvalue()
