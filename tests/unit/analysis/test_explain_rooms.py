"""What explain, diff, the list of holes and expectations say of rooms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pbrinit.analysis import holes
from pbrinit.analysis.diff import changes, lines
from pbrinit.analysis.holes import ANYWHERE_FROM_ROOM, UNASKED_IN_ROOM
from pbrinit.analysis.proof.prover import Proof
from pbrinit.cli import prove
from pbrinit.cli.main import main
from pbrinit.compiler.compile import compile_policy
from tests.support.policy_text import ROOMS, written

EXAMPLE = "examples/rooms.toml"
SSH_IN = '[[input]]\non = "wan"\nfrom = "mgmt"\nservice = "ssh"\nrun = "sshd"\n'
WEB_OUT = '[[output]]\non = "wan"\nto = "mgmt"\nservice = "web"\nrun = "updater"\n'
DNS_BETWEEN = '[[between]]\nfrom = "updater"\nto = "resolver"\nservice = "dns"\n'


def ask(capsys: pytest.CaptureFixture[str], question: str) -> str:
    """The answer to a question that is sound."""
    assert main(["explain", EXAMPLE, question]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("question", "room", "entry"),
    [
        ("in wan tcp 198.51.100.9 > 192.0.2.2:22",
         "sshd: to /usr/bin/python3 -ISB /etc/dropbear/start -j", "input[1]"),
        ("in wan tcp [2001:db8:7::1]:443 > [2001:db8::2]:40960",
         "updater: to /usr/bin/python3 -ISB /etc/updater/updater.py", "output[1]"),
        ("out run=updater udp > 169.254.77.3:53",
         "resolver: to /usr/bin/python3 -ISB /etc/resolver/resolver.py", "between[1]"),
    ],
)  # fmt: skip
def test_the_room_that_gets_the_packet_is_named(
    capsys: pytest.CaptureFixture[str], question: str, room: str, entry: str
) -> None:
    asked, answer = ask(capsys, question).split("the answer:\n")
    assert asked.startswith("allowed, by r-")
    assert f"  into room {room}, and nobody else\n" in asked
    assert f"  by {entry}: " in asked
    assert answer.startswith("allowed, by ")


@pytest.mark.parametrize("question", ["tcp > 203.0.113.7:443", "tcp > [2001:db8:7::1]:443"])
def test_a_program_in_a_room_asks_from_its_slice_and_the_address_it_would_take(
    capsys: pytest.CaptureFixture[str], question: str
) -> None:
    asked, answer = ask(capsys, f"out run=updater {question}").split("the answer:\n")
    own = "2001:db8::2" if "[" in question else "192.0.2.2"
    assert "allowed, by eth0" in asked
    assert f"iif r-updater from {own} to " in asked
    assert "sport 40960 dport 443" in asked
    assert "into room updater" in answer


def test_what_a_room_may_not_ask_is_dropped_and_nobody_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ask(capsys, "out run=updater udp > 192.0.2.53:53").startswith("dropped: refused by")
    assert ask(capsys, "out run=sshd tcp > 203.0.113.7:443").startswith("dropped: refused by")


def test_an_entry_without_a_run_is_said_to_be_about_the_machine_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = ask(capsys, "in wan icmp 198.51.100.9 > 192.0.2.2")
    assert "by input[2]: input by wan from admins: icmp/echo, of the machine itself" in told
    assert "into room" not in told


def test_where_there_are_no_rooms_that_goes_without_saying(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["explain", "examples/host.toml", "in wan icmp 198.51.100.9 > 192.0.2.2"]) == 0
    assert "the machine itself" not in capsys.readouterr().out


def test_a_program_gets_the_room_by_its_name_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    question = "in wan tcp 198.51.100.9 > 192.0.2.2:22"
    assert main(["explain", EXAMPLE, question, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["asked"]["room"] == "sshd"
    assert told["asked"]["interface"] == "room sshd"
    assert (told["answer"]["room"], told["answer"]["interface"]) == (None, "wan")


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("out run=updatr tcp > 203.0.113.7:443", 'no program is named "updatr"'),
        ("out run=updater tcp > 203.0.113.7:443 as updater", '"as" is not for a room'),
        ("out run=updater tcp > 203.0.113.7:443 by wan", '"by" is not for a room'),
        ("in run=updater tcp 1.2.3.4 > 203.0.113.7:443", 'no interface is named "run=updater"'),
    ],
)
def test_a_malformed_question_about_a_room_is_refused(
    capsys: pytest.CaptureFixture[str], question: str, told: str
) -> None:
    assert main(["explain", EXAMPLE, question]) == 2
    assert told in capsys.readouterr().err


def test_a_program_without_a_room_is_asked_about_by_its_user(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "beside.toml"
    beside = 'user = "updater"\nisolate = false\n'
    path.write_text(ROOMS.replace('user = "updater"\n', beside) + WEB_OUT)
    assert main(["explain", str(path), "out run=updater tcp > 198.51.100.9:443"]) == 2
    told = capsys.readouterr().err
    assert "updater has no room" in told
    assert 'write "as updater"' in told


def of_entry(text: str) -> list[str]:
    """What is said of the holes of the first entry."""
    found = list(holes.lines(written(text, ROOMS)))
    end = next(n for n, line in enumerate(found[1:], 1) if not line.startswith("  "))
    return [line.strip() for line in found[1:end]]


def test_an_answer_that_nobody_asked_for_reaches_one_room_and_no_service() -> None:
    answers = "in by wan to room updater: tcp/40960-45055 from ports 80,443"
    assert of_entry(WEB_OUT) == [
        f"IPv4 {answers} from 198.51.100.0/24: {UNASKED_IN_ROOM}",
        f"IPv6 {answers} from 2001:db8:5::/48: {UNASKED_IN_ROOM}",
    ]


def test_a_program_in_a_room_may_send_from_its_services_port_unasked() -> None:
    answers = "out of room sshd by wan: tcp from port 22"
    assert of_entry(SSH_IN) == [
        f"IPv4 {answers} to 198.51.100.0/24: {ANYWHERE_FROM_ROOM}",
        f"IPv6 {answers} to 2001:db8:5::/48: {ANYWHERE_FROM_ROOM}",
    ]


def test_so_may_one_that_another_room_asks() -> None:
    answers = "tcp/40960-45055, udp/40960-45055 from port 53"
    assert of_entry(DNS_BETWEEN) == [
        f"from room resolver to room updater: {answers}: {ANYWHERE_FROM_ROOM}"
    ]


def told(old: str, new: str) -> list[str]:
    return list(lines(list(changes(written(old, ROOMS), written(new, ROOMS)))))


def test_diff_says_what_gets_into_a_room_out_of_it_and_between_two() -> None:
    assert told("", SSH_IN) == [
        "now reachable:",
        "  IPv4 in by wan to room sshd: tcp/22 from 198.51.100.0/24",
        "  IPv6 in by wan to room sshd: tcp/22 from 2001:db8:5::/48",
        "let through as answers, also where nobody asked (explain --holes):",
        "  IPv4 out of room sshd by wan: tcp from port 22 to 198.51.100.0/24",
        "  IPv6 out of room sshd by wan: tcp from port 22 to 2001:db8:5::/48",
    ]
    assert told(DNS_BETWEEN + SSH_IN, SSH_IN)[:4] == [
        "no longer reachable:",
        "  from room updater to room resolver: tcp/53, udp/53",
        "no longer let through as answers:",
        "  from room resolver to room updater: tcp/40960-45055, udp/40960-45055 from port 53",
    ]


def test_diff_tells_a_room_from_the_machine_itself() -> None:
    found = told(SSH_IN.replace('run = "sshd"\n', ""), SSH_IN)
    opened, closed = found.index("now reachable:"), found.index("no longer reachable:")
    assert found[opened + 1] == "  IPv4 in by wan to room sshd: tcp/22 from 198.51.100.0/24"
    assert found[closed + 1] == "  IPv4 in by wan: tcp/22 from 198.51.100.0/24"


@pytest.mark.parametrize(
    ("expected", "holds"),
    [
        ('always = { on = "wan", from = "mgmt", service = "ssh" }', True),
        ('always = { on = "wan", from = "mgmt", service = "ssh", run = "sshd" }', True),
        ('always = { on = "wan", from = "mgmt", service = "ssh", run = "updater" }', False),
        ('never = { on = "wan", from = "mgmt", service = "ssh" }', False),
        ('never = { on = "wan", from = "mgmt", service = "ssh", run = "updater" }', True),
        ('never = { on = "wan", from = "not mgmt", service = "ssh" }', True),
        ('never = { to = "mgmt", service = "web" }', False),
        ('never = { to = "mgmt", service = "web", user = "updater" }', True),
        ('never = { to = "not mgmt", service = "web" }', True),
        ('never = { run = "updater", service = "dns" }', True),
        ('never = { run = "sshd", service = "web" }', False),
        ('never = { run = "sshd", service = "web", answers = true }', True),
        ('always = { on = "wan", to = "mgmt", service = "web", run = "updater" }', True),
        ('always = { on = "wan", to = "mgmt", service = "web" }', False),
    ],
)
def test_an_expectation_is_about_a_room_or_without_one_about_all(
    expected: str, *, holds: bool
) -> None:
    policy = written(f"{SSH_IN}{WEB_OUT}[[expect]]\n{expected}\n", ROOMS)
    proof = Proof(policy, compile_policy(policy))
    told = "\n".join(prove.verdict("rooms", policy, proof, list(proof.findings()), 0))
    assert ("NOT PROVED" not in told) == holds, told


def test_a_counter_example_from_a_room_can_be_asked_about(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "rooms.toml"
    path.write_text(ROOMS + WEB_OUT + '[[expect]]\nnever = { run = "updater", service = "web" }\n')
    assert main(["prove", "--quiet", str(path)]) == 1
    shown = capsys.readouterr().out.splitlines()
    question = next(line.strip() for line in shown if line.startswith("  out run=updater "))
    assert any("the policy: passed on by wan; named by output[1]" in line for line in shown)
    assert main(["explain", str(path), question]) == 0
    assert capsys.readouterr().out.startswith("allowed, by eth0")
