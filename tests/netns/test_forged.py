"""Where everybody may come in, it matters which way he comes: forged sources are not delivered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.namespaces import in_namespace
from tests.support.namespaces.two_sided import (
    ADMIN,
    ELSEWHERE,
    SELF_INNER,
    SELF_OUTER,
    SERVER,
    TwoSided,
    two_sided,
)

versions = pytest.mark.parametrize("version", [4, 6])
OPEN = """
[[input]]
service = ["ssh", "ntp"]

[[output]]
on      = "inner"
service = "ssh"
"""


@pytest.fixture(scope="module")
def open_to_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoSided]:
    """The bastion's machine, where anybody may ask for ssh by either interface."""
    bastion = Path("examples/bastion.toml").read_text()
    policy = tmp_path_factory.mktemp("open") / "open.toml"
    policy.write_text(bastion[: bastion.index("[[input]]")] + OPEN)
    with two_sided(policy) as sides:
        yield sides


@versions
def test_a_source_is_heard_only_where_it_lives(open_to_all: TwoSided, version: int) -> None:
    outer, inner = SELF_OUTER[version], SELF_INNER[version]
    sent = {
        "outside": [
            (ADMIN, outer, True),
            (ELSEWHERE, outer, True),
            (SERVER, outer, False),
            (SELF_INNER, outer, False),
            (SELF_OUTER, outer, False),
            (ADMIN, inner, False),
        ],
        "inside": [
            (SERVER, inner, True),
            (ADMIN, inner, False),
            (SELF_OUTER, inner, False),
            (SELF_INNER, inner, False),
            (SERVER, outer, False),
        ],
    }
    open_to_all.machine.do(in_namespace.tap_tcp)
    expected = set()
    for side, probes in sent.items():
        peer = getattr(open_to_all, side)
        hardware = open_to_all.machine.do(in_namespace.mac, "eth0" if side == "outside" else "eth1")
        for number, (who, own, heard) in enumerate(probes, 9):
            peer.do(in_namespace.send_forged, hardware, (who[version], number), (own, 22))
            if heard:
                expected.add((who[version], number, 22))
    assert set(open_to_all.machine.do(in_namespace.tapped_segments)) == expected


@versions
def test_what_is_allowed_by_one_interface_does_not_leave_by_the_other(
    open_to_all: TwoSided, version: int
) -> None:
    def asked(address: str) -> str:
        return open_to_all.machine.do(
            in_namespace.send_probe, in_namespace.Probe("tcp", address, 22)
        )

    assert asked(SERVER[version]) == "answered"
    assert asked(ELSEWHERE[version]) == "EACCES"


def test_ipv4_in_ipv6s_clothes_is_not_heard(open_to_all: TwoSided) -> None:
    """Linux takes it from the wire, and a program could take it for its own loopback."""
    hardware = open_to_all.machine.do(in_namespace.mac)
    own = (SELF_OUTER[6], 123)
    for source in ("::ffff:127.0.0.1", "::ffff:198.51.100.9", ELSEWHERE[6]):
        open_to_all.outside.do(in_namespace.send_forged, hardware, (source, 9), own, "udp")
    open_to_all.outside.do(in_namespace.captured_frames)
    assert open_to_all.machine.do(in_namespace.clients_of, "udp", 123) == [ELSEWHERE[6]]
