"""A running machine is asked: its commands say what is so, as lines and as JSON."""

from __future__ import annotations

import json
import re
import time

import pytest

from pbrinit.wire.bootplan import BootPlan
from tests.support.host_example import PEER, SELF, UPDATER
from tests.support.namespaces import in_namespace, run_pbrctl
from tests.support.namespaces.lab import Lab

versions = pytest.mark.parametrize("version", [4, 6])


def end(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def ask(lab: Lab, plan: BootPlan, line: str) -> str:
    return "\n".join(lab.machine.do(run_pbrctl.query, plan, line)[1])


@versions
def test_a_question_is_answered_by_the_kernel_s_own_look_up(
    lab: Lab, plan: BootPlan, version: int
) -> None:
    peers, own = PEER[version], SELF[version]
    mgmt, stranger = end(peers["mgmt"], 40000), end(peers["stranger"], 40000)
    ssh, web = end(own, 22), end(peers["stranger"], 443)
    for line, first, last in (
        (f"in wan tcp {mgmt} > {ssh}", "allowed: it is for this machine", "allowed: it leaves by"),
        (f"in wan tcp {stranger} > {ssh}", "dropped: ", "dropped: "),
        (f"in wan tcp {mgmt} > {end(own, 23)}", "dropped: ", "dropped: "),
        (f"out tcp > {web} as updater", "allowed: it leaves by eth0", "the answer: allowed: "),
        (f"out tcp > {web} as {UPDATER}", "allowed: it leaves by eth0", "the answer: allowed: "),
        (f"out tcp > {web}", "dropped: a rule prohibits it", "dropped: "),
        (f"out tcp > {ssh}", "allowed: it is for this machine", "allowed: "),
        (f"out icmp > {peers['router']}", "dropped: ", "dropped: "),
    ):
        told = ask(lab, plan, f"explain {line}")
        assert told.startswith(first), f"{line}: {told}"
        assert (
            told.splitlines()[-1]
            .removeprefix("the answer: ")
            .startswith(last.removeprefix("the answer: "))
        ), f"{line}: {told}"


def test_what_a_bound_socket_may_not_send_is_said_to_come_back(lab: Lab, plan: BootPlan) -> None:
    told = ask(lab, plan, f"explain out tcp > {PEER[4]['stranger']}:80 by wan")
    assert told.startswith("dropped: it comes back to this machine (local), nothing leaves")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("explain", "write explain in INTERFACE tcp|udp|icmp SOURCE > DESTINATION [as USER], or"),
        ("explain in wan tcp 1.2.3.4 > 192.0.2.2", "192.0.2.2 has no port: write ADDRESS:PORT"),
        ("explain in wan tcp 1.2.3 > 192.0.2.2:1", "'1.2.3' is not an address"),
        ("explain in lan tcp 1.2.3.4 > 192.0.2.2:1", "there is no interface 'lan', only lo wan"),
        ("explain in wan gre 1.2.3.4 > 192.0.2.2", "gre is none of tcp, udp, icmp"),
        ("explain in wan tcp 1.2.3.4 > [2001:db8::2]:1", "1.2.3.4 and [2001:db8::2]:1 are not"),
        ("explain out tcp > 1.2.3.4:70000", "1.2.3.4:70000 has no port from 1 to 65535"),
        ("explain out tcp > 1.2.3.4:1 as me", "the policy has no user 'me', only updater"),
        ("explain out icmp > 1.2.3.4:1", "1.2.3.4:1: icmp has no ports"),
        ("status now", "status takes nothing more"),
        ("sing", "there is no command 'sing'; help lists them"),
    ],
)
def test_a_question_that_cannot_be_understood_is_explained(
    lab: Lab, plan: BootPlan, line: str, told: str
) -> None:
    assert ask(lab, plan, line).startswith(told)


def test_a_rule_that_is_gone_is_missed(lab: Lab, plan: BootPlan) -> None:
    lab.machine.run("ip", "rule", "del", "pref", "1")
    try:
        assert "NOT AS PLANNED" in ask(lab, plan, "status")
        assert "MISSING: ip -4 rule add pref 1 iif lo" in ask(lab, plan, "rules")
        assert ask(lab, plan, "audit").endswith("NOT AS PLANNED")
    finally:
        lab.machine.run("ip", "rule", "add", "pref", "1", "iif", "lo", "goto", "100000")
    assert lab.machine.do(in_namespace.differences, plan) == []
    for command in ("rules", "audit"):
        assert ask(lab, plan, command).endswith(" as planned")


