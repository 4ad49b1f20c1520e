"""A policy compiled in a sandbox: what goes in, what comes out, and what of it is believed.

In: the files of a policy as bytes, and what is given to the machine's interfaces.  Out: a
`Candidate`, or what is wrong with the policy in words that quote these files alone.  The process
that compiles is split off before anything secret is read, and its answer is read as a stranger's:
plain values (`plain_values`), at most so many bytes, and plans held to what a plan of this machine
may be (`vetting`).
"""

from __future__ import annotations

import gc
import marshal
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pbrinit.cli import policy_files
from pbrinit.cli.appliance import plain_values, sandbox, vetting
from pbrinit.cli.appliance.candidate import Candidate, Situation
from pbrinit.compiler.compile import compile_policy
from pbrinit.plan.encode import encode
from pbrinit.policy.assigned import parse_assignment, with_assignments
from pbrinit.policy.problems import PolicyError, Problem
from pbrinit.policy.reader.reader import read_policy
from pbrinit.wire import bootplan
from pbrinit.wire.bootplan import BootPlan

LONGEST_REQUEST, LONGEST_ANSWER = sandbox.FILES_MEBIBYTES << 20, 32 << 20
PIECE = 1 << 16
SOUND, WRONG, FAILED = "sound", "wrong", "failed"
TRY, ASSIGN = "try", "assign"
HIDDEN = "what is sent has no files beside it: list the prefixes"


class CompilerError(Exception):
    """A policy that was not compiled, for a reason that is no mistake in it; the text says why."""


class CompilerProcess:
    """One process that compiles one policy. Make it before anything is read that it must not know.

    Raises OSError where there is none to be had.
    """

    def __init__(self) -> None:
        asked, self._to = os.pipe()
        self._from, told = os.pipe()
        parent = os.getpid()
        self._child = os.fork()
        if self._child == 0:
            os.close(self._to)
            os.close(self._from)
            _serve(asked, told, parent)
        os.close(asked)
        os.close(told)

    def candidate(self, name: str, policy: bytes, now: BootPlan) -> Candidate:
        """What becomes of a policy without files beside it, on a machine with this plan in force.

        Raises PolicyError with everything that is wrong, CompilerError.
        """
        situation = Situation.of(now)
        told = self._answer((TRY, ((name, policy),), *situation))
        match told:
            case (plan, waiting, tuple() as remarks, int() as asked):
                stem = Path(name).stem
                made = vetting.vetted(plan, now, stem, now.assignments)
                idle = made if waiting is None else vetting.vetted(waiting, now, stem, ())
                return Candidate(made, idle, tuple(map(_problem, remarks)), asked)
        raise CompilerError("the compiler gave no answer that is one")

    def assigned(
        self, name: str, files: Mapping[str, bytes], texts: Sequence[str], now: BootPlan
    ) -> BootPlan:
        """The plan of a sound policy called `name`, of these files, its own first, with what is
        given to the machine's interfaces.

        Raises PolicyError, CompilerError.
        """
        told = self._answer((ASSIGN, tuple(files.items()), name, tuple(texts)))
        return vetting.vetted(told, now, name, texts)

    def _answer(self, request: tuple[Any, ...]) -> object:
        """What it says to a request. Raises PolicyError, CompilerError."""
        try:
            with open(self._to, "wb") as writer:  # noqa: PTH123  a descriptor
                writer.write(marshal.dumps(request, bootplan.MARSHAL_VERSION))
        except BrokenPipeError:
            pass  # it has ended; the status says why
        data = _read(self._from, LONGEST_ANSWER)
        os.close(self._from)
        status = os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])
        if len(data) > LONGEST_ANSWER:
            raise CompilerError(f"its plan has more than {LONGEST_ANSWER >> 20} MiB")
        if status or not data:
            raise CompilerError(sandbox.ended_by(status))
        try:
            told = plain_values.loads(data)
        except plain_values.PlainError as error:
            raise CompilerError(f"the compiler gave no answer that is one: {error}") from None
        match told:
            case ("sound", value):
                return value
            case ("wrong", tuple() as problems) if problems:
                raise PolicyError(map(_problem, problems))
            case ("failed", str() as why):
                raise CompilerError(why)
        raise CompilerError("the compiler gave no answer that is one")


def _problem(told: object) -> Problem:
    match told:
        case (str() as file, str() as key, str() as what, (str() | None) as hint):
            return Problem(file, key, what, hint)
    raise CompilerError("the compiler gave no answer that is one")


def _read(descriptor: int, most: int) -> bytes:
    """All that comes, and no more than one piece beyond `most`."""
    found = bytearray()
    while len(found) <= most and (piece := os.read(descriptor, PIECE)):
        found += piece
    return bytes(found)


def _serve(asked: int, told: int, parent: int) -> None:
    """Compile what is asked for, in the sandbox; never returns."""
    status = 1
    try:
        try:
            sandbox.enter({asked, told}, parent)
        except OSError as error:
            answer: tuple[str, Any] = (FAILED, f"there can be no sandbox: {error}")
        else:
            request = marshal.loads(_read(asked, LONGEST_REQUEST))  # noqa: S302  its parent's
            gc.disable()  # as build.paused does it; this process ends soon
            answer = _work(*request)
        with open(told, "wb") as writer:
            writer.write(marshal.dumps(answer, bootplan.MARSHAL_VERSION))
        status = 0
    finally:
        os._exit(status)


def _work(kind: str, files: tuple[tuple[str, bytes], ...], *rest: Any) -> tuple[str, Any]:
    """What becomes of a request, as plain values."""
    try:
        for name, data in files:
            Path(name).write_bytes(data)
        path = Path(files[0][0])
        if kind == TRY:
            return SOUND, _tried(path, Situation(*rest))
        return SOUND, bootplan.to_values(_assigned(path, *rest))
    except PolicyError as error:
        return WRONG, tuple(map(_values, error.problems))
    except MemoryError:
        return FAILED, "it takes more memory than a policy may"
    except Exception as error:
        return FAILED, str(error) or type(error).__name__


def _tried(path: Path, situation: Situation) -> tuple[object, ...]:
    problems = [
        Problem(str(path), f"network.{name}", HIDDEN) for name, _ in policy_files.lists(path)
    ]
    if problems:
        raise PolicyError(problems)
    found = Candidate.read(path, situation)
    waiting = None if found.waiting is found.plan else bootplan.to_values(found.waiting)
    remarks = tuple(map(_values, found.remarks))
    return bootplan.to_values(found.plan), waiting, remarks, found.asked


def _assigned(path: Path, name: str, texts: Sequence[str]) -> BootPlan:
    policy = read_policy(path, check_files=False)
    plan = compile_policy(
        with_assignments(policy, *(parse_assignment(policy, text) for text in texts))
    )
    return encode(plan, name)


def _values(problem: Problem) -> tuple[str | None, ...]:
    return problem.file, problem.key, problem.what, problem.hint
