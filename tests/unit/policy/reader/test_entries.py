"""Entries, denies and expectations: what they say, and what would make no sense."""

from __future__ import annotations

from pathlib import Path

import pytest

from pbrinit.cli.build import check_policy
from pbrinit.net.services import REMOTE_EPHEMERAL_PORTS, Ports, Service
from pbrinit.policy.policy import Direction, Policy
from pbrinit.policy.problems import PolicyError
from pbrinit.policy.reader.reader import read_policy
from tests.support import policy_text

TWO_NETS = """
hostname = "gate"
[interface.wan]
device = "eth0"
address = ["192.0.2.2/24", "2001:db8::2/64"]
gateway = ["192.0.2.1", "2001:db8::1"]
[interface.lan]
device = "eth1"
address = ["10.0.0.1/16"]
[network]
inner = ["10.0.0.0/16"]
servers = ["10.0.1.0/24"]
mgmt = ["198.51.100.0/24", "2001:db8:5::/48"]
six = "2001:db8:6::/48"
[service]
web = ["tcp/80", "tcp/443"]
ping = "icmp/echo"
icmp = "icmp"
gre = "ip/47"
[user]
www = 33
"""


def policy(folder: Path, text: str) -> Policy:
    (folder / "policy.toml").write_text(TWO_NETS + text)
    return read_policy(folder / "policy.toml")


def problems(folder: Path, text: str) -> list[str]:
    return policy_text.problems(folder, TWO_NETS + text)


def remarks(folder: Path, text: str) -> list[str]:
    path = folder / "policy.toml"
    path.write_text(TWO_NETS + text)
    return [str(remark).removeprefix(f"{path}: ") for remark in check_policy(path).remarks]


def names(policy: Policy) -> list[tuple[list[str], list[str]]]:
    return [
        ([i.name for i in e.interfaces], [i.name for i in e.egress_interfaces])
        for e in policy.allows
    ]


def test_a_forward_says_who_may_ask_whom_across_two_interfaces(tmp_path: Path) -> None:
    found = policy(
        tmp_path,
        '[[forward]]\nin = "lan"\nout = "wan"\nfrom = "servers"\nto = "mgmt"\nservice = "web"\n',
    )
    (entry,) = found.allows
    assert entry.direction is Direction.FORWARD
    assert names(found) == [(["lan"], ["wan"])]
    assert (entry.sources.text, entry.destinations.text) == ("servers", "mgmt")
    assert entry.services == (Service(6, Ports(80, 80)), Service(6, Ports(443, 443)))
    assert entry.client_ports == REMOTE_EPHEMERAL_PORTS
    assert entry.user is None


def test_without_interfaces_a_forward_is_about_each_to_each_other(tmp_path: Path) -> None:
    found = policy(tmp_path, '[[forward]]\nservice = "web"\n')
    assert names(found) == [(["wan", "lan"], ["wan", "lan"])]


def test_an_interface_that_could_only_lead_back_to_itself_is_no_way(tmp_path: Path) -> None:
    found = policy(tmp_path, '[[forward]]\nin = "lan"\nservice = "web"\n')
    assert names(found) == [(["lan"], ["wan"])]
    found = policy(tmp_path, '[[forward]]\nout = ["lan"]\nservice = "web"\n')
    assert names(found) == [(["wan"], ["lan"])]


def test_a_forward_may_say_which_ports_its_clients_have(tmp_path: Path) -> None:
    (entry,) = policy(tmp_path, '[[forward]]\nservice = "web"\nclients = "1024-65534"\n').allows
    assert entry.client_ports == Ports(1024, 65534)


def test_icmp_is_all_of_it_and_an_echo_is_ping(tmp_path: Path) -> None:
    (entry,) = policy(tmp_path, '[[forward]]\nservice = ["icmp", "ping"]\n').allows
    assert entry.services == (Service(1, echo=False), Service(1, echo=True))
    assert [str(service) for service in entry.services] == ["icmp", "icmp/echo"]


def test_a_deny_says_no_more_than_it_says(tmp_path: Path) -> None:
    all_of_it, some = policy(
        tmp_path,
        '[[deny]]\n[[deny]]\non = "wan"\nfrom = "not mgmt"\nservice = "web"\nreject = true\n',
    ).denies
    assert [i.name for i in all_of_it.interfaces] == ["wan", "lan"]
    assert (all_of_it.sources, all_of_it.destinations, all_of_it.user) == (None, None, None)
    assert (all_of_it.services, all_of_it.reject) == ((), False)
    assert some.sources is not None
    assert (some.sources.text, some.destinations, some.reject) == ("not mgmt", None, True)


