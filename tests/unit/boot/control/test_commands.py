"""What words become: one of the commands there are, or a sentence that says why not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbrinit.boot.control import commands
from pbrinit.boot.control.commands import Confirm, Query, Restart, Try, UsageError
from pbrinit.boot.guard import requests

TOKEN = "0123456789abcdef"  # noqa: S105  of a trial
NAMES = [*commands.QUERIES, *commands.CHANGES]
HOSTILE = ["", "-", "--", "--json", "--confirm", "-c", "--help", "²", "٣", "1" * 5000, "0", "-1",
           "3600", "3601", "/proc/self/fd/0", "/etc/shadow", "../x", "\x00", "\ud800", "\n", TOKEN,
           TOKEN[:-1], "{ file = \"/etc/shadow\" }", "lease", "try-for", "one", "sshd"]  # fmt: skip
WORDS = st.sampled_from([*NAMES, *HOSTILE]) | st.text(max_size=20)


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("status", Query(name="status", question=(), as_json=False)),
        ("--json audit", Query(name="audit", question=(), as_json=True)),
        ("explain out tcp > 192.0.2.1:1 --json",
         Query(name="explain", question=("out", "tcp", ">", "192.0.2.1:1"), as_json=True)),
        ("try -", Try(file="-", seconds=60, as_json=False)),
        ("try new.toml --confirm 20", Try(file="new.toml", seconds=20, as_json=False)),
        ("try --confirm 3600 - --json", Try(file="-", seconds=3600, as_json=True)),
        (f"confirm {TOKEN}", Confirm(token=TOKEN, as_json=False)),
        ("confirm", Confirm(token="", as_json=False)),
        ("restart sshd", Restart(program="sshd", as_json=False)),
    ],
)  # fmt: skip
def test_what_is_a_command(words: str, command: commands.Command) -> None:
    assert commands.parse(words.split()) == command


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("try - --confirm ²", "--confirm takes seconds, not '²'"),
        ("try - --confirm 0", "a trial lasts 1 to 3600 s"),
        ("try - --confirm 3601", "a trial lasts 1 to 3600 s"),
        ("try - --confirm -1", "--confirm takes seconds, not '-1'"),
        (f"try - --confirm {'9' * 5000}", "--confirm takes seconds"),
        ("try", "try FILE [--confirm SECONDS]"),
        ("try - extra", "try FILE [--confirm SECONDS]"),
        ("confirm me", "a token has 16 hexadecimal digits: `try` prints it"),
        (f"confirm {TOKEN.upper()}", "a token has 16 hexadecimal digits: `try` prints it"),
        ("confirm a b", "confirm TOKEN"),
        ("restart", "restart PROGRAM"),
        ("status now", "status takes nothing more"),
        ("lease 192.0.2.9/24", "there is no command 'lease'; --help lists them"),
        ("try-for sshd 60", "there is no command 'try-for'; --help lists them"),
        ("", "there is no command ''; --help lists them"),
    ],
)
def test_what_is_none_is_explained(words: str, why: str) -> None:
    with pytest.raises(UsageError) as told:
        commands.parse(words.split())
    assert str(told.value).startswith(why)


@given(st.lists(WORDS, max_size=6))
def test_whatever_the_words_are_it_is_a_command_in_its_bounds_or_none(words: list[str]) -> None:
    try:
        command = commands.parse(words)
    except UsageError:
        return
    assert command.name in NAMES
    assert command.as_json == ("--json" in words)
    if isinstance(command, Try):
        assert command.file in words
        assert 0 < command.seconds <= requests.LONGEST_TRIAL
    elif isinstance(command, Confirm):
        assert command.token in ("", TOKEN)
    elif isinstance(command, Query) and command.name != "explain":
        assert command.question == ()