WHOLE_MACHINE = (("no-route", "IPv4"), ("martian", "IPv4"))
KINDS = {
    4: ("refused", "no-route"),
    6: ("not-delivered",),
}


@versions
def test_what_is_refused_is_counted_by_its_kind(lab: Lab, version: int) -> None:
    before = lab.machine.do(run_pbrctl.drop_counts)
    for port in range(5000, 5010):
        lab.peer.do(
            in_namespace.probe_raw, "udp", SELF[version], port, PEER[version]["stranger"], 40000
        )
    after = lab.machine.do(run_pbrctl.drop_counts)
    for kind in KINDS[version]:
        assert after[kind, f"IPv{version}"] - before[kind, f"IPv{version}"] >= 10, kind


def test_a_source_that_nobody_speaks_to_is_counted_as_such(lab: Lab) -> None:
    before = lab.machine.do(run_pbrctl.drop_counts)
    for _ in range(5):
        lab.peer.do(in_namespace.send_to_all, (PEER[4]["stranger"], 40000), ("255.255.255.255", 22))
    time.sleep(0.2)
    after = lab.machine.do(run_pbrctl.drop_counts)
    for kind in ("no-way-back", "martian"):
        assert after[kind, "IPv4"] - before[kind, "IPv4"] >= 5, kind


@versions
def test_what_is_let_in_is_not_counted_as_dropped(lab: Lab, version: int) -> None:
    """But for the whole machine's counters, which others on it move as well."""
    before = lab.machine.do(run_pbrctl.drop_counts)
    for _ in range(20):
        probe = in_namespace.Probe("tcp", SELF[version], 22, source=(PEER[version]["mgmt"], 0))
        assert lab.peer.do(in_namespace.send_probe, probe) == "answered"
    after = lab.machine.do(run_pbrctl.drop_counts)
    mine = {key for key in after if key not in WHOLE_MACHINE}
    assert {key: after[key] - before[key] for key in mine if after[key] - before[key] > 2} == {}


def test_the_program_says_the_same_and_json(lab: Lab, plan: BootPlan) -> None:
    for command in ("rules", "audit"):
        status, out, wrong = lab.machine.do(run_pbrctl.pbrctl_command, plan, command)
        assert (status, wrong) == (0, "")
        assert out == ask(lab, plan, command) + "\n"
    status, out, _ = lab.machine.do(run_pbrctl.pbrctl_command, plan, "status", "--json")
    told = json.loads(out)
    assert status == 0
    assert told["hostname"] == "gate"
    assert told["as_planned"] is True
    assert told["digest"] == plan.digest
    assert told["programs"] == []
    (link,) = (link for link in told["links"] if link["device"] == "eth0")
    assert link["interface"] == "wan"
    assert link["counters"]["rx_bytes"] > 0
    assert {a["address"] for a in link["addresses"]} >= {"192.0.2.2/24", "2001:db8::2/64"}
    _, out, _ = lab.machine.do(run_pbrctl.pbrctl_command, plan, "--json", "drops")
    assert {"kind", "family", "count", "about"} == set(json.loads(out)[0])
    line = f"pbrctl explain out tcp > {PEER[4]['stranger']}:443 as updater --json"
    _, out, _ = lab.machine.do(run_pbrctl.pbrctl_command, plan, "-c", line)
    assert json.loads(out)["asked"]["outcome"] == "sent"


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        ((), 2, "usage: pbrctl COMMAND"),
        (("--help",), 0, "usage: pbrctl COMMAND"),
        (("sing",), 2, "error: there is no command 'sing'"),
        (("-c", ""), 2, "usage: pbrctl COMMAND"),
        (("-c", "sh -i"), 2, "error: there is no command 'sh'"),
        (("-c", "status; sh"), 2, "error: there is no command 'status;'"),
    ],
)
def test_the_program_does_nothing_else(
    lab: Lab, plan: BootPlan, words: tuple[str, ...], status: int, told: str
) -> None:
    code, out, wrong = lab.machine.do(run_pbrctl.pbrctl_command, plan, *words)
    assert code == status
    assert (out + wrong).startswith(told)


def test_the_page_is_as_a_person_reads_it(lab: Lab, plan: BootPlan) -> None:
    told = ask(lab, plan, "status")
    assert re.search(r'^gate, policy "host" [0-9a-f]{16}, up \d+ s, ', told)
    assert f"rules: {len(plan.rules)} in force, as planned" in told
    assert re.search(r"^eth0 \(wan\): up, carrier, \d+ frames in, \d+ bytes, \d+ frames out", told,
                     re.MULTILINE)  # fmt: skip
    assert "\n  192.0.2.2/24\n" in told
