"""Mutants of the source put to `prove`: `python -m tests.tools.source_mutation --count N --seed S`.

In: how many mutants of the compiler's source, and of what compiler and meaning share.  Out: what
became of each; the exit status is 1 where one is missed.  A mutant makes plans of some policies and
proves them, in a process of its own.  A plan that is another than before, and that its own proof
lets pass, is then proved by the source as it is, and read back by pyroute2.  What only that finds
was a hole of the proof: it must be found by a unit test, else the mutant is missed.

Nothing of ours is imported before a mutant is in its place.
"""

from __future__ import annotations

import argparse
import collections
import importlib.abc
import importlib.machinery
import importlib.util
import pickle
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from tests.support.generate.source_mutants import SourceMutant, count, mutant

COMPILER = ("pbrinit/compiler",)
SHARED = (
    "pbrinit/net", "pbrinit/plan/plan.py", "pbrinit/plan/encode.py", "pbrinit/policy/assigned.py",
    "pbrinit/policy/interfaces.py", "pbrinit/policy/policy.py", "pbrinit/policy/programs.py",
    "pbrinit/policy/room_addresses.py", "pbrinit/policy/room_ids.py", "pbrinit/policy/topology.py",
)  # fmt: skip
POLICIES = tuple(Path(f"examples/{name}.toml") for name in ("rooms", "router", "dhcp"))
LOGGED = Path("examples/host.toml")
"""This one is tried with `log = true`."""

MANY = """
hostname = "many"
[interface.wan]
device = "eth0"
address = ["192.0.2.2/24", "2001:db8::2/64"]
gateway = ["192.0.2.1", "2001:db8::1"]
[interface.lan]
device = "eth1"
address = ["10.0.0.1/16", "fd00:10::1/64"]
route = ["10.7.0.0/16 via 10.0.0.9", "fd00:7::/48 via fd00:10::9"]
[network]
many = [{many}]
bad = ["198.51.100.0/24", "2001:db8:5::/48"]
[service]
ssh = "tcp/22"
dns = "udp/53"
web = ["tcp/80", "tcp/443"]
ping = "icmp/echo"
[user]
updater = 1001
[[input]]
on = "wan"
from = "many"
service = ["ssh", "ping"]
[[output]]
on = "wan"
to = "many"
service = ["dns", "web"]
user = "updater"
[[forward]]
in = "lan"
out = "wan"
to = "many"
service = "web"
[[deny]]
from = "bad"
log = true
"""
"""Sets that are too large for rules, which no small example has."""

UNIT_TESTS = (
    "tests/unit/net", "tests/unit/policy/test_assigned.py", "tests/unit/policy/test_assigned_ra.py",
    "tests/unit/semantics", "tests/unit/compiler", "tests/unit/plan", "tests/unit/policy/reader",
    "tests/unit/analysis/wellformed", "tests/unit/analysis/assumed",
)  # fmt: skip
SECONDS = 120
TEST_SECONDS = 600
Made = dict[tuple[str, str], tuple[Any, bytes]]
"""The plan and the boot plan's bytes of each policy in each state."""


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads other text in the place of a module's."""

    def __init__(self, name: str, path: str, text: str) -> None:
        super().__init__(name, path)
        self._text = text

    def get_code(self, fullname: str) -> CodeType | None:
        del fullname
        return compile(self._text, self.path, "exec")


class _Finder(importlib.abc.MetaPathFinder):
    """Finds a mutant where its module is asked for."""

    def __init__(self, mutant: SourceMutant) -> None:
        self._name = ".".join(mutant.path.with_suffix("").parts)
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        del path, target
        if fullname != self._name:
            return None
        place = str(self._mutant.path.absolute())
        loader = _Loader(fullname, place, self._mutant.text)
        return importlib.util.spec_from_file_location(fullname, place, loader=loader)


def policies(folder: Path) -> list[Path]:
    """The policies that mutants are tried with."""
    logged = folder / LOGGED.name
    logged.write_text(f"log = true\n{LOGGED.read_text()}")
    many = folder / "many.toml"
    prefixes = (f'"198.51.{n}.0/24", "2001:db8:{n}::/48"' for n in range(100, 140, 2))
    many.write_text(MANY.format(many=", ".join(prefixes)))
    return [*POLICIES, logged, many]


def made(paths: Iterable[Path]) -> Made:
    """What the source, as it is in this process, makes of the policies."""
    from pbrinit.compiler.compile import compile_policy  # noqa: PLC0415  a mutant may be in its place
    from pbrinit.plan.encode import encode  # noqa: PLC0415
    from pbrinit.policy.assigned import assignment_states  # noqa: PLC0415
    from pbrinit.policy.reader.reader import read_policy  # noqa: PLC0415
    from pbrinit.wire import bootplan  # noqa: PLC0415

    found: Made = {}
    for path in paths:
        for state, policy in assignment_states(read_policy(path)):
            plan = compile_policy(policy)
            found[path.name, state.partition(" of ")[0]] = (
                plan,
                bootplan.pack(encode(plan, path.stem)),
            )
    return found


def refuted(paths: Iterable[Path], others: Made) -> str | None:
    """The first statement that the proof refutes of some plans, None where they are proved."""
    from pbrinit.analysis.proof.prover import Proof  # noqa: PLC0415
    from pbrinit.policy.assigned import assignment_states  # noqa: PLC0415
    from pbrinit.policy.reader.reader import read_policy  # noqa: PLC0415

    for path in paths:
        written = read_policy(path)
        for state, policy in assignment_states(written):
            plan, _ = others.get((path.name, state.partition(" of ")[0]), (None, b""))
            if plan is None:
                continue
            for finding in Proof(policy, plan, written=written).findings():
                if finding.counterexample is not None:
                    of_packets = type(finding.obligation).__name__ == "Obligation"
                    kind = "packets" if of_packets else "statements"
                    return f"{kind}: {finding.obligation}"
    return None


