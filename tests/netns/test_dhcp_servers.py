"""What real servers send: a dnsmasq that is forced to, and a program that answers as clouds do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pbrinit.compiler.compile import compile_policy
from pbrinit.plan.encode import encode
from pbrinit.policy.reader.reader import read_policy
from tests.support.namespaces import dhcp_script, dhcp_server, in_namespace
from tests.support.namespaces.lab import Lab, wait_until
from tests.support.policy_text import by_dhcp

POLICY = by_dhcp(read_policy(Path("examples/host.toml")))
SERVER, OWN = "192.0.2.1", "192.0.2.77"
POOL = f"--dhcp-range={OWN},{OWN},2m"
ORDINARY = f"{OWN}/24,{SERVER},{SERVER}"
MASK, ROUTER = ("subnet_mask", "255.255.255.0"), ("router", SERVER)
NAMED, TIMED = ("server_id", SERVER), ("lease_time", 3600)


@pytest.fixture
def waiting() -> Iterator[Lab]:
    """A machine without an address, its plan in force."""
    with Lab([f"{SERVER}/24"], []) as lab:
        assert lab.machine.do(in_namespace.enforce, encode(compile_policy(POLICY), "host")) == []
        yield lab


@pytest.mark.parametrize(
    ("forced", "lease"),
    [
        (("3,192.0.2.255",), f"{OWN}/24,,{SERVER}"),
        (("3,192.0.2.255,192.0.2.1",), ORDINARY),
        (("1,255.0.255.0",), ORDINARY),
        (("1,0.0.0.0",), ORDINARY),
        (("58,300", "59,1"), ORDINARY),
        (("6,127.0.0.1",), ORDINARY),
        (("54,169.254.169.254",), f"{OWN}/24,{SERVER},any"),
        (("121,ff:00:01",), ORDINARY),
        (("121,18:c6:33",), ORDINARY),
        (("121,00:c0:00:02:01:18:c6",), ORDINARY),
        (("252,00:01:02", "224,ff:00"), ORDINARY),
    ],
)
def test_a_real_server_that_is_forced_to_say_something_odd_gives_a_lease(
    waiting: Lab, tmp_path: Path, forced: tuple[str, ...], lease: str
) -> None:
    options = [f"--dhcp-option-force={option}" for option in forced]
    with dhcp_server.dnsmasq(waiting.peer, tmp_path, POOL, *options):
        waiting.machine.do(dhcp_server.start_dhcp_client, str(tmp_path / "record"))
        expected = ["none", lease]
        assert wait_until(lambda: dhcp_server.recorded_leases(tmp_path) == expected, 8), (
            dhcp_server.recorded_leases(tmp_path)
        )
        waiting.machine.do(dhcp_server.stop_client)


@pytest.mark.parametrize(
    ("options", "lease"),
    [
        ((MASK, ROUTER, TIMED), f"{OWN}/24,{SERVER},any"),
        ((MASK, ROUTER, TIMED, ("server_id", "169.254.169.254")),
         f"{OWN}/24,{SERVER},169.254.169.254"),
        ((MASK, ROUTER, TIMED, NAMED, NAMED), ORDINARY),
        ((MASK, ROUTER, NAMED), ORDINARY),
        ((ROUTER, TIMED, NAMED), ORDINARY),
        ((MASK, ("router", "0.0.0.0"), TIMED, NAMED), f"{OWN}/24,,{SERVER}"),
        ((MASK, MASK, ROUTER, ROUTER, TIMED, TIMED, NAMED), ORDINARY),
        ((MASK, ROUTER, TIMED, NAMED, (252, b""), (119, b"\x01")), ORDINARY),
    ],
)  # fmt: skip
def test_what_a_cloud_sends_gives_a_lease(
    waiting: Lab, tmp_path: Path, options: tuple[object, ...], lease: str
) -> None:
    log = str(tmp_path / "asked")
    waiting.peer.do(dhcp_script.start_server, log, options, OWN, SERVER)
    waiting.machine.do(dhcp_server.start_dhcp_client, str(tmp_path / "record"))
    expected = ["none", lease]
    assert wait_until(lambda: dhcp_server.recorded_leases(tmp_path) == expected, 8), (
        dhcp_server.recorded_leases(tmp_path)
    )
    waiting.machine.do(dhcp_server.stop_client)
    waiting.peer.do(dhcp_script.stop_server)


def test_mangled_replies_neither_end_nor_stop_the_client(waiting: Lab, tmp_path: Path) -> None:
    log, options = str(tmp_path / "asked"), (MASK, ROUTER, TIMED, NAMED)
    waiting.machine.do(dhcp_server.start_dhcp_client, str(tmp_path / "record"))
    assert wait_until(lambda: waiting.machine.do(dhcp_server.reading_process) != 0, 4)
    asker = waiting.machine.do(dhcp_server.reading_process)
    waiting.peer.do(dhcp_script.start_server, log, options, OWN, SERVER, 300)
    expected = ["none", ORDINARY]
    assert wait_until(lambda: dhcp_server.recorded_leases(tmp_path) == expected, 15), (
        dhcp_server.recorded_leases(tmp_path)
    )
    assert waiting.machine.do(dhcp_server.reading_process) == asker
    waiting.machine.do(dhcp_server.stop_client)
    waiting.peer.do(dhcp_script.stop_server)
