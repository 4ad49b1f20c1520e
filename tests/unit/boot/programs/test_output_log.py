"""What programs say reaches the console by the line, and neither floods nor commands it."""

from __future__ import annotations

import pytest

from pbrinit.boot.programs import output_log
from pbrinit.boot.programs.output_log import Voice
from pbrinit.boot.system.log import printable


def hear(voice: Voice, data: bytes, now: float = 0.0) -> list[str]:
    return list(voice.hear(data, now))


def test_lines_are_said_when_they_are_whole_with_the_program_s_name() -> None:
    voice = Voice("sshd")
    assert hear(voice, b"one\ntw") == ["sshd: one"]
    assert hear(voice, b"o\n") == ["sshd: two"]


def test_a_long_line_is_said_in_pieces_and_is_not_kept_without_end() -> None:
    voice = Voice("a")
    said = hear(voice, b"x" * 1000)
    assert said == [f"a: {'x' * output_log.LONGEST}"] * 3
    assert hear(voice, b"\n") == [f"a: {'x' * (1000 - 3 * output_log.LONGEST)}"]


def test_a_long_whole_line_is_said_in_pieces() -> None:
    assert [len(line) for line in hear(Voice("a"), b"x" * 700 + b"\n")] == [303, 303, 103]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"\x1b[2J\x07", "\\x1b[2J\\x07"),
        (b"caf\xc3\xa9", "caf\\xc3\\xa9"),
        (b"\xff\x00", "\\xff\\x00"),
        (b"end\r", "end"),
        (b"a\rb", "a\\x0db"),
        (b"a\tb", "a\\x09b"),
    ],
)
def test_a_terminal_is_not_commanded(line: bytes, said: str) -> None:
    assert printable(line) == said


def test_too_many_lines_are_counted_and_not_said() -> None:
    voice = Voice("a")
    assert len(hear(voice, b"x\n" * 1000, 10.0)) == output_log.AT_ONCE
    later = hear(voice, b"y\n", 11.0)
    assert later == ["a: 950 lines were too many and are left out", "a: y"]


def test_a_second_gives_so_many_lines() -> None:
    voice = Voice("a")
    hear(voice, b"x\n" * 1000, 10.0)
    assert len(hear(voice, b"y\n" * 1000, 12.0)) == 2 * output_log.A_SECOND + 1
