"""The one way from a policy file to a policy, its plan and the boot plan.

In: the path of a policy file.  Out: values of each step, or PolicyError with everything that is
wrong.  Every command and the image build come through here.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pbrinit.analysis.lint import lint
from pbrinit.compiler.assembler import CompileError
from pbrinit.compiler.compile import compile_policy
from pbrinit.plan.encode import encode
from pbrinit.plan.plan import Plan
from pbrinit.policy import assigned
from pbrinit.policy.policy import Policy
from pbrinit.policy.problems import PolicyError, Problem, Problems
from pbrinit.policy.reader.reader import CheckResult, read_policy, read_with_remarks
from pbrinit.wire import bootplan


@contextmanager
def paused() -> Iterator[None]:
    """Switch the garbage collector off meanwhile: a plan has hundreds of thousands of values and
    no cycles, and the search for cycles takes as long as all the rest.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def check_policy(path: Path, *, check_files: bool = True) -> CheckResult:
    """The policy in the file at `path`, with all remarks; `check_files` as in `read_with_remarks`.

    Raises PolicyError with all findings, also where the file is not there or is not TOML.
    """
    reading = read_with_remarks(path, check_files=check_files)
    remarks = Problems(str(path))
    lint(reading.policy, remarks)
    return CheckResult(reading.policy, (*reading.remarks, *remarks.reported))


def load(path: Path, leases: Iterable[str] = ()) -> Plan:
    """The plan of the policy file at `path`.

    Raises PolicyError with everything that is wrong.
    """
    return loaded(path, leases)[1]


def loaded(path: Path, leases: Iterable[str] = ()) -> tuple[Policy, Plan]:
    """The policy in the file at `path`, and its plan; with what is given to it, as
    `assigned.parse_assignment` has it.

    Raises PolicyError with everything that is wrong.
    """
    with paused():
        policy = read_policy(path)
        found = assignments(path, policy, leases)
        policy = assigned.with_assignments(policy, *found)
        return policy, compiled(path, policy)


def assignments(path: Path, policy: Policy, leases: Iterable[str]) -> list[assigned.Assignment]:
    """What is given to a policy on the command line.

    Raises PolicyError where something of it does not fit.
    """
    try:
        return [assigned.parse_assignment(policy, lease) for lease in leases]
    except assigned.AssignmentError as error:
        raise PolicyError([Problem(str(path), "--lease", str(error))]) from None


def compiled(path: Path, policy: Policy) -> Plan:
    """The plan of a policy that was read from the file at `path`.

    Raises PolicyError where there is none.
    """
    try:
        return compile_policy(policy)
    except CompileError as error:
        raise PolicyError([Problem(str(path), "policy", str(error))]) from None


def build(policy: Path, output: Path) -> None:
    """Write the boot plan of `policy` to `output`, whole or not at all.

    Raises PolicyError, and OSError where `output` cannot be written.
    """
    data = bootplan.pack(encode(load(policy), policy.stem))
    beside = output.with_name(f".{output.name}.new")
    beside.write_bytes(data)
    beside.replace(output)