@pytest.mark.parametrize(
    ("said", "directions"),
    [
        ("", [Direction.INPUT, Direction.OUTPUT]),
        ('on = "wan"', [Direction.INPUT, Direction.OUTPUT]),
        ('from = "mgmt"', [Direction.INPUT]),
        ('on = "wan", from = "mgmt"', [Direction.INPUT]),
        ('to = "mgmt"', [Direction.OUTPUT]),
        ('user = "www"', [Direction.OUTPUT]),
        ('in = "wan"', [Direction.FORWARD]),
        ('out = "wan", to = "mgmt"', [Direction.FORWARD]),
        ('from = "inner", to = "mgmt"', [Direction.FORWARD]),
    ],
)
def test_the_keys_of_an_expectation_tell_its_directions(
    tmp_path: Path, said: str, directions: list[Direction]
) -> None:
    comma = ", " if said else ""
    text = f'[[expect]]\nalways = {{ {said}{comma}service = "web" }}\n'
    always, never = policy(tmp_path, text + f"[[expect]]\nnever = {{ {said} }}\n").expectations
    assert (always.key, always.always) == ("expect[1].always", True)
    assert (never.key, never.always) == ("expect[2].never", False)
    assert [list(always.directions), list(never.directions)] == [directions, directions]
    assert never.services == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[[forward]]\nin = "lan"\n', "forward[1].service: is missing"),
        ('[[forward]]\nin = "lan"\nout = "lan"\nservice = "web"\n',
         "forward[1]: lan is its only interface (a forwarded packet arrives by"),
        ('[[forward]]\nuser = "www"\nservice = "web"\n',
         "forward[1].user: there is no such key here (forwarded packets have no user)"),
        ('[[forward]]\non = "lan"\nservice = "web"\n',
         "forward[1].on: there is no such key here (it has two interfaces: write in and out)"),
        ('[[forward]]\nclients = "70000"\nservice = "web"\n',
         "forward[1].clients: 70000 is not within 1-65534"),
        ('[[forward]]\nclients = "high"\nservice = "web"\n',
         'forward[1].clients: "high" has no port number (such as "1024-65534")'),
        ('[[forward]]\nclients = 1024\nservice = "web"\n',
         "forward[1].clients: must be a string in quotes"),
        ('[[forward]]\nclients = "1024-65534"\nservice = ["ping", "gre"]\n',
         "forward[1].clients: these services have no ports (leave clients out)"),
        ('[[forward]]\nin = "lan"\nfrom = "mgmt"\nservice = "web"\n',
         "forward[1].from: 198.51.100.0/24 cannot be reached by lan (it is behind wan)"),
        ('[[forward]]\nout = "wan"\nto = "servers"\nservice = "web"\n',
         "forward[1].to: 10.0.1.0/24 cannot be reached by wan (it is behind lan)"),
        ('[[input]]\non = "wan"\nfrom = "inner"\nservice = "web"\n',
         "input[1].from: 10.0.0.0/16 cannot be reached by wan (it is behind lan)"),
        ('[[input]]\non = "lan"\nfrom = "not inner"\nservice = "web"\n',
         "input[1].from: no address of not inner is behind lan"),
        ('[[forward]]\nin = "lan"\nto = "six"\nservice = "web"\n',
         "forward[1]: its sources and destinations share no address family (one side has"),
        ('[[forward]]\nout = "lan"\nto = "six"\nservice = "web"\n',
         "forward[1].to: no address of six is behind lan"),
        ('[[expect]]\nalways = { in = "lan", to = "six", service = "web" }\n',
         "expect[1].always: its sources and destinations share no address family"),
        ('[[input]]\nuser = "www"\nservice = ["ping", "icmp"]\n',
         "input[1].user: the kernel answers ICMP, not a user (leave the user out)"),
        ('[[input]]\nfrom = ["any", "mgmt"]\nservice = "web"\n',
         'input[1].from[1]: "any" is every address already (write it alone)'),
        ('[[input]]\nfrom = "!mgmt"\nservice = "web"\n',
         'input[1].from: no network is named "!mgmt" (did you mean "not mgmt"?)'),
        ('[[input]]\nfrom = "198.51.100.0/24"\nservice = "web"\n',
         'input[1].from: no network is named "198.51.100.0/24" (give it a name: NAME = '),
        ('[[input]]\nservice = "tcp/22"\n',
         'input[1].service: no service is named "tcp/22" (give it a name: NAME = "tcp/22"'),
        ('[[deny]]\nuser = "www"\nfrom = "mgmt"\n',
         "deny[1].user: packets of other hosts have no user"),
        ('[[deny]]\nuser = "www"\nreject = true\n',
         "deny[1].reject: it is about forwarding, and forwarded packets have no user"),
        ('[[deny]]\nreject = "yes"\n', "deny[1].reject: must be true or false"),
        ('[[deny]]\nin = "wan"\n', "deny[1].in: there is no such key here (write on, from and to)"),
        ('[[expect]]\n', "expect[1]: needs either never or always (one of the two, not both)"),
        ('[[expect]]\nnever = {}\nalways = {}\n', "expect[1]: needs either never or always"),
        ('[[expect]]\nnever = "web"\n', "expect[1].never: must be a table"),
        ('[[expect]]\nalways = { on = "wan" }\n',
         "expect[1].always: no policy allows every packet of every protocol (name a"),
        ('[[expect]]\nnever = { on = "wan", in = "lan" }\n',
         "expect[1].never.on: is about this machine, and the other keys are about"),
        ('[[expect]]\nnever = { user = "www", out = "lan" }\n',
         "expect[1].never.user: forwarded packets have no user (leave the user out)"),
        ('[[expect]]\nnever = { user = "www", from = "mgmt" }\n',
         "expect[1].never.user: packets of other hosts have no user (leave out user or from)"),
        ('[[expect]]\nalways = { on = "lan", from = "mgmt", service = "web" }\n',
         "expect[1].always.from: 198.51.100.0/24 cannot be reached by lan (it is behind wan)"),
        ('[[expect]]\nnever = { form = "mgmt" }\n',
         'expect[1].never.form: there is no such key here (did you mean "from"?)'),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_its_key(
    tmp_path: Path, text: str, expected: str
) -> None:
    found = problems(tmp_path, text)
    assert any(problem.startswith(expected) for problem in found), found


