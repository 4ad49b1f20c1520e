"""Each contract of pyproject.toml finds the import that it forbids, and no module is forgotten."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOTS = ("pbrinit", "factory", "tests")
CONTRACTS: dict[str, dict[str, Any]] = {
    contract["name"]: contract
    for contract in tomllib.loads(Path("pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
}

BREAKS = {
    "host rooms stand on each other in one order": (
        "pbrinit.compiler.layout", "pbrinit.model.verdict",
    ),
    "semantics knows no plan: it judges the compiler by the policy alone": (
        "pbrinit.semantics.topology", "pbrinit.plan.plan",
    ),
    "the model knows no policy beyond the plan's own values": (
        "pbrinit.model.verdict", "pbrinit.policy.policy",
    ),
    "the boot path imports boot and wire, and nothing else of ours": (
        "pbrinit.wire.netlink.monitor", "pbrinit.boot.system.json_text",
    ),
    "nothing of the host is in the boot path": (
        "pbrinit.boot.system.json_text", "pbrinit.net.icmp",
    ),
    "only what runs on the appliance imports the boot path": (
        "pbrinit.cli.build", "pbrinit.boot.system.json_text",
    ),
    "TOML is read in the reader alone": ("pbrinit.policy.room_ids", "tomllib"),
    "only analysis and cli read policy files": (
        "pbrinit.plan.encode", "pbrinit.policy.reader.scalars",
    ),
    "z3 is imported in the proof alone": ("pbrinit.analysis.lint", "z3"),
    "the proof is asked for by the command that proves, and by the image build": (
        "pbrinit.cli.build", "pbrinit.analysis.proof.obligation",
    ),
    "rooms of the boot path stand on each other in one order": (
        "pbrinit.boot.system.json_text", "pbrinit.boot.network.commands",
    ),
    "rooms of the factory stand on each other in one order": ("factory.log", "factory.cache"),
    "tests stand on helpers, and helpers on no test": (
        "tests.support.units", "tests.unit.net.test_addresses",
    ),
}  # fmt: skip
"""By contract, a module and an import in it that breaks this contract and no other."""


@dataclass(frozen=True)
class Enumeration:
    """Modules that a contract lists: all below `within`, but for those that are meant to be
    `left_out`.
    """

    contract: str
    field: str
    within: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    @property
    def listed(self) -> tuple[str, ...]:
        """What the contract lists."""
        found = (each.split("|") for each in CONTRACTS[self.contract][self.field])
        return tuple(name.strip() for names in found for name in names)


ENUMERATIONS = (
    Enumeration(
        "host rooms stand on each other in one order", "layers", ("pbrinit",), ("pbrinit.boot",)
    ),
    Enumeration(
        "nothing of the host is in the boot path",
        "forbidden_modules",
        ROOTS,
        ("pbrinit.boot", "pbrinit.wire"),
    ),
    Enumeration(
        "only what runs on the appliance imports the boot path",
        "source_modules",
        ("pbrinit", "factory"),
        ("pbrinit.boot", "pbrinit.wire", "pbrinit.cli.appliance"),
    ),
    Enumeration(
        "TOML is read in the reader alone",
        "source_modules",
        ("pbrinit",),
        ("pbrinit.policy.reader",),
    ),
    Enumeration(
        "z3 is imported in the proof alone",
        "source_modules",
        ("pbrinit", "factory"),
        ("pbrinit.analysis.proof",),
    ),
    Enumeration(
        "rooms of the boot path stand on each other in one order", "layers", ("pbrinit.boot",)
    ),
    Enumeration("rooms of the factory stand on each other in one order", "layers", ("factory",)),
    Enumeration(
        "tests stand on helpers, and helpers on no test",
        "layers",
        ("tests",),
        ("tests.conftest", "tests.__main__"),
    ),
)


def path_of(module: str) -> Path:
    path = Path(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages and the contracts, in a folder where they may be broken."""
    folder = tmp_path_factory.mktemp("contracts")
    shutil.copy("pyproject.toml", folder)
    for root in ROOTS:
        shutil.copytree(root, folder / root, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@contextmanager
def with_import(copy: Path, module: str, imported: str) -> Iterator[None]:
    """One more import in a module of the copy, for a while."""
    path = copy / path_of(module)
    before = path.read_text()
    path.write_text(f"{before}\nimport {imported}\n")
    try:
        yield
    finally:
        path.write_text(before)


def broken(copy: Path) -> set[str]:
    """The contracts that are reported as broken; each is reported as broken or kept."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=copy, env={**os.environ, "COLUMNS": "200"}, check=False, capture_output=True, text=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    told = {
        word: {
            name for name in CONTRACTS if any(line.startswith(f"{name} {word}") for line in lines)
        }
        for word in ("KEPT", "BROKEN")
    }
    assert told["KEPT"] | told["BROKEN"] == CONTRACTS.keys(), done.stdout + done.stderr
    assert done.returncode == bool(told["BROKEN"])
    return told["BROKEN"]


def test_as_the_packages_are_every_contract_is_kept(copy: Path) -> None:
    assert broken(copy) == set()


@pytest.mark.parametrize("contract", BREAKS)
def test_an_import_that_a_contract_forbids_breaks_it_and_no_other(
    copy: Path, contract: str
) -> None:
    with with_import(copy, *BREAKS[contract]):
        assert broken(copy) == {contract}


def test_every_contract_has_an_import_that_breaks_it() -> None:
    assert BREAKS.keys() == CONTRACTS.keys()


@pytest.mark.parametrize("enumeration", ENUMERATIONS, ids=lambda one: one.contract)
def test_a_list_of_modules_leaves_out_none_but_those_that_are_meant_to_be(
    enumeration: Enumeration,
) -> None:
    """The package that holds one that is left out cannot be listed, so it must import nothing."""
    named = (*enumeration.listed, *enumeration.left_out)
    modules = [module for root in enumeration.within for module in below(root)]
    assert {name for name in enumeration.listed if not path_of(name).exists()} == set()
    assert [m for m in modules if not is_among(m, named) and imports(m)] == []
    assert [m for m in modules if is_among(m, named)] != []
    assert not {m for m in modules if is_among(m, enumeration.listed)} & {
        m for m in modules if is_among(m, enumeration.left_out)
    }


def below(root: str) -> Iterator[str]:
    """A package and all modules in it."""
    folder = Path(*root.split("."))
    for path in sorted(folder.rglob("*.py")):
        parts = path.with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_among(module: str, named: tuple[str, ...]) -> bool:
    """Whether a module is one of these, or in one of these packages."""
    return any(f"{module}.".startswith(f"{name}.") for name in named)


def imports(module: str) -> bool:
    """Whether there is an import in a module."""
    tree = ast.parse(path_of(module).read_text())
    return any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(tree))
