"""The policy language: from the text of a TOML file to a `Policy`.

In: the path of a policy file.  Out: a `Policy` in which every name is resolved and every
prefix is sound, with remarks on what is odd, or a `PolicyError` with everything that is
wrong.  Docs: docs/language.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pbrinit.policy import room_addresses
from pbrinit.policy.policy import STAY, Policy
from pbrinit.policy.problems import Problem, Problems
from pbrinit.policy.reader import conflicts, metrics, programs
from pbrinit.policy.reader.document import parsed
from pbrinit.policy.reader.entries import read_betweens, read_denies, read_entries
from pbrinit.policy.reader.expectations import read_expectations
from pbrinit.policy.reader.names import Vocabulary
from pbrinit.policy.reader.scalars import hostname, on_failure, password_hash


@dataclass(frozen=True)
class Reading:
    """A policy, and what its author may not have meant."""

    policy: Policy
    remarks: tuple[Problem, ...]


def read(path: Path, *, at_home: bool = True) -> Policy:
    """Read and check the policy file at `path`; unless it is `at_home`, where images are made of
    it, the files of its programs are not looked for: the machine has them in their places.

    Raises PolicyError with all findings, also where the file is not there or is not TOML.
    """
    return read_with_remarks(path, at_home=at_home).policy


def read_with_remarks(path: Path, *, at_home: bool = True) -> Reading:
    """The same, with remarks on names that nothing uses and on single keys.

    Raises PolicyError with all findings, also where the file is not there or is not TOML.
    """
    problems, remarks = Problems(str(path)), Problems(str(path))
    document = parsed(path, problems)
    name = document.atom("hostname", hostname)
    hashed = document.node("console").atom("password", password_hash)
    failure = document.atom("on-failure", on_failure)
    vocabulary = Vocabulary(document)
    entries = read_entries(vocabulary, document)
    betweens = read_betweens(vocabulary, document)
    denies = read_denies(vocabulary, document, remarks)
    expectations = read_expectations(vocabulary, document)
    served = metrics.served(vocabulary, document, entries, remarks)
    conflicts.check_answers(problems, entries, vocabulary.reach)
    conflicts.check_takers(problems, entries)
    for interface, there in (
        room_addresses.taken(vocabulary.interfaces.values()) if betweens else ()
    ):
        problems.add(
            f"interface.{interface.name}",
            f"{there} is among the addresses by which rooms reach each other",
            "these exist inside of the machine alone: leave between out, or have another address",
        )
    if at_home:
        programs.sources(problems, vocabulary.runs.values())
    problems.stop()
    policy = Policy(
        hostname=name or "",
        interfaces=tuple(vocabulary.interfaces.values()),
        users=tuple(vocabulary.users.values()),
        entries=entries,
        denies=denies,
        expectations=expectations,
        on_failure=failure or STAY,
        runs=tuple(vocabulary.runs.values()),
        betweens=betweens,
        clients=vocabulary.clients,
        password=hashed,
        metrics=served,
        log=document.flag("log"),
    )
    return Reading(policy, (*vocabulary.unused(), *remarks.found))
