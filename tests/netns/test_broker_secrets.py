"""A hostile program at the control broker gets no byte of a file that it did not send."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pbrinit.boot.control.commands import CHANGES, QUERIES
from tests.netns.test_broker import ONCE, USER, at_a_broker
from tests.support.namespaces import run_broker, run_guard
from tests.support.namespaces.lab import Lab
from tests.support.namespaces.two_room_machine import IDLE, POLICY, plan_of

SECRET = "Xq7-not-for-you"  # noqa: S105  what no answer may have
LINES = f"{SECRET}\n{SECRET} = 'x'\n203.0.113.0/24 {SECRET}\n[{SECRET}]\n"
FOLDER = "/run/secrets"
FILES = ("secret", "policy.toml", "password", "piped.toml")
PATHS = (
    *(f"{FOLDER}/{name}" for name in FILES),
    *(f"../../../../..{FOLDER}/{name}" for name in FILES),
    "/etc/shadow", "/etc/passwd", "/run/plan", "/run/trial", "/run/control", "/run/image.plan",
    "/proc/self/fd/0", "/proc/self/environ", "/proc/self/maps", "/proc/1/environ", "/dev/stdin",
    *(f"/proc/self/fd/{number}" for number in range(3, 12)), "piped.toml", "./piped.toml", "", ".",
    "/", "-", "/run", "/dev/zero", "/dev/tty",
)  # fmt: skip
OPTIONS = ("--json", "--confirm", "--help", "-h", "-c", "--", "1", "60", "²", "--confirm=1", "as")
SOUND = POLICY.format(one=json.dumps(IDLE), two=json.dumps(IDLE), more=ONCE, user="one")


def secret_parts() -> set[str]:
    """What an answer must not have: the planted words, and what is in files of this machine."""
    found = {SECRET, SECRET.upper(), SECRET[::-1]}
    for name in ("/etc/shadow", "/etc/passwd"):
        found |= {line for line in Path(name).read_text().splitlines() if len(line) > 12}
    return found | {"/usr/lib/x86_64-linux-gnu/libc", "PATH=", "import sys\nsys.path"}


PARTS = secret_parts()


@pytest.fixture(scope="module", params=["status", "try"])
def machine(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """One with secrets in files, in open descriptors of the broker and in its environment."""
    plan = plan_of(more=f'{ONCE}ask = "{request.param}"')
    with at_a_broker(plan, before=plant) as lab:
        yield lab


def plant() -> None:
    run_broker.plant(FOLDER, FILES, LINES)


def asked(lab: Lab, words: tuple[str, ...], policy: bytes = b"") -> str:
    """All of an answer, in which nothing is that was not sent."""
    sent = "\0".join(words) + policy.decode(errors="replace")
    status, out, wrong = lab.machine.do(run_broker.answer, USER, words, policy)
    assert status in (0, 1, 2)
    told = f"{out}{wrong}"
    assert "Traceback" not in told
    assert not [part for part in PARTS if part in told and part not in sent], (words, told)
    return told


@pytest.mark.parametrize("command", [*QUERIES, *CHANGES])
@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_no_argument_of_any_command(machine: Lab, command: str, path: str) -> None:
    for words in ((command, path), (command, "--json", path), (command, path, "--confirm", "1")):
        if words != ("try", "-") and words[:2] != ("try", "-"):
            asked(machine, words, b"")


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
WORDS = st.sampled_from([*QUERIES, *CHANGES, *PATHS, *OPTIONS]) | TEXTS
LINES_OF_WORDS = st.lists(WORDS, max_size=6).filter(lambda words: "try" not in words[:3])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(LINES_OF_WORDS, st.binary(max_size=99))
def test_no_words_bring_back_what_was_not_sent(
    machine: Lab, words: list[str], policy: bytes
) -> None:
    asked(machine, tuple(words), policy)


def swap(old: str, new: str) -> Callable[[str], str]:
    assert old in SOUND
    return lambda path: SOUND.replace(old, new.replace("PATH", json.dumps(path)))


PLACES = {
    "a network": swap("[network]", "[network]\nx = { file = PATH }"),
    "a network of two": swap("[network]", "[network]\nx = { file = PATH, more = [PATH] }"),
    "a network by dots": swap("[network]", "[network]\nx.file = PATH"),
    "a network in use": swap("mgmt = [", "mgmt.file = PATH\nold = ["),
    "a list of files": swap("[network]", "[network]\nx = [PATH]"),
    "files of a program": swap("[run.two]", '[run.one.files]\n"/x" = PATH\n[run.two]'),
    "files at a path": swap("[run.two]", '[run.one.files]\nPATH = "x"\n[run.two]'),
    "a command": swap('command = ["/usr/bin/python3", "-ISBuc", ', "command = [PATH, "),
    "a package": swap('restart = "never"', "package = PATH"),
    "a host name": swap('"gate"', "PATH"),
    "the password": swap("[network]", "[console]\npassword = PATH\n[network]"),
    "a user": swap('user = "two"', "user = PATH"),
    "an include": swap("[network]", "include = PATH\n[network]"),
    "a key": swap("[network]", "[network]\nPATH = { file = PATH }"),
}


@pytest.mark.parametrize("machine", ["try"], indirect=True)
@pytest.mark.parametrize("place", PLACES)
def test_a_policy_that_names_a_file_is_told_nothing_of_it(machine: Lab, place: str) -> None:
    for path in (f"{FOLDER}/secret", "/proc/self/fd/0", "piped.toml"):
        told = asked(machine, ("try", "-", "--confirm", "1"), PLACES[place](path).encode())
        assert re.search("no policy is|error", told), told
    assert machine.machine.do(run_guard.is_alive)


@pytest.mark.parametrize("machine", ["try"], indirect=True)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12)
@given(st.data())
def test_no_policy_brings_back_what_was_not_sent(machine: Lab, data: st.DataObject) -> None:
    """Texts with pieces replaced by others, and by bytes of any kind."""
    text = PLACES[data.draw(st.sampled_from([*PLACES]))](data.draw(st.sampled_from(PATHS))).encode()
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(text)))
        text = (
            text[:at] + data.draw(st.binary(max_size=9)) + text[at + data.draw(st.integers(0, 9)) :]
        )
    asked(machine, ("try", "-", "--confirm", "1"), text)
