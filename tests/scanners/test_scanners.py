"""Scanners beside examples/host.toml: open is what the policy allows, all else is silence."""

from __future__ import annotations

import pytest

from tests.support.host_example import MGMT, SELF, STRANGER
from tests.support.nmap import scan
from tests.support.vm.tap_guest import SERVED_PORTS, TapGuest

SSH = 22
PLACES = {"mgmt": MGMT, "stranger": STRANGER}
OPEN = {"mgmt": {SSH}, "stranger": set()}
INTERESTING = sorted({*(port for _, port in SERVED_PORTS), 5353, 32767, 32768, 60999, 61000, 65535})
PORTS = [*range(1, 1025), *(port for port in INTERESTING if port > 1024)]
UDP_PORTS = [*range(1, 200), *(port for port in INTERESTING if port >= 200)]
ICMP = {4: 1, 6: 58}
who = pytest.mark.parametrize("who", PLACES)
version = pytest.mark.parametrize("version", [4, 6])


def _from(who: str, version: int) -> tuple[str, ...]:
    return ("-S", PLACES[who][version], "-e", "tap0")


def test_nmap_does_tell_closed_from_filtered(gate: TapGuest) -> None:
    """Of a machine without a filter: this one."""
    found = scan(gate.sides[0], "127.0.0.1", "-sS", ports=PORTS)
    assert (found.states, found.count) == ({"closed"}, len(PORTS))


@pytest.mark.parametrize("source_port", [None, 53, 443])
@version
@who
def test_syn_finds_open_what_is_allowed_and_the_rest_filtered(
    gate: TapGuest, who: str, version: int, source_port: int | None
) -> None:
    """The ports of those who may be asked, as source, reach no listener either."""
    trick = ("-g", str(source_port)) if source_port else ()
    found = scan(gate.sides[0], SELF[version], "-sS", *_from(who, version), *trick, ports=PORTS)
    assert found.count == len(PORTS)
    assert found.ports_in("open") == OPEN[who]
    assert found.states - {"open"} == {"filtered"}


@version
@who
def test_ack_is_answered_where_syn_is(gate: TapGuest, who: str, version: int) -> None:
    found = scan(gate.sides[0], SELF[version], "-sA", *_from(who, version), ports=PORTS)
    assert found.ports_in("unfiltered") == OPEN[who]
    assert found.states - {"unfiltered"} == {"filtered"}


@pytest.mark.parametrize("kind", ["-sF", "-sN", "-sX"])
@version
@who
def test_fin_null_and_xmas_are_answered_by_nothing(
    gate: TapGuest, who: str, version: int, kind: str
) -> None:
    """Nor would the open port: silence is what RFC 9293 has a listener do."""
    found = scan(gate.sides[0], SELF[version], kind, *_from(who, version), ports=PORTS)
    assert (found.states, found.count) == ({"open|filtered"}, len(PORTS))


@version
@who
def test_udp_is_answered_by_nothing(gate: TapGuest, who: str, version: int) -> None:
    found = scan(gate.sides[0], SELF[version], "-sU", *_from(who, version), ports=UDP_PORTS)
    assert (found.states, found.count) == ({"open|filtered"}, len(UDP_PORTS))


@version
@who
def test_no_protocol_is_told_to_be_closed(gate: TapGuest, who: str, version: int) -> None:
    found = scan(gate.sides[0], SELF[version], "-sO", *_from(who, version), ports="0-255")
    assert found.count == 256
    assert found.ports_in("open") == ({ICMP[version]} if who == "mgmt" else set())
    assert found.states - {"open"} == {"open|filtered"}


@pytest.mark.soak
@version
@who
def test_all_ports_of_tcp(gate: TapGuest, who: str, version: int) -> None:
    found = scan(gate.sides[0], SELF[version], "-sS", *_from(who, version), ports="1-65535")
    assert found.count == 65535
    assert found.ports_in("open") == OPEN[who]
    assert found.states - {"open"} == {"filtered"}
