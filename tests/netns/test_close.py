"""Closing: whatever fails in it, in the end no interface is up, or the machine starts again.

In each case processes set every interface up as fast as they can, as a guard does that does not
know yet that the machine is closed.
"""

from __future__ import annotations

import errno
import itertools
import os
import random
import resource
from collections import Counter
from collections.abc import Iterable, Iterator

import pytest

from tests.support.namespaces import run_close
from tests.support.namespaces.lab import Namespace
from tests.support.namespaces.run_close import RESTART, Faults

CLOSED = "stay, up: [], left: []"
ERRORS = (
    OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
    OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)),
    MemoryError(),
    KeyboardInterrupt(),
)
SEED = 3


@pytest.fixture(scope="module")
def machine() -> Iterator[Namespace]:
    namespace = Namespace()
    yield namespace
    namespace.close()


@pytest.fixture(scope="module")
def calls(machine: Namespace) -> list[str]:
    """The calls of a closing in which nothing fails."""
    return machine.do(run_close.calls)


def outcomes(machine: Namespace, cases: list[Faults]) -> Counter[str]:
    """How often each thing came of it; none is anything else."""
    found = machine.do(run_close.close, cases)
    wrong = [(case, told) for case, told in zip(cases, found, strict=True)
             if told not in (CLOSED, RESTART)]  # fmt: skip
    assert wrong == []
    return Counter(found)


def test_without_a_fault_nothing_is_up_and_nothing_is_left(
    machine: Namespace, calls: list[str]
) -> None:
    assert outcomes(machine, [Faults() for _ in range(10)]) == {CLOSED: 10}
    assert calls.index("kill") < calls.index("listdir")
    assert {"kill", "waitpid", "listdir", "open", "log"} <= set(calls)


SOME = pytest.mark.parametrize("share", [0.1, pytest.param(1.0, marks=pytest.mark.soak)])


def drawn(cases: Iterable[Faults], share: float) -> list[Faults]:
    """A share of the cases."""
    every = list(cases)
    return random.Random(SEED).sample(every, int(len(every) * share))  # noqa: S311  no secret


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@SOME
def test_each_call_fails_once(
    machine: Namespace, calls: list[str], error: BaseException, share: float
) -> None:
    numbers = range(len(calls) + 1)
    outcomes(
        machine, drawn((Faults(frozenset([n]), error=error) for n in numbers), min(1.0, 2 * share))
    )


def test_each_function_fails_always(machine: Namespace, calls: list[str]) -> None:
    found = outcomes(machine, [Faults(names=frozenset([name])) for name in {*calls, "reboot"}])
    assert set(found) == {CLOSED, RESTART}


@SOME
def test_each_two_functions_fail_always(machine: Namespace, calls: list[str], share: float) -> None:
    pairs = itertools.combinations(sorted({*calls, "reboot"}), 2)
    outcomes(machine, drawn((Faults(names=frozenset(pair)) for pair in pairs), min(1.0, 3 * share)))


@SOME
def test_several_calls_fail_in_any_order(
    machine: Namespace, calls: list[str], share: float
) -> None:
    some = random.Random(SEED)  # noqa: S311  no secret
    numbers = range(len(calls) + 20)
    outcomes(machine, [
        Faults(frozenset(some.sample(numbers, some.randint(2, 12))), error=some.choice(ERRORS))
        for _ in range(int(300 * share))
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("what", "more"),
    [*((resource.RLIMIT_AS, kib << 10) for kib in (0, 4, 8, 16, 32, 64, 128, 256)),
     *((resource.RLIMIT_NOFILE, number) for number in (0, 3, 4, 8))],
)  # fmt: skip
def test_memory_or_descriptors_are_used_up(machine: Namespace, what: int, more: int) -> None:
    outcomes(machine, [Faults(limit=(what, more)) for _ in range(2)])
