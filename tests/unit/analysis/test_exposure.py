"""An answer that has the form of a question to somebody who did not offer it is remarked upon."""

from __future__ import annotations

from pathlib import Path

import pytest

from pbrinit.cli.build import check_policy
from pbrinit.policy.problems import PolicyError

POLICY = """
hostname = "gate"
[interface.wan]
device = "eth0"
address = ["192.0.2.2/24", "2001:db8::2/64"]
gateway = ["192.0.2.1", "2001:db8::1"]
[interface.lan]
device = "eth1"
address = ["203.0.113.1/24", "2001:db8:1::1/64"]
[network]
peer = ["198.51.100.7", "2001:db8:7::7"]
server = "203.0.113.10"
[service]
all = "tcp/1-65534"
low = "tcp/1-32767"
web = "tcp/443"
ntp = "udp/123"
high = "tcp/40000"
some = "udp/33000-34000"
ping = "icmp/echo"
gre = "ip/47"
[user]
clock = 1001
[run.clock]
command = ["/clock"]
user = "clock"
"""
OUT = '[[forward]]\nin = "lan"\nout = "wan"\n'
BACK = '[[forward]]\nin = "wan"\nout = "lan"\n'
SEND = '[[output]]\non = "wan"\n'
FEW = "name in to the few hosts that are meant"


def said(tmp_path: Path, text: str) -> list[str]:
    """Errors, or remarks of exposures."""
    path = tmp_path / "gate.toml"
    path.write_text(POLICY + text)
    try:
        found = check_policy(path).remarks
    except PolicyError as error:
        found = error.problems
    told = [str(each).removeprefix(f"{path}: ") for each in found]
    return [each for each in told if "not used" not in each]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (OUT + 'service = "web"\nclients = "1024-65534"\n',
         "forward[1].clients: whoever may answer, anywhere by wan, may also ask tcp/1024-65534 of"
         " the hosts behind lan unasked, and no entry offers that"
         f" (leave clients out, or {FEW})"),
        (OUT + 'service = "web"\nclients = "1"\nto = "peer"\nfrom = "server"\n',
         "forward[1].clients: whoever may answer, peer by wan, may also ask tcp/1 of server behind"
         " lan unasked, and no entry offers that (leave clients out)"),
        (SEND + 'service = "all"\n',
         "output[1].service: whoever may answer, anywhere by wan, may also ask tcp/32768-36863 of"
         " this machine unasked, and no entry offers that"
         f" (name the services that are meant, or {FEW})"),
        (SEND + 'service = "all"\nrun = "clock"\n',
         "output[1].service: whoever may answer, anywhere by wan, may also ask tcp/36864-40959 of"
         " room clock unasked, and no entry offers that"
         f" (name the services that are meant, or {FEW})"),
        (SEND + 'service = "some"\nto = "peer"\n',
         "output[1].service: whoever may answer, peer by wan, may also ask udp/32768-36863 of"
         " this machine unasked, and no entry offers that (name the services that are meant)"),
        (SEND + 'service = "ntp"\nclients = "123"\n',
         "output[1].clients: whoever may answer, anywhere by wan, may also ask udp/123 of this"
         f" machine unasked, and no entry offers that (leave clients out, or {FEW})"),
        (OUT + 'service = "web"\nclients = "443"\n',
         "forward[1].clients: whoever may answer, anywhere by wan, may also ask tcp/443 of the"
         f" hosts behind lan unasked, and no entry offers that (leave clients out, or {FEW})"),
    ],
)  # fmt: skip
def test_who_may_ask_what_of_whom_unasked_is_said_with_what_closes_it(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert said(tmp_path, text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(OUT + 'service = "web"\n', id="a client's ports"),
        pytest.param(OUT + 'service = "low"\n', id="all that serves"),
        pytest.param(SEND + 'service = ["low", "ping", "gre", "high"]\n', id="sent"),
        pytest.param(SEND + 'service = "ntp"\nclients = "123"\nto = "peer"\n', id="one named peer"),
        pytest.param(OUT + 'service = "high"\nclients = "40000"\nto = "peer"\n', id="a tunnel"),
        pytest.param(BACK + 'to = "server"\nservice = "web"\nclients = "1024-65534"\n',
                     id="only the Internet is asked"),
        pytest.param('[[input]]\nservice = ["web", "ntp"]\n', id="input"),
        pytest.param(SEND + 'service = "ntp"\nclients = "123"\n[[input]]\nservice = "ntp"\n',
                     id="it is offered"),
        pytest.param(OUT + 'service = "web"\nclients = "80-443"\n'
                     + BACK + 'service = "low"\n', id="it is offered by another entry"),
        pytest.param(SEND + 'service = "all"\nto = "peer"\n[[deny]]\nto = "peer"\n', id="denied"),
    ],
)  # fmt: skip
def test_where_nobody_may_ask_more_than_is_offered_nothing_is_said(
    tmp_path: Path, text: str
) -> None:
    assert [each for each in said(tmp_path, text) if "unasked" in each] == []


