"""The policy language: from the text of a TOML file to a `Policy`.

In: the path of a policy file.  Out: a `Policy` in which every name is resolved and every prefix is
checked, with remarks on what is odd; or a `PolicyError` with everything that is wrong.  The
language: docs/language.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pbrinit.policy import room_addresses
from pbrinit.policy.policy import STAY, Policy
from pbrinit.policy.problems import Problem, Problems
from pbrinit.policy.reader import conflicts, metrics, programs
from pbrinit.policy.reader.document import parse_document
from pbrinit.policy.reader.entries import read_allows, read_denies, read_room_allows
from pbrinit.policy.reader.expectations import read_expectations
from pbrinit.policy.reader.names import SymbolTable
from pbrinit.policy.reader.scalars import hostname, on_failure, password_hash


@dataclass(frozen=True)
class CheckResult:
    """A policy, and remarks on what its author may not have meant."""

    policy: Policy
    remarks: tuple[Problem, ...]


def read_policy(path: Path, *, check_files: bool = True) -> Policy:
    """Read and check the policy file at `path`.

    `check_files`: the sources of the programs' files must exist, as for an image. On the appliance
    they do not: there the files themselves are in place.

    Raises PolicyError with all problems, also where the file is missing or is not TOML.
    """
    return read_with_remarks(path, check_files=check_files).policy


def read_with_remarks(path: Path, *, check_files: bool = True) -> CheckResult:
    """As `read_policy`, with remarks on names that are not used and on single keys.

    Raises PolicyError with all problems, also where the file is missing or is not TOML.
    """
    problems, remarks = Problems(str(path)), Problems(str(path))
    document = parse_document(path, problems)
    name = document.scalar("hostname", hostname)
    hashed = document.subtable("console").scalar("password", password_hash)
    failure = document.scalar("on-failure", on_failure)
    symbols = SymbolTable(document)
    allows = read_allows(symbols, document)
    room_allows = read_room_allows(symbols, document)
    denies = read_denies(symbols, document, remarks)
    expectations = read_expectations(symbols, document)
    served = metrics.read_metrics(symbols, document, allows, remarks)
    conflicts.check_answers(problems, allows, symbols.reachability)
    conflicts.check_receivers(problems, allows)
    rooms = [program for program in symbols.programs.values() if program.isolated]
    conflicts.check_client_ports(problems, allows, rooms)
    interfaces = symbols.interfaces.values() if room_allows else ()
    for interface, address in room_addresses.conflicting_interfaces(interfaces):
        problems.report(
            f"interface.{interface.name}",
            f"{address} is among the addresses by which rooms reach each other",
            "no host outside can have one: leave between out, or use another address",
        )
    if check_files:
        programs.check_sources(problems, symbols.programs.values())
    problems.raise_if_any()
    policy = Policy(
        hostname=name or "",
        interfaces=tuple(symbols.interfaces.values()),
        users=tuple(symbols.users.values()),
        allows=allows,
        denies=denies,
        expectations=expectations,
        on_failure=failure or STAY,
        programs=tuple(symbols.programs.values()),
        room_allows=room_allows,
        client_ports=symbols.client_ports,
        password=hashed,
        metrics=served,
        log=document.flag("log"),
    )
    return CheckResult(policy, (*symbols.unused(), *remarks.reported))
