"""However a policy file is mangled, `pbrctl check` reads it or refuses it, and says of which
file it speaks.

A quick share runs every time; MANGLED=100000 in the environment asks for more.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pbrinit.cli import main

TEXTS = [path.read_text() for path in sorted(Path("examples").glob("*.toml"))]
LIST = "203.0.113.0/24 # one\n2001:db8:7::/48\n\n198.51.100.7\n"
MORE = settings(
    # a busy machine is not what this is about
    max_examples=int(os.environ.get("MANGLED", "150")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
WORDS = st.sampled_from(
    [
        '"eth0"', '"192.0.2.2/24"', '"any"', '"not any"', '"not "', '""', '"a b"', '"\\ud7ff"',
        '"\\u0000"', '"\\u001b[31m"', "[]", "[[]]", "{}", "{ file = 3 }", '{ file = "" }',
        '{ file = "." }', '{ file = "list.txt" }', '{ file = "\\u0000" }',
        '{ file = "/proc/self/mem" }', "3", "-1", "0x7f", "true", "nan", "-inf", "1e400",
        "1979-05-27T07:32:00Z", "07:32:00", "9" * 30, "9" * 5000, "0b1", "1_0", "'''\n'''",
        '"::ffff:1.2.3.4"', '"::/0"', '"0.0.0.0/0"', '"10.0.0.0/8"', '"1.2.3.4/255.0.0.0"',
        '"fe80::1%eth0"', '"ip/0"', '"tcp/1-65534"', f'"tcp/{"9" * 5000}"', f'"ip/{"9" * 5000}"',
        f'"{"y" * 100_000}"', "[" * 500 + "]" * 500, "[" * 20_000,
        "{ a = " * 200 + "1" + "}" * 200, '["a", "a"]', '["wan", 3]', '"wan"', '"lan"', '"mgmt"',
        '"ssh"', "\N{BOM}", "\x00", '"10.9.0.0/16 via 192.0.2.1"', '"default via fe80::1"',
        f'{{ file = "{"n" * 300}" }}', f'"{"n" * 300}"',
        '"64/2"', '"dhcp"', '["ra", "dhcp"]', '"fe80::1"', '"10.0.0.0/8 via 10.0.0.254"',
    ]
)  # fmt: skip
KEYS = st.sampled_from(
    ["on", "in", "out", "from", "to", "service", "user", "clients", "reject", "log", "device",
     "mac", "address", "gateway", "route", "hostname", "never", "always", "run", "keep", "ask",
     "isolate", "between", "metrics", "on-failure", "a.b.c", '""', '"a b"', "[deny]",
     "[[deny]]", "[[forward]]", "[[expect]]", "[interface]", "[[interface]]", "[network.a.b]"]
)  # fmt: skip


def said(path: Path) -> tuple[int, str]:
    """How `pbrctl check` ends, and all that it says."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        status = main.main(["check", str(path)])
    return status, out.getvalue()


def hold(path: Path) -> None:
    """Check that the command ends in one of two ways and says of which file it speaks."""
    status, text = said(path)
    assert status in (0, 2)
    assert str(path) in text
    assert text.replace("\n", "").isprintable()
    assert all(len(line) < 2000 for line in text.splitlines())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mangled")


@st.composite
def mangled_lines(draw: st.DrawFn) -> str:
    """An example with some lines dropped, doubled, swapped, or given another value or key."""
    lines = draw(st.sampled_from(TEXTS)).splitlines()
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(lines) - 1))
        key, sign, value = lines[at].partition("=")
        match draw(st.integers(0, 7)):
            case 0:
                lines[at] = ""
            case 1:
                lines.insert(at, lines[at])
            case 2:
                other = draw(st.integers(0, len(lines) - 1))
                lines[at], lines[other] = lines[other], lines[at]
            case 3 | 4:
                lines[at] = f"{key}= {draw(WORDS)}"
            case 5:
                lines[at] = f"{draw(KEYS)} {sign}{value}"
            case 6:
                lines.insert(at, f"{draw(KEYS)} = {draw(WORDS)}")
            case _:
                lines.insert(at, draw(KEYS))
    return "\n".join(lines)


@st.composite
def mangled_bytes(draw: st.DrawFn) -> bytes:
    """An example with some bytes changed, put in or left out."""
    data = bytearray(draw(st.sampled_from(TEXTS)).encode())
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(data) - 1))
        until = at + draw(st.integers(0, 3))
        data[at:until] = draw(st.binary(max_size=3))
    return draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf", b"\xff\xfe"])) + data


@MORE
@given(text=mangled_lines())
def test_lines_that_are_dropped_doubled_swapped_or_changed(folder: Path, text: str) -> None:
    for name in ("list.txt", "blocklist.txt"):
        (folder / name).write_text(LIST)
    (folder / "policy.toml").write_text(text)
    hold(folder / "policy.toml")


@MORE
@given(data=mangled_bytes())
def test_bytes_that_are_changed(folder: Path, data: bytes) -> None:
    (folder / "policy.toml").write_bytes(data)
    hold(folder / "policy.toml")


@MORE
@given(data=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_a_list_of_prefixes_that_is_none(folder: Path, data: bytes) -> None:
    entry = '[[input]]\nservice = "ssh"\nfrom = "listed"\n'
    text = Path("examples/host.toml").read_text() + entry
    text = text.replace("[network]", '[network]\nlisted = { file = "list.txt" }')
    (folder / "policy.toml").write_text(text)
    (folder / "list.txt").write_bytes(LIST.encode() + data)
    hold(folder / "policy.toml")


def as_directory(path: Path) -> None:
    path.mkdir()


def as_broken_link(path: Path) -> None:
    path.symlink_to("nowhere")


def as_loop(path: Path) -> None:
    path.symlink_to(path)


def as_pipe(path: Path) -> None:
    os.mkfifo(path)


def as_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def as_nothing(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)


NO_FILE = [as_directory, as_broken_link, as_loop, as_nothing]


@pytest.mark.parametrize("make", NO_FILE)
def test_a_policy_that_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "policy.toml"
    make(path)
    status, text = said(path)
    assert status == 2
    assert text.startswith(f"{path}: file: cannot be read: ")


@pytest.mark.parametrize("make", [*NO_FILE, as_pipe, as_device])
def test_a_list_that_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "policy.toml"
    text = Path("examples/host.toml").read_text()
    path.write_text(text.replace("[network]", '[network]\nlisted = { file = "list.txt" }'))
    make(tmp_path / "list.txt")
    status, text = said(path)
    assert status == 2
    assert text.startswith(f"{path}: network.listed.file: {tmp_path}/list.txt ")


def test_files_that_must_not_be_read_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may read everything, so that the refusal is made here."""
    path = tmp_path / "policy.toml"
    path.write_text(TEXTS[0])

    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert said(path) == (2, f"{path}: file: cannot be read: Permission denied\n1 error\n")
