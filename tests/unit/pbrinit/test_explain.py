"""`pbrctl explain` tells which entry and which rules decide, and refuses what it cannot read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbrinit.cli import main

POLICY = "examples/host.toml"


def ask(capsys: pytest.CaptureFixture[str], question: str) -> str:
    """The answer to a question that is sound."""
    assert main(["explain", POLICY, question]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("question", "entry"),
    [
        ("in wan tcp 198.51.100.9:40000 > 192.0.2.2:22", "input[1]"),
        ("in eth0 tcp 198.51.100.9 > 192.0.2.2:22", "input[1]"),
        ("in wan icmp 198.51.100.9 > 192.0.2.2", "input[1]"),
        ("in wan tcp [2001:db8:5::9]:40000 > [2001:db8::2]:22", "input[1]"),
        ("out tcp > 203.0.113.7:443 as updater", "output[2]"),
        ("out tcp 192.0.2.2:40000 > 203.0.113.7:443 as 1001", "output[2]"),
        ("out udp > [2001:db8::53]:53 as updater", "output[1]"),
    ],
)
def test_what_is_allowed_names_its_entry_and_so_does_the_answer(
    capsys: pytest.CaptureFixture[str], question: str, entry: str
) -> None:
    asked, answer = ask(capsys, question).split("the answer:\n")
    for part in (asked, answer):
        assert part.startswith("allowed")
        assert f"by {entry}: " in part
        assert f"# {entry}" in part


@pytest.mark.parametrize(
    "question",
    [
        "in wan tcp 203.0.113.7:40000 > 192.0.2.2:22",
        "in wan udp 198.51.100.9:40000 > 192.0.2.2:22",
        "in wan tcp 198.51.100.9:40000 > 192.0.2.2:22 first-fragment",
        "in wan tcp 198.51.100.9:40000 > 192.0.2.2:22 later-fragment",
        "in wan ip/47 198.51.100.9 > 192.0.2.2",
        "out tcp > 203.0.113.7:443",
        "out tcp > 203.0.113.7:80 as updater",
        "out icmp/3/1 192.0.2.2 > 198.51.100.9",
    ],
)
def test_what_is_dropped_says_so_and_by_which_rule(
    capsys: pytest.CaptureFixture[str], question: str
) -> None:
    told = ask(capsys, question)
    assert told.startswith("dropped")
    assert "rule add pref" in told
    assert "the answer" not in told


def test_json_has_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    question = "in wan tcp 198.51.100.9:40000 > 192.0.2.2:22"
    assert main(["explain", POLICY, question, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["asked"]["allowed"]
    assert told["asked"]["entry"] == "input[1]"
    assert told["asked"]["lookups"][1]["lookup"] == "return_path"
    assert told["answer"]["interface"] == "wan"


@pytest.mark.parametrize(
    ("question", "what"),
    [
        ("", "is no question"),
        ("in tcp 1.2.3.4:5 > 192.0.2.2:22", '"1.2.3.4:5" is no protocol'),
        ("in lan tcp 1.2.3.4:5 > 192.0.2.2:22", 'no interface is named "lan"'),
        ("in wan tcp > 192.0.2.2:22", "has a source"),
        ("in wan tcp 1.2.3.4:5 > 192.0.2.2", "has no port"),
        ("in wan tcp 1.2.3.4:5 > 192.0.2.2:70000", "70000 is no port"),
        ("in wan tcp 1.2.3.400:5 > 192.0.2.2:22", "is no address"),
        ("in wan tcp 1.2.3.4:5 > [2001:db8::2]:22", "not of one family"),
        ("in wan icmp 1.2.3.4:5 > 192.0.2.2", "has no ports"),
        ("in wan icmp/300 1.2.3.4 > 192.0.2.2", "has no number"),
        ("in wan sctp 1.2.3.4:5 > 192.0.2.2:22", "is no protocol"),
        ("in wan ip/6 1.2.3.4 > 192.0.2.2", "is no protocol"),
        ("in wan tcp 1.2.3.4:5 > 192.0.2.2:22 by wan", '"by" is for what goes out'),
        ("out tcp > 192.0.2.9:22 as nobody", 'no user is named "nobody"'),
        ("out tcp > 192.0.2.9:22 please", '"please" is not understood'),
    ],
)
def test_a_malformed_question_is_refused_with_a_way_out(
    capsys: pytest.CaptureFixture[str], question: str, what: str
) -> None:
    assert main(["explain", POLICY, question]) == 2
    told = capsys.readouterr()
    assert what in told.err
    assert " hint: " in told.err
    assert told.out == ""


STARTS = ("", "in wan tcp ", "in wan icmp ", "out ", "out udp > ")
WORDS = (
    *("in", "out", "wan", "tcp", "icmp", "icmp/", "icmp/8/", "ip/", "ip/47", "ip/x", ">", ":", "["),
    *("]", "[::1]:22", "1.2.3.4", "1.2.3.4:5", "192.0.2.2:22", "[2001:db8::2]", "::", "::%eth0"),
    *("as", "by", "updater", "4294967295", "first-fragment", "\N{ARABIC-INDIC DIGIT ONE}"),
)


@given(st.sampled_from(STARTS), st.lists(st.sampled_from(WORDS), max_size=6))
def test_no_question_gives_a_traceback(start: str, words: list[str]) -> None:
    assert main(["explain", POLICY, start + " ".join(words)]) in (0, 2)
