"""Networks: files of prefixes, and what is left out by a "not"."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from pbrinit.net.addresses import Family
from pbrinit.policy.policy import AddressGroup
from pbrinit.policy.problems import PolicyError
from pbrinit.policy.reader.reader import read_policy

POLICY = """
hostname = "gate"
[interface.wan]
device = "eth0"
address = ["192.0.2.2/24", "2001:db8::2/64"]
gateway = ["192.0.2.1", "2001:db8::1"]
[network]
inner = ["10.0.0.0/8", "fd00::/8"]
servers = ["10.1.0.0/16"]
listed = {{ file = "list.txt" }}
[service]
ssh = "tcp/22"
[[input]]
from = {words}
service = "ssh"
"""


def peers(folder: Path, words: str, listed: str = "203.0.113.0/24\n") -> AddressGroup:
    (folder / "list.txt").write_text(listed)
    (folder / "policy.toml").write_text(POLICY.format(words=words))
    found = read_policy(folder / "policy.toml").allows[0].peers
    assert found is not None
    return found


def problems(folder: Path, words: str, listed: str = "203.0.113.0/24\n") -> str:
    with pytest.raises(PolicyError) as error:
        peers(folder, words, listed)
    return str(error.value).replace(f"{folder}/", "")


def test_what_is_named_after_a_not_is_left_out_of_the_rest(tmp_path: Path) -> None:
    found = peers(tmp_path, '["inner", "not servers"]')
    assert ip_address("10.0.0.1") in found.in_family(Family.V4)
    assert ip_address("10.1.0.1") not in found.in_family(Family.V4)
    assert ip_address("fd00::1") in found.in_family(Family.V6)


def test_a_not_alone_leaves_everybody_else(tmp_path: Path) -> None:
    found = peers(tmp_path, '"not inner"')
    assert ip_address("8.8.8.8") in found.in_family(Family.V4)
    assert ip_address("10.0.0.1") not in found.in_family(Family.V4)
    assert ip_address("2001:db8::9") in found.in_family(Family.V6)


def test_a_file_has_a_prefix_a_line_and_remarks(tmp_path: Path) -> None:
    text = "# from somewhere\n203.0.113.0/24  # one\n\n2001:db8:7::/48\n198.51.100.7\n"
    found = peers(tmp_path, '"listed"', text)
    assert [str(p) for p in found.in_family(Family.V4).prefixes] == [
        "198.51.100.7/32",
        "203.0.113.0/24",
    ]
    assert [str(p) for p in found.in_family(Family.V6).prefixes] == ["2001:db8:7::/48"]


def test_a_file_of_100_000_prefixes_is_read_at_once(tmp_path: Path) -> None:
    lines = [f"{1 + i // 65536}.{i // 256 % 256}.{i % 256}.{i % 2}/32" for i in range(100_000)]
    found = peers(tmp_path, '"not listed"', "\n".join(lines))
    assert ip_address("1.0.0.0") not in found.in_family(Family.V4)
    assert ip_address("1.0.0.1") in found.in_family(Family.V4)


@pytest.mark.parametrize(
    ("words", "listed", "expected"),
    [
        ('"not iner"', "203.0.113.0/24",
         'input[1].from: no network is named "iner" (did you mean "inner"?)'),
        ('["servers", "not inner"]', "203.0.113.0/24",
         'input[1].from: contains no address at all (the "not" removes all of them)'),
        ('"listed"', "203.0.113.1/24\nfoo",
         "network.listed.file: list.txt, line 1: 203.0.113.1/24 has bits set beyond its length"
         ' (did you mean "203.0.113.0/24"?)'),
        ('"listed"', "203.0.113.1/24\nfoo", 'list.txt, line 2: "foo" is not a prefix'),
        ('"listed"', "# nothing\n", "list.txt has no prefix in it (name at least one)"),
        ('"listed"', "é", 'list.txt, line 1: "é" is not a prefix'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(
    tmp_path: Path, words: str, listed: str, expected: str
) -> None:
    assert expected in problems(tmp_path, words, listed)


def test_a_file_may_begin_with_a_byte_order_mark_and_have_remarks_in_any_script(
    tmp_path: Path,
) -> None:
    found = peers(tmp_path, '"listed"', "\ufeff203.0.113.0/24  # café\n")
    assert [str(p) for p in found.in_family(Family.V4).prefixes] == ["203.0.113.0/24"]


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("latin-1", "list.txt cannot be read: line 2: byte 0xe9, not UTF-8 (save the file as"),
        ("utf-16", "list.txt cannot be read: it is UTF-16, not UTF-8 (save the file as UTF-8)"),
    ],
)
def test_a_file_in_another_encoding_is_refused_with_its_line(
    tmp_path: Path, encoding: str, expected: str
) -> None:
    text = POLICY.format(words='"listed"').replace("list.txt", "other/list.txt")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "list.txt").write_bytes("203.0.113.0/24\n# café\n".encode(encoding))
    (tmp_path / "policy.toml").write_text(text)
    with pytest.raises(PolicyError) as error:
        read_policy(tmp_path / "policy.toml")
    assert expected in str(error.value)


def test_of_a_file_full_of_mistakes_ten_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    said = problems(tmp_path, '"listed"', "nonsense\n" * 50).splitlines()
    assert len(said) == 11
    assert said[-1].endswith("list.txt: 40 more lines are wrong")
