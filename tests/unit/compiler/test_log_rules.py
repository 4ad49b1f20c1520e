"""`log = true` on a deny entry: who is refused for it is spoken of, and nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from pbrinit.analysis import explain
from pbrinit.analysis.diff import changes, lines
from pbrinit.cli.build import check_policy
from pbrinit.compiler.assembler import CompileError
from pbrinit.compiler.compile import compile_policy
from pbrinit.net.addresses import Family
from pbrinit.plan.plan import LOOPBACK, Action, Plan, Rule
from pbrinit.policy.policy import Policy
from tests.support.policy_text import ROOMS, ROUTER, problems, ruling, written
from tests.tools.prove_random import refuted

SSH = '[[input]]\nservice = ["ssh", "ping"]\n'
WEB = '[[forward]]\nin = "wan"\nout = "lan"\nservice = "web"\n'
LOGGED = '[[deny]]\nfrom = "bad"\nlog = true\n'
MANY = "".join(f'"198.18.{n}.0/25", "2001:db8:18:{n:x}::/64",' for n in range(12))
LISTED = ROUTER.replace("[service]", f"many = [{MANY}]\n[service]")


def spoken(plan: Plan, family: Family = Family.V4) -> list[Rule]:
    """The rules by which the kernel speaks of what arrives."""
    return [r for r in plan.rules if r.family is family and r.note.endswith(", logged")]


def told(old: Policy, new: Policy) -> list[str]:
    return list(lines(list(changes(old, new))))


def forwarding(plan: Plan) -> list[str]:
    return [s.key.split("/")[3] for s in plan.forwarding_sysctls if s.key.startswith("net/ipv4")]


def test_only_what_the_entry_names_is_prohibited() -> None:
    plan = compile_policy(written(SSH + '[[deny]]\nfrom = "mgmt"\n' + LOGGED))
    assert plan.log
    assert {r.action for r in spoken(plan)} == {Action.PROHIBIT}
    assert {str(r.source) for r in spoken(plan)} == {"198.51.100.64/27", "10.0.66.0/24"}
    assert {r.protocol for r in spoken(plan)} == {6, 17, 1}
    assert {(str(r.source), r.protocol) for r in spoken(plan, Family.V6)} == {
        ("2001:db8:5:6::/64", None), ("fd00:10::66/128", None),
    }  # fmt: skip
    prohibiting = [r for r in plan.rules if r.action is Action.PROHIBIT and r.iif != LOOPBACK]
    assert prohibiting == [*spoken(plan), *spoken(plan, Family.V6)]


def test_the_kernel_is_made_to_speak_where_they_come_by_alone() -> None:
    """IPv4 speaks of a refusal only where a device passes packets on (ip_error)."""
    plan = compile_policy(written(SSH + '[[deny]]\non = "lan"\nfrom = "bad"\nlog = true\n'))
    assert forwarding(plan) == ["eth0", "eth1"], "by wan those come that would leave by lan"
    plan = compile_policy(written(SSH + '[[deny]]\nfrom = "servers"\nlog = true\n'))
    assert forwarding(plan) == ["eth1"], "they live behind lan"
    plan = compile_policy(written(SSH + '[[deny]]\nfrom = "servers"\n'))
    assert forwarding(plan) == []


def test_with_the_whole_policy_logged_the_entry_changes_nothing(tmp_path: Path) -> None:
    everything = compile_policy(written(SSH + LOGGED, "log = true\n" + ROUTER))
    silent = LOGGED.replace("log = true\n", "")
    same = compile_policy(written(SSH + silent, "log = true\n" + ROUTER))
    assert (everything.rules, everything.links, everything.forwarding_sysctls) == (
        same.rules, same.links, same.forwarding_sysctls,
    )  # fmt: skip
    path = tmp_path / "policy.toml"
    path.write_text("log = true\n" + ROUTER + SSH + LOGGED)
    found = [str(remark) for remark in check_policy(path).remarks]
    assert any(
        "deny[1].log: does nothing: the policy logs every refused packet" in one for one in found
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[deny]]\nuser = "updater"\nlog = true\n',
         "deny[1].log: a program of this machine gets an error at once, and the log gets nothing"
         " (leave log or user out)"),
        ('[[deny]]\nto = "bad"\nlog = true\n',
         "deny[1].log: a program of this machine gets an error at once, and the log gets nothing"
         " (leave log or to out)"),
        ('[[deny]]\nfrom = "mgmt"\nto = "bad"\nlog = true\n',
         "deny[1].log: nothing is forwarded (leave log or to out)"),
        (WEB + '[[deny]]\nfrom = "bad"\nreject = true\nlog = true\n',
         "deny[1].log: the kernel sends one ICMP error for a packet: to its sender, or to the log"
         " (leave log or reject out)"),
        (WEB + LOGGED + '[[deny]]\nfrom = "mgmt"\nservice = "web"\nreject = true\n',
         "deny[1].log: deny[2] rejects some of the sources that would be logged (the kernel sends"
         " one ICMP error for a packet: leave log out here, or reject there)"),
        ('[[deny]]\nlog = "yes"\n', "deny[1].log: must be true or false"),
        ('[[input]]\nservice = "ssh"\nlog = true\n',
         "input[1].log: there is no such key here (it belongs in [[deny]], or at the beginning"),
    ],
)  # fmt: skip
def test_what_the_log_cannot_hear_is_refused(tmp_path: Path, text: str, said: str) -> None:
    found = problems(tmp_path, ROUTER + text)
    assert any(one.startswith(said) for one in found), found


def test_who_is_rejected_and_who_is_logged_may_be_others() -> None:
    others = '[[deny]]\nfrom = "servers"\nservice = "web"\nreject = true\n'
    policy = written(SSH + WEB + LOGGED + others)
    assert refuted(policy, compile_policy(policy)) == []


@pytest.mark.parametrize(
    ("question", "tells"),
    [
        ("in wan tcp 198.51.100.65:40000 > 192.0.2.2:22", True),
        ("in wan tcp 198.51.100.65:40000 > 192.0.2.2:23", True),
        ("in wan tcp [2001:db8:5:6::9]:40000 > [2001:db8::2]:22", True),
        ("in wan udp 198.51.100.65:40000 > 10.0.1.7:53", True),
        ("in wan ip/47 [2001:db8:5:6::9] > [2001:db8::2]", True),
        ("in wan ip/47 198.51.100.65 > 192.0.2.2", None),
        ("in lan tcp 198.51.100.65:40000 > 192.0.2.2:22", None),
        ("in wan icmp [2001:db8:5:6::9] > [2001:db8::2]", None),
        ("in wan tcp 198.51.100.9:40000 > 192.0.2.2:23", False),
        ("in wan tcp 198.51.100.9:40000 > 192.0.2.2:22", False),
    ],
)
def test_the_meaning_says_of_whom_the_kernel_speaks(question: str, tells: bool | None) -> None:
    assert ruling(written(SSH + WEB + LOGGED), question).reports is tells


@pytest.mark.parametrize(
    "deny",
    [
        LOGGED,
        "[[deny]]\nlog = true\n",
        '[[deny]]\nservice = ["web", "gre", "icmp"]\nlog = true\n',
        '[[deny]]\non = "lan"\nlog = true\n',
        '[[deny]]\nfrom = "not mgmt"\nto = "servers"\nlog = true\n',
        '[[deny]]\nto = "bad"\nservice = "web"\nlog = true\n',
        '[[deny]]\nfrom = "mgmt"\nto = "many"\nlog = true\n',
    ],
)
def test_each_is_proved(deny: str) -> None:
    """Also where the machine may send all of ICMP to everybody, and where the return path decides
    of many others.
    """
    icmp = '[[output]]\nservice = "icmp"\n[[input]]\nservice = "icmp"\n'
    more = '[[forward]]\nin = "lan"\nout = "wan"\nservice = "web"\nclients = "1024-65534"\n'
    silent = '[[deny]]\nfrom = "many"\n'
    policy = written(SSH + WEB + more + icmp + deny + silent, LISTED)
    assert refuted(policy, compile_policy(policy)) == []


def test_who_asks_a_room_is_logged_too() -> None:
    text = '[[input]]\nservice = "ssh"\nrun = "sshd"\n' + LOGGED
    policy = written(text, ROOMS)
    plan = compile_policy(policy)
    assert refuted(policy, plan) == []
    question = explain.parse("in wan tcp 198.51.100.65:40000 > 192.0.2.2:22", policy, plan.programs)
    said = list(explain.text(explain.explain(plan, policy, question)))
    assert said[0].startswith("dropped, and logged: refused by the rule 1000")
    assert said[1] == (
        "  by deny[1]: deny by wan, lan, dmz from bad: everything, logged"
    )  # fmt: skip
    assert any(one.startswith("  the log is told by icmp/3/13: dropped: ") for one in said)
    told = explain.as_json(explain.explain(plan, policy, question), {})["asked"]
    assert (told["logged"], told["allowed"]) == (True, False)


def test_more_sources_than_rules_are_good_for_are_refused() -> None:
    with pytest.raises(CompileError, match=r"deny\[1\]: rules cannot log so many sources"):
        compile_policy(written(SSH + '[[deny]]\nfrom = "many"\nlog = true\n', LISTED))


def test_diff_says_what_is_logged_from_now_on_and_what_no_longer() -> None:
    deny = '[[deny]]\nfrom = "mgmt"\nservice = ["ssh", "web"]\non = "wan"\n'
    before, after = written(SSH + deny), written(SSH + deny + "log = true\n")
    first, *rest = told(before, after)
    assert first == "refused, and now logged:"
    assert "  IPv4 in by wan: tcp/22,80,443 from 198.51.100.0/24" in rest
    assert told(after, before)[0] == "no longer logged, or no longer refused:"
    assert told(after, after) == []


def test_diff_knows_what_a_policy_logs_that_logs_all() -> None:
    whole = written(SSH, "log = true\n" + ROUTER)
    found = told(written(SSH), whole)
    assert found[0] == "refused, and now logged:"
    assert "  in by wan: tcp/0-21,23-65535 from anybody" in found