def test_what_never_happens_may_be_about_sources_that_live_elsewhere(tmp_path: Path) -> None:
    text = '[[expect]]\nnever = { on = "lan", from = "mgmt" }\n'
    assert len(policy(tmp_path, text).expectations) == 1


def test_one_mistake_is_one_finding(tmp_path: Path) -> None:
    text = '[[forward]]\nin = "lna"\nfrom = "iner"\nto = 3\nservice = "wbe"\n'
    assert problems(tmp_path, text) == [
        "forward[1].to: must be a string in quotes, or a list of them",
        'forward[1].in: no interface is named "lna" (did you mean "lan"?)',
        'forward[1].from: no network is named "iner" (did you mean "inner"?)',
        'forward[1].service: no service is named "wbe" (did you mean "web"?)',
    ]


def test_one_cause_is_said_once_whichever_ends_it_shows_at(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    alone = '[interface.{name}]\ndevice = "{name}0"\naddress = "192.0.2.{number}/32"\n'
    text = "".join(alone.format(name=name, number=ord(name)) for name in "ab")
    path.write_text(
        f'hostname = "a"\n{text}[service]\nweb = "tcp/80"\n[[forward]]\nservice = "web"\n'
    )
    with pytest.raises(PolicyError) as refused:
        read_policy(path)
    assert [problem.what for problem in refused.value.problems] == ["no address is behind a, b"]


def test_a_forward_needs_a_second_interface(tmp_path: Path) -> None:
    text = TWO_NETS.partition("[interface.lan]")[0] + '[service]\nweb = "tcp/80"\n'
    path = tmp_path / "policy.toml"
    path.write_text(text + '[[forward]]\nservice = "web"\n')
    with pytest.raises(PolicyError, match=r"forward\[1\]: wan is its only interface"):
        read_policy(path)


def test_an_entry_needs_an_interface(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('hostname = "a"\n[service]\nweb = "tcp/80"\n[[input]]\nservice = "web"\n')
    with pytest.raises(PolicyError) as refused:
        read_policy(path)
    assert str(refused.value) == (
        f"{path}: input[1]: there is no interface (write [interface.NAME])"
    )


@pytest.mark.parametrize("entry", ["input", "output"])
def test_an_interface_with_nobody_behind_it_leads_nowhere(tmp_path: Path, entry: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(
        'hostname = "a"\n[interface.wan]\ndevice = "eth0"\naddress = "192.0.2.2/32"\n'
        f'[service]\nweb = "tcp/80"\n[[{entry}]]\nservice = "web"\n'
    )
    with pytest.raises(PolicyError, match=rf"{entry}\[1\]: no address is behind wan"):
        read_policy(path)


def test_names_that_are_defined_and_not_used_are_remarked_upon(tmp_path: Path) -> None:
    assert remarks(tmp_path, '[[input]]\nfrom = "not servers"\nservice = ["web", "gre"]\n') == [
        "network.inner: is defined, but not used",
        "network.mgmt: is defined, but not used",
        "network.six: is defined, but not used",
        "service.ping: is defined, but not used",
        "service.icmp: is defined, but not used",
        "user.www: is defined, but not used",
    ]


def test_a_deny_that_changes_nothing_is_remarked_upon(tmp_path: Path) -> None:
    text = '[[deny]]\nfrom = "home"\nreject = true\n'
    home = TWO_NETS.replace("[service]", 'home = "127.0.0.0/8"\n[service]')
    (tmp_path / "policy.toml").write_text(home + text)
    found = [str(remark) for remark in check_policy(tmp_path / "policy.toml").remarks]
    assert any("deny[1].reject: does nothing where nothing is forwarded" in one for one in found)
    assert any("deny[1].from: no address of home is behind any" in one for one in found)
