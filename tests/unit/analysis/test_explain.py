"""`pbrctl explain` tells which entry and which rules decide, and refuses what it cannot read."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbrinit.analysis import explain
from pbrinit.cli.main import main
from pbrinit.net.services import REMOTE_EPHEMERAL_PORTS, Ports, Protocol, Service
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import ANYBODY, Allow, Deny, Direction, Policy
from tests.support.router_plan import PLAN

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
        ("in wan icmp/echo 198.51.100.9 > 192.0.2.2", "input[1]"),
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


DOCS = Path("docs/explain.md").read_text()
ASKED = re.findall(r"^\| (\w+) \| `(.*)` \| (allowed|dropped) \|$", DOCS, re.MULTILINE)


@pytest.mark.parametrize(("policy", "question", "answer"), ASKED)
def test_the_questions_in_the_docs_are_answered_as_they_say(
    capsys: pytest.CaptureFixture[str], policy: str, question: str, answer: str
) -> None:
    assert main(["explain", f"examples/{policy}.toml", question]) == 0
    assert capsys.readouterr().out.startswith(answer)


def test_the_docs_have_the_forms_of_a_question_and_an_answer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert all(form in DOCS for form in explain.FORMS)
    assert len(ASKED) == len(re.findall("^[|] (host|router|rooms) ", DOCS, re.MULTILINE)) > 0
    first = ask(capsys, ASKED[0][1]).splitlines()[:4]
    assert "".join(f"    {line}\n" for line in first) in DOCS


def test_json_has_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    question = "in wan tcp 198.51.100.9:40000 > 192.0.2.2:22"
    assert main(["explain", POLICY, question, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["asked"]["allowed"]
    assert told["asked"]["entries"] == ["input[1]"]
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
        ("in wan tcp 1.2.3.400:5 > 192.0.2.2:22", "is not an address"),
        ("in wan tcp 1.2.3.4:5 > [2001:db8::2]:22", "not of one family"),
        ("in wan icmp 1.2.3.4:5 > 192.0.2.2", "has no ports"),
        ("in wan icmp/300 1.2.3.4 > 192.0.2.2", "has no number"),
        ("in wan sctp 1.2.3.4:5 > 192.0.2.2:22", "is no protocol"),
        ("in wan ip/6 1.2.3.4 > 192.0.2.2", "is no protocol"),
        ("in wan tcp 1.2.3.4:5 > 192.0.2.2:22 by wan", '"by" is for what goes out'),
        ("out tcp > 192.0.2.9:22 as nobody", 'no user is named "nobody"'),
        ("out tcp > 192.0.2.9:22 as root", 'root is number 0: write "as 0"'),
        ("out tcp > 192.0.2.9:22 please", '"please" is not understood'),
        ("in wan tcp 1.2.3.4:5 > 192.0.2.2:22 hops 0", '"0" is no number of hops'),
        ("in wan tcp 1.2.3.4:5 > 192.0.2.2:22 hops x", '"x" is no number of hops'),
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


STARTS = ("", "in wan tcp ", "in wan icmp ", "forward wan tcp ", "out ", "out udp > ")
WORDS = (
    *("in", "out", "wan", "tcp", "icmp", "icmp/", "icmp/8/", "ip/", "ip/47", "ip/x", ">", ":", "["),
    *("]", "[::1]:22", "1.2.3.4", "1.2.3.4:5", "192.0.2.2:22", "[2001:db8::2]", "::", "::%eth0"),
    *(
        "as",
        "by",
        "hops",
        "too-big",
        "forward",
        "updater",
        "4294967295",
        "first-fragment",
        "\N{ARABIC-INDIC DIGIT ONE}",
    ),
)


@given(st.sampled_from(STARTS), st.lists(st.sampled_from(WORDS), max_size=6))
def test_no_question_gives_a_traceback(start: str, words: list[str]) -> None:
    assert main(["explain", POLICY, start + " ".join(words)]) in (0, 2)


WAN = Interface("wan", "eth0", None, (), ())
LAN = Interface("lan", "eth1", None, (), ())
ROUTER = Policy(
    hostname="router",
    interfaces=(WAN, LAN),
    users=(),
    allows=tuple(
        Allow(key, Direction.FORWARD, (LAN,), (WAN,), ANYBODY, ANYBODY,
              (Service(Protocol.TCP, Ports(443, 443)),), REMOTE_EPHEMERAL_PORTS, None)
        for key in ("forward[1]", "forward[2]")
    ),
    denies=(Deny("deny[1]", (LAN,), None, ANYBODY, (), None, reject=True),),
)  # fmt: skip
ENTRIES = {3040: ("forward[1]", "forward[2]"), 2010: ("forward[2]",), 3010: ("deny[1]",)}
ROUTED = replace(
    PLAN,
    rules=tuple(
        replace(rule, note=", ".join(found), entries=found)
        if (found := ENTRIES.get(rule.preference, ()))
        else rule
        for rule in PLAN.rules
    ),
)


def of_router(question: str) -> explain.Explanation:
    """The answer to a question about the router made by hand."""
    return explain.explain(ROUTED, ROUTER, explain.parse(question, ROUTER, ROUTED.programs))


@pytest.mark.parametrize(
    "question",
    ["in lan tcp 10.0.5.1 > 203.0.113.7:443", "forward lan tcp 10.0.5.1 > 203.0.113.7:443",
     "in eth1 tcp [fd00:10::501] > [2001:db8:7::7]:443"],
)  # fmt: skip
def test_what_passes_through_names_all_its_entries_and_so_does_the_answer(question: str) -> None:
    told = of_router(question)
    asked, answer = "\n".join(explain.text(told)).split("the answer:\n")
    assert asked.startswith("allowed, by eth0: input allows it to pass")
    assert "  by forward[1]: forward from lan to wan: " in asked
    assert "  by forward[2]: " in asked
    assert answer.startswith("allowed, by eth1: ")
    assert [entry.key for entry in told.asked.entries] == ["forward[1]", "forward[2]"]
    assert told.answer is not None
    assert [entry.key for entry in told.answer.entries] == ["forward[2]"]
    assert explain.as_json(told, {"eth0": "wan"})["asked"]["interface"] == "wan"


def test_what_a_deny_entry_refuses_names_it_and_who_is_told() -> None:
    told = of_router("in lan tcp 10.0.5.1 > 203.0.113.255:443")
    text = "\n".join(explain.text(told))
    assert text.startswith("dropped, and its sender told: refused by the rule 3010: deny[1]")
    assert "  by deny[1]: deny by lan to anywhere: everything" in text
    assert "  the sender is told by icmp/3/13: allowed, by eth1: output allows it" in text
    notice = explain.as_json(told, {})["asked"]["notice"]
    assert (notice["protocol"], notice["allowed"]) == ("icmp/3/13", True)
    assert told.answer is None


DENYING = """
hostname = "gate"
[interface.wan]
device  = "eth0"
address = "192.0.2.2/24"
gateway = "192.0.2.1"
[network]
listed = [{listed}]
[service]
ssh = ["tcp/22"]
[[deny]]
from = "listed"
[[input]]
service = "ssh"
"""


def test_a_deny_entry_is_named_although_its_set_is_too_large_for_rules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = ", ".join(f'"198.51.100.{host}"' for host in range(0, 200, 2))
    policy = tmp_path / "gate.toml"
    policy.write_text(DENYING.format(listed=listed))
    for host, denied in ((8, True), (9, False)):
        assert main(["explain", str(policy), f"in wan tcp 198.51.100.{host} > 192.0.2.2:22"]) == 0
        told = capsys.readouterr().out
        assert told.startswith("dropped" if denied else "allowed")
        assert ("  by deny[1]: deny by wan from listed: everything\n" in told) == denied
        assert "# deny[1]" not in told


def test_a_sender_who_may_not_be_told_is_said_to_be_told_nothing() -> None:
    text = "\n".join(explain.text(of_router("in wan tcp 203.0.113.7 > 10.0.5.1:8080")))
    assert text.startswith("dropped: refused by the rule 2050")
    assert "  the sender would be told, but is not, by icmp/3/13: dropped: " in text


def test_hops_and_length_are_part_of_a_question() -> None:
    question = "in lan tcp 10.0.5.1 > 203.0.113.7:443"
    for more, error in (("hops 1", "icmp/11/0"), ("too-big", "icmp/3/4")):
        assert f"is told by {error}" in "\n".join(explain.text(of_router(f"{question} {more}")))