@pytest.mark.parametrize("ports", ["1-65534", "2-3", "40000-40001"])
def test_a_range_that_is_service_and_clients_at_once_is_an_error(
    tmp_path: Path, ports: str
) -> None:
    """Each port of it would be open to every other one."""
    text = POLICY.replace('all = "tcp/1-65534"', f'all = "tcp/{ports}"')
    path = tmp_path / "gate.toml"
    path.write_text(f'{text}{OUT}service = "all"\nclients = "{ports}"\n')
    with pytest.raises(PolicyError, match="among the ports of its clients"):
        check_policy(path)


NTP_OUT = SEND + 'service = "ntp"\nclients = "123"\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (NTP_OUT + '[[input]]\non = "wan"\nfrom = "peer"\nservice = "ntp"\n',
         "output[1].clients: answers to ports 123 reach udp/123 of input[1]"),
        (NTP_OUT + '[[input]]\non = "wan"\nservice = "ntp"\nrun = "clock"\n',
         "output[1].clients: ports 123 belong to the room clock as well"),
        (SEND + 'service = "ntp"\nclients = "36870"\n',
         "output[1].clients: ports 36870 belong to the room clock as well"),
        (SEND + 'service = "ntp"\nclients = "123"\nrun = "clock"\n',
         "output[1].clients: the room clock has ports of its own"),
        (SEND + 'service = "ntp"\nclients = "32768"\n',
         "output[1].clients: 32768 are some of the ephemeral ports (32768-36863), of which a"
         " program gets one by chance (name all of them, or none)"),
        (SEND + 'service = "ntp"\nclients = "1-33000"\n',
         "output[1].clients: 1-33000 are some of the ephemeral ports (32768-36863), of which a"),
        (SEND + 'service = "ping"\nclients = "123"\n',
         "output[1].clients: these services have no ports (leave clients out)"),
    ],
)  # fmt: skip
def test_a_port_of_this_machine_that_is_anothers_already_is_an_error(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert said(tmp_path, text)[0].startswith(expected)


@pytest.mark.parametrize(
    "text",
    [
        NTP_OUT + '[[input]]\non = "lan"\nfrom = "server"\nservice = "ntp"\n',
        NTP_OUT.replace("123", "1023") + '[[input]]\non = "wan"\nfrom = "peer"\nservice = "ntp"\n',
        NTP_OUT + 'to = "peer"\n[[input]]\non = "wan"\nfrom = "peer"\nservice = "ntp"\n',
    ],
)
def test_a_client_with_a_port_of_its_own_is_no_conflict_where_nobody_gets_more(
    tmp_path: Path, text: str
) -> None:
    assert [each for each in said(tmp_path, text) if "unasked" not in each] == []
