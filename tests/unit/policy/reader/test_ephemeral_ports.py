"""The machine may have other ephemeral ports, so that a service can listen where they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from pbrinit.analysis.proof.prover import Proof
from pbrinit.cli.build import loaded
from pbrinit.net.services import Ports
from pbrinit.policy.problems import PolicyError

POLICY = """
hostname = "wg"
{ephemeral}
[interface.wan]
device = "eth0"
address = ["192.0.2.2/24", "2001:db8::2/64"]
gateway = ["192.0.2.1", "2001:db8::1"]
[service]
wg = "udp/51820"
dns = ["udp/53", "tcp/53"]
[user]
one = 1001
[[output]]
service = "dns"
"""
IN = '[[input]]\nservice = "wg"\n'
ROOM = '[run.{}]\ncommand = ["/x"]\nuser = "one"\n'
ROOMS = ROOM.format("a") + ROOM.format("b")
RANGE = "net/ipv4/ip_local_port_range"


def written(tmp_path: Path, text: str, ephemeral: str = "") -> Path:
    path = tmp_path / "wg.toml"
    line = f'ephemeral-ports = "{ephemeral}"' if ephemeral else ""
    path.write_text(POLICY.format(ephemeral=line) + text)
    return path


@pytest.mark.parametrize("ephemeral", ["32768-51819", "51821-65534", "32768-36863"])
@pytest.mark.parametrize("text", [IN, IN + 'run = "a"\n' + ROOMS], ids=["machine", "room"])
def test_a_service_may_listen_outside_of_the_range(
    tmp_path: Path, ephemeral: str, text: str
) -> None:
    policy, plan = loaded(written(tmp_path, text, ephemeral))
    first, last = map(int, ephemeral.split("-"))
    slices = [policy.client_ports, *(room.client_ports for room in policy.rooms)]
    assert all(ports in Ports(first, last) for ports in slices)
    own = policy.client_ports
    assert {s.key: s.value for s in plan.sysctls}[RANGE] == f"{own.first}\t{own.last}"
    assert all(finding.counterexample is None for finding in Proof(policy, plan).findings())


def test_a_port_that_a_client_may_get_by_chance_is_none_to_ask_from(tmp_path: Path) -> None:
    text = '[[output]]\nservice = "wg"\nclients = "51820"\n'
    loaded(written(tmp_path, text, "32768-51819"))
    with pytest.raises(PolicyError, match=r'51820 are some of .*write ephemeral-ports = "32768-5'):
        loaded(written(tmp_path, text))


@pytest.mark.parametrize(
    ("ephemeral", "what"),
    [
        ("", 'write ephemeral-ports = "32768-51819" above all'),
        ("32768-51820", "port 51820 is in the ephemeral port range (32768-51820)"),
        ("50000-65534", 'write ephemeral-ports = "51821-65534" above all'),
        ("1024-51819", "1024-51819 is not within 32768-65534"),
        ("32768-65535", "is not within 1-65534"),
        ("40000-44000", "40000-44000 are fewer than 4096 ports"),
        ("50000", "50000 are fewer than 4096 ports"),
        ("all", '"all" has no port number'),
    ],
)
def test_a_range_that_does_not_do_is_refused(tmp_path: Path, ephemeral: str, what: str) -> None:
    with pytest.raises(PolicyError) as refused:
        loaded(written(tmp_path, IN, ephemeral))
    assert any(what in str(problem) for problem in refused.value.problems)
