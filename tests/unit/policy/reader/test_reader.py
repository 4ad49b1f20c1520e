"""A policy file is read whole, or refused with everything that is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pbrinit.cli import main
from pbrinit.compiler.compile import compile_policy
from pbrinit.net.addresses import Family
from pbrinit.net.services import Ports, Service
from pbrinit.policy.policy import Direction, FailureAction, OnFailure
from pbrinit.policy.problems import PolicyError
from pbrinit.policy.reader.reader import read_policy
from tests.support.policy_text import problems

HOST = Path("examples/host.toml")
SOUND = HOST.read_text()


def test_the_example_is_read_with_every_name_resolved() -> None:
    policy = read_policy(HOST)
    first, *rest = policy.allows
    assert policy.hostname == "gate"
    assert [entry.direction for entry in policy.allows] == [
        Direction.INPUT,
        Direction.OUTPUT,
        Direction.OUTPUT,
    ]
    assert first.peers is not None
    assert [str(p) for p in first.peers.in_family(Family.V6).prefixes] == ["2001:db8:5::/48"]
    assert first.services == (Service(6, Ports(22, 22)), Service(1, echo=True))
    assert {entry.user.uid for entry in rest if entry.user} == {1001}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stay", OnFailure(FailureAction.STAY)),
        ("reboot", OnFailure(FailureAction.REBOOT, 30)),
        ("reboot after 0 s", OnFailure(FailureAction.REBOOT)),
        ("reboot after 86400 s", OnFailure(FailureAction.REBOOT, 86400)),
        ("poweroff", OnFailure(FailureAction.POWEROFF)),
        ("poweroff after 5 s", OnFailure(FailureAction.POWEROFF, 5)),
    ],
)
def test_a_machine_is_told_what_to_do_on_failure(
    tmp_path: Path, text: str, expected: OnFailure
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(f'on-failure = "{text}"\n{SOUND}')
    assert read_policy(path).on_failure == expected
    assert compile_policy(read_policy(path)).on_failure == expected


def test_a_machine_that_is_told_nothing_stays_closed() -> None:
    assert read_policy(HOST).on_failure == OnFailure(FailureAction.STAY)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('hostname = "gate"', "", "hostname: is missing"),
        ('"gate"', '"ga te"', 'hostname: "ga te" is not a host name'),
        ('"gate"', '"gate"\non-failure = "reboot after 5 min"',
         'on-failure: "reboot after 5 min" is not an action on failure (did you mean "reboot"?'),
        ('"gate"', '"gate"\non-failure = "power-off"', 'did you mean "poweroff"? write "stay",'),
        ('"gate"', '"gate"\non-failure = "stay after 5 s"', "to stay needs no time"),
        ('"gate"', '"gate"\non-failure = "reboot after 99999 s"', "is more than a day"),
        ('"gate"', '"gate"\non-failure = ""', 'on-failure: "" is not an action on failure (write'),
        ('"gate"', '"gate"\non-failure = 30', "on-failure: must be a string in quotes"),
        ('"gate"', '"gate"\non_failure = "stay"', 'there is no such key here (did you mean "on-f'),
        ("[network]", "[netwrok]", 'netwrok: there is no such key here (did you mean "network"?)'),
        ("gateway =", "gatway =", 'interface.wan.gatway: there is no such key here (did you mean'),
        ('device  = "eth0"', "", "interface.wan: needs either device or mac"),
        ('"eth0"', '"lo"', "interface.wan.device: loopback always works"),
        ('"eth0"', '"eth0/1"', "interface.wan.device: is not a device name"),
        ("192.0.2.2/24", "192.0.2.2", 'interface.wan.address[1]: "192.0.2.2" has no prefix'),
        ("192.0.2.2/24", "192.0.2.255/24", "interface.wan.address[1]: 192.0.2.255/24 is a"),
        ("192.0.2.2/24", "224.0.0.9/24", "interface.wan.address[1]: 224.0.0.9 cannot be"),
        ("2001:db8::2/64", "fe80::2/64", "interface.wan.address[2]: fe80::2 is link-local"),
        ("2001:db8::2/64", "::ffff:9.9.9.9/128", "is an IPv4 address written as IPv6"),
        ("2001:db8::2/64", "2001:db8::/64", "2001:db8:: is the address of every router"),
        ("2001:db8::2/64", "2001:db8::4/126", "2001:db8::4 is the address of every router"),
        ("2001:db8::2/64", "2001:db8::2%eth0/64", "names a device after the %"),
        ("192.0.2.2/24", "192.0.2.2/255.255.255.0", 'the / (write "192.0.2.2/24")'),
        ('"192.0.2.2/24"', '"192.0.2.2/24", "192.0.2.2/24"', "[2]: 192.0.2.2/24 is here"),
        ('"192.0.2.2/24"', '"192.0.2.2/24", "dhcp"', 'wan.address: has "dhcp" and 192.0.2.2/24'),
        ('"192.0.2.2/24"', '"dhcp"', "interface.wan.gateway: 192.0.2.1 is set (by DHCP the"),
        ('"192.0.2.2/24"', '"DHCP"', 'interface.wan.address[1]: "DHCP" has no prefix length'),
        ('"eth0"', '"all"', "interface.wan.device: the kernel reserves this name for all devices"),
        ('device  = "eth0"', 'mac = "53:54:00:12:34:56"', "wan.mac: is the MAC address of a group"),
        ('device  = "eth0"', 'mac = "52:54:00"', "interface.wan.mac: is not a MAC address"),
        ('device  = "eth0"', 'mac = 3', "interface.wan.mac: must be a string in quotes"),
        ('"192.0.2.1"', '"fe80::1%eth0"', "gateway[1]: fe80::1%eth0 names a device after the %"),
        ('"2001:db8::1"]', '"192.0.2.3"]', "wan.gateway: there are two gateways for IPv4"),
        ('"192.0.2.1"', '"203.0.113.1"', "interface.wan.gateway: 203.0.113.1 is in no prefix"),
        ('"192.0.2.1"', '"192.0.2.2"', "interface.wan.gateway: 192.0.2.2 is this machine's own"),
        ('"192.0.2.1"', '"192.0.2.255"', "interface.wan.gateway: 192.0.2.255 is a network"),
        ("198.51.100.0/24", "198.51.100.7/24", 'network.mgmt[1]: 198.51.100.7/24 has bits set'),
        ("198.51.100.0/24", "233.252.0.0/24", "network.mgmt[1]: 233.252.0.0/24 is multicast"),
        ("198.51.100.0/24", "198.51.100.0/255.255.255.0", "has no length from 0 to 32 after the /"),
        ("198.51.100.0/24", "198.51.100.0/33", "has no length from 0 to 32 after the /"),
        ("198.51.100.0/24", "198.51.100.0/", "has no length from"),
        ("198.51.100.0/24", "::ffff:198.51.100.1", '(did you mean "198.51.100.1"?)'),
        ("198.51.100.0/24", "ff02::/16", "network.mgmt[1]: ff02::/16 is multicast"),
        ('["198.51.100.0/24", "2001:db8:5::/48"]', "[]", "network.mgmt: is empty (name"),
        ('["198.51.100.0/24", "2001:db8:5::/48"]', "{}", "network.mgmt.file: is missing"),
        ('mgmt     =', "Mgmt =", "network.Mgmt: is not a name (small letters, digits"),
        ('mgmt     =', "any =", "network.any: is not a name (small letters, digits"),
        ("198.51.100.0/24", "2001:db8:5::/48", "network.mgmt[2]: 2001:db8:5::/48 is here"),
        ("tcp/22", "tcp/0", "service.ssh[1]: tcp/0 is not within 1-65534"),
        ("tcp/22", "tcp/65535", "service.ssh[1]: tcp/65535 is not within 1-65534"),
        ("tcp/22", "tcp/30-20", "service.ssh[1]: tcp/30-20 ends before it begins"),
        ("tcp/22", "sctp/22", 'service.ssh[1]: "sctp/22" is not a service'),
        ("tcp/22", "ip/6", "service.ssh[1]: ip/6 has a name of its own"),
        ("tcp/22", "ip/256", "service.ssh[1]: ip/256 is not within 1-255"),
        ("tcp/22", "ip/58", "service.ssh[1]: ip/58 has a name of its own"),
        ("tcp/22", "tcp/", 'service.ssh[1]: "tcp/" has no port number'),
        ("tcp/22", "tcp/٢٢", "has no port number"),
        ("tcp/22", "tcp/40000", "input[1].service: port 40000 is in the ephemeral port"),
        ("updater = 1001", "updater = -1", "user.updater: must be a number from 0 to 4294967294"),
        ('"mgmt"', '"mgtm"', 'input[1].from: no network is named "mgtm" (did you mean "mgmt"?)'),
        ('on      = "wan"', 'on = "lan"', 'input[1].on: no interface is named "lan"'),
        ('user    = "updater"', 'user = "root"', 'output[1].user: no user is named "root"'),
        ('from    = "mgmt"', 'to = "mgmt"', "input[1].to: there is no such key here"),
        ("[[input]]", "[input]", "input: must be a list of entries (write [[input]])"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_key(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    assert old in SOUND
    found = problems(tmp_path, SOUND.replace(old, new))
    assert any(expected in problem for problem in found), found


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = SOUND.replace("tcp/22", "tcp/x").replace("192.0.2.2/24", "bad").replace("gate", "-")
    assert len(problems(tmp_path, text)) >= 3


def test_a_network_out_of_reach_is_a_mistake(tmp_path: Path) -> None:
    text = SOUND.replace('gateway = ["192.0.2.1", "2001:db8::1"]', "")
    assert "input[1].from: 198.51.100.0/24 cannot be reached by wan (no gateway there)" in problems(
        tmp_path, text
    )


def test_two_interfaces_must_not_overlap(tmp_path: Path) -> None:
    lan = '\n[interface.lan]\ndevice = "eth0"\naddress = "192.0.2.129/25"\n'
    found = problems(tmp_path, SOUND + lan)
    assert "interface.lan.device: is wan's device too" in found
    assert "interface.lan.address: 192.0.2.129/25 overlaps with wan's 192.0.2.2/24" in found


def test_both_ends_of_a_link_of_two_are_hosts(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    for own, gateway in (("2001:db8::", "2001:db8::1"), ("2001:db8::1", "2001:db8::")):
        text = SOUND.replace("2001:db8::2/64", f"{own}/127")
        path.write_text(text.replace('"2001:db8::1"]', f'"{gateway}"]'))
        assert [str(address.ip) for address in read_policy(path).interfaces[0].addresses][1] == own


def test_a_file_that_is_not_toml_is_refused_with_the_place(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, "hostname = \n")
    assert found.startswith("file: cannot be read: ")
    assert "line 1" in found


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("latin-1", "file: cannot be read: line 2: byte 0xe9, not UTF-8 (save the file as UTF-8)"),
        ("utf-16", "file: cannot be read: it is UTF-16, not UTF-8 (save the file as UTF-8)"),
    ],
)
def test_a_file_in_another_encoding_is_refused_with_its_line(
    tmp_path: Path, encoding: str, expected: str
) -> None:
    path = tmp_path / "policy.toml"
    path.write_bytes(f'hostname = "gate"\n# café\n{SOUND}'.encode(encoding))
    with pytest.raises(PolicyError) as refused:
        read_policy(path)
    assert str(refused.value) == f"{path}: {expected}"


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(f"\ufeff{SOUND}")
    assert read_policy(path) == read_policy(HOST)


def test_the_command_ends_with_status_2_and_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(SOUND.replace("tcp/22", "tcp/x"))
    assert main.main(["check", str(path)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == (
        f'{path}: service.ssh[1]: "tcp/x" has no port number'
        ' (such as "tcp/22", "udp/5000-5010", "icmp/echo", "icmp" or "ip/47")\n1 error\n'
    )


def test_a_wrong_policy_leaves_the_good_plan_in_its_place(tmp_path: Path) -> None:
    path, output = tmp_path / "policy.toml", tmp_path / "plan"
    output.write_bytes(b"good")
    path.write_text(SOUND.replace("tcp/22", "tcp/x"))
    assert main.main(["build", str(path), str(output)]) == 2
    assert output.read_bytes() == b"good"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plan", "policy.toml"]


def test_what_is_odd_is_remarked_upon_and_no_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(SOUND.replace("[service]", 'spare = "192.0.2.7"\n[service]'))
    assert main.main(["check", str(path)]) == 0
    told = capsys.readouterr()
    remark, verdict = told.out.splitlines()
    assert remark == f"{path}: network.spare: is defined, but not used"
    assert verdict.startswith(f"{path}: sound; ")
    assert verdict.endswith("1 remark")
    assert told.err == ""
    assert main.main(["check", "--json", str(path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["problems"] == []
    assert found["remarks"] == [
        {
            "file": str(path),
            "key": "network.spare",
            "what": "is defined, but not used",
            "hint": None,
        }
    ]


DOCS = Path("docs/language.md").read_text()


def test_the_policy_in_the_docs_is_sound(tmp_path: Path) -> None:
    text = DOCS.partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "policy.toml").write_text(text)
    (tmp_path / "bogons.txt").write_text("203.0.113.0/24\n")
    policy = read_policy(tmp_path / "policy.toml")
    assert [len(policy.allows), len(policy.denies), len(policy.expectations)] == [3, 1, 1]


def test_the_errors_in_the_docs_are_those_that_are_said(tmp_path: Path) -> None:
    text = (
        DOCS.partition("```toml\n")[2].partition("```")[0].replace("198.51.100.0", "198.51.100.7")
    )
    text = text.replace('{ file = "bogons.txt" }', '["10.0.0.0/16"]') + (
        '[[input]]\nfrom = "mgtm"\nservice = "ssh"\n'
        '[[input]]\non = "wan"\nfrom = "bogons"\nservice = "ssh"\n'
        '[[forward]]\nin = "wan"\nout = "lan"\nclients = "1024-32767"\nservice = "high"\n'
        '[[forward]]\nuser = "updater"\nservice = "ssh"\n'
    )
    text = text.replace("[user]", 'high = "tcp/40000"\n[user]')
    said = {problem.partition(": ")[2] for problem in problems(tmp_path, text)}
    shown = DOCS.partition("```\npolicy.toml: ")[2].partition("5 errors")[0].splitlines()
    assert len(shown) == 5
    for line in shown:
        assert line.removeprefix("policy.toml: ").partition(": ")[2] in said