def of_mutant(paths: Sequence[Path], known: Path, output: Path) -> None:
    """What a mutant, which is in its place, makes of the policies and says of that."""
    before: dict[tuple[str, str], bytes] = pickle.loads(known.read_bytes())
    try:
        found = made(paths)
        others = {key: value for key, value in found.items() if before.get(key) != value[1]}
        left_out = sorted(before.keys() - found.keys())
        why = refuted(paths, others) if others else None
        result = (others, left_out, why)
    except BaseException as error:
        result = ({}, [], f"an error: {type(error).__name__}: {error}"[:200])
    output.write_bytes(pickle.dumps(result))


class Trial:
    """Mutants are tried one by one against what the source makes as it is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths = policies(folder)
        self._known = folder / "known"
        clean = {key: data for key, (_, data) in made(self._paths).items()}
        self._known.write_bytes(pickle.dumps(clean))
        self._tests_pass = False

    def outcome(self, mutant: SourceMutant) -> str:
        """What became of a mutant; the first word is its kind."""
        output = self._folder / "output"
        output.unlink(missing_ok=True)
        words = ("--known", str(self._known), "--output", str(output), "--policies")
        try:
            self._run(mutant, SECONDS, *words, *map(str, self._paths))
        except subprocess.TimeoutExpired:
            return "stopped: it does not end"
        if not output.exists():
            return "stopped: it ends without a word"
        others, left_out, why = pickle.loads(output.read_bytes())
        if why is not None:
            return f"stopped by {why}" if why.startswith("an error") else f"refuted by {why}"
        return self._of_proved(mutant, others, left_out)

    def _of_proved(self, mutant: SourceMutant, others: Made, left_out: Sequence[object]) -> str:
        """What became of a mutant that made no plan which its own proof refutes."""
        if not others and not left_out:
            return "same: it makes the same plans"
        hole = f"it leaves out {left_out}" if left_out else self._hole(others)
        if hole is None:
            return "harmless: other plans, which are proved, and are read back"
        self._assert_tests_pass()
        found = self._run(mutant, TEST_SECONDS, "--tests").returncode != 0
        kind = "tested: a unit test fails" if found else "MISSED"
        return f"{kind}; the proof of the source as it is says: {hole}"

    def _hole(self, others: Made) -> str | None:
        """Why the plans of a mutant are not what its policies mean, by the source as it is."""
        from factory.image import read_back  # noqa: PLC0415  it imports ours

        try:
            for plan, data in others.values():
                read_back.check(data, plan)
            return refuted(self._paths, others)
        except Exception as error:
            return f"{type(error).__name__}: {error}"[:200]

    def _assert_tests_pass(self) -> None:
        """A test that fails of itself finds no mutant."""
        if not self._tests_pass:
            self._run(None, TEST_SECONDS, "--tests").check_returncode()
            self._tests_pass = True

    def _run(
        self, mutant: SourceMutant | None, seconds: float, *words: str
    ) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "tests.tools.source_mutation", *words]
        if mutant is not None:
            command += ["--mutant", str(mutant.path), str(mutant.number)]
        return subprocess.run(command, check=False, capture_output=True, timeout=seconds)


def modules(places: Iterable[str]) -> Iterator[Path]:
    """The modules that are mutated."""
    for place in map(Path, places):
        found = sorted(place.glob("*.py")) if place.is_dir() else [place]
        yield from (path for path in found if path.stem != "__init__")


def drawn(wanted: int, seed: str) -> list[SourceMutant]:
    """Some mutants, half of them of the compiler."""
    draw = random.Random(seed)  # noqa: S311  the same every time
    chosen: list[SourceMutant] = []
    for places in (COMPILER, SHARED):
        every = [(path, number) for path in modules(places) for number in range(count(path))]
        some = draw.sample(every, min(wanted // 2, len(every)))
        chosen += [mutant(path, number) for path, number in some]
    return chosen


def main() -> int:
    """The command; with --mutant it is the process of one."""
    parser = argparse.ArgumentParser(description="Put mutants of the source to the proof.")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", default="source")
    parser.add_argument("--mutant", nargs=2, metavar=("PATH", "NUMBER"))
    parser.add_argument("--tests", action="store_true")
    parser.add_argument("--policies", type=Path, nargs="+")
    parser.add_argument("--known", type=Path)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    if options.mutant:
        path, number = options.mutant
        sys.meta_path.insert(0, _Finder(mutant(Path(path), int(number))))
    if options.tests:
        import pytest  # noqa: PLC0415  the mutant is in its place first

        return int(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *UNIT_TESTS]))
    if options.mutant:
        of_mutant(options.policies, options.known, options.output)
        return 0
    start = time.monotonic()
    kinds: collections.Counter[tuple[str, str]] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(Path(folder))
        for tried in drawn(options.count, options.seed):
            outcome = trial.outcome(tried)
            place = "compiler" if str(tried.path).startswith(COMPILER) else "shared"
            kinds[place, outcome.partition(" ")[0].rstrip(":;")] += 1
            print(f"{tried}\n  {outcome}", flush=True)
    for (place, kind), number in sorted(kinds.items()):
        print(f"{place}: {number} {kind}")
    print(f"{sum(kinds.values())} mutants, {time.monotonic() - start:.0f} s")
    return 1 if any(kind == "MISSED" for _, kind in kinds) else 0


if __name__ == "__main__":
    sys.exit(main())
