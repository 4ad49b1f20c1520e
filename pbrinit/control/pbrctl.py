"""`pbrctl` on the appliance: try a policy, keep it, see how things are.

In: a command line.  Out: text or JSON on standard output.  Exit status: 0; 2 where the policy or
the command line is wrong, with every reason on standard error; 1 where the machine does not do it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pbrinit.boot import record, requests, standing, status
from pbrinit.boot.init import PLAN
from pbrinit.boot.say import seconds
from pbrinit.control.candidate import Candidate
from pbrinit.problems import PolicyError

FAILED, USAGE = 1, 2
SECONDS = "60"
PIPED = Path("/run/piped.toml")
HELP = f"""\
pbrctl try FILE [--confirm SECONDS]   put a policy in force; the one before comes back unless it
                                      is confirmed in so many, or {SECONDS}; - is what is piped
pbrctl confirm                        keep the policy on trial, until the machine starts again
pbrctl status                         how the machine is, and what is on trial
       --json                         the answer as JSON
       --help                         this text"""

Answer = dict[str, object]


class FailedError(Exception):
    """What the machine does not do, or does not understand; the text says why."""

    def __init__(self, why: str, status: int = FAILED) -> None:
        super().__init__(why)
        self.status = status


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit status."""
    words = [word for word in arguments if word != "--json"]
    as_json = len(words) < len(arguments)
    if not words or words[-1] in ("--help", "-h"):
        print(HELP)
        return 0
    try:
        answer = _command(words)(words[1:])
    except PolicyError as error:
        problems = [vars(problem) for problem in error.problems]
        count = f"{len(problems)} error{'s' if len(problems) > 1 else ''}"
        return _failed(f"{error}\n{count}", {"problems": problems}, USAGE, as_json=as_json)
    except FailedError as error:
        return _failed(f"error: {error}", {"error": str(error)}, error.status, as_json=as_json)
    except Exception as error:  # also a module that this image has not: no traceback, ever
        return _failed(f"error: {error}", {"error": str(error)}, FAILED, as_json=as_json)
    print(json.dumps(answer) if as_json else answer["text"])
    return 0


def _command(words: Sequence[str]) -> Callable[[Sequence[str]], Answer]:
    commands = {"try": _try, "confirm": _confirm, "status": _status}
    if words[0] not in commands:
        raise FailedError(f"there is no command {words[0]!r}; pbrctl --help", USAGE)
    return commands[words[0]]


def _failed(text: str, answer: Answer, status: int, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(answer))
    else:
        print(text, file=sys.stderr)
    return status


def _try(words: Sequence[str]) -> Answer:
    match words:
        case [file]:
            length = SECONDS
        case [file, "--confirm", length] | ["--confirm", length, file]:
            pass
        case _:
            raise FailedError("pbrctl try FILE [--confirm SECONDS]", USAGE)
    if not length.isdigit():
        raise FailedError(f"--confirm takes seconds, not {length!r}", USAGE)
    path = Path(file)
    if file == "-":
        path = PIPED
        path.write_bytes(sys.stdin.buffer.read())
    candidate = Candidate.of(path)
    beside = Path(f"{standing.NEXT}.{os.getpid()}")
    beside.write_bytes(candidate.packed())
    beside.replace(standing.NEXT)
    told = _asked(f"try {length}")
    text = "\n".join(map(str, (*candidate.remarks, candidate, told)))
    return {"text": text, "remarks": [vars(remark) for remark in candidate.remarks],
            "rules": len(candidate.plan.rules), "corners": candidate.asked}  # fmt: skip


def _confirm(words: Sequence[str]) -> Answer:
    _nothing_more("confirm", words)
    return {"text": _asked("confirm")}


def _status(words: Sequence[str]) -> Answer:
    _nothing_more("status", words)
    plan = standing.read(standing.load(PLAN))
    before, seen = standing.before(plan), record.read()
    trial = before and {"seconds": before.deadline - seconds(), "before": before.plan.policy}
    return {
        "text": "\n".join(status.status(plan)),
        "hostname": plan.hostname,
        "policy": plan.policy,
        "digest": plan.digest,
        "on_trial": trial,
        "rules": len(plan.rules),
        "verified": seen.verified,
        "repairs": seen.repairs,
    }


def _nothing_more(command: str, words: Sequence[str]) -> None:
    if words:
        raise FailedError(f"pbrctl {command} takes no {words[0]!r}", USAGE)


def _asked(line: str) -> str:
    done, told = requests.ask(line)
    if not done:
        raise FailedError(told)
    return told
