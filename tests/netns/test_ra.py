"""A machine that gets its address by router advertisement, from a real dnsmasq: what passes before
and with it, and what hostile routers achieve.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from ipaddress import IPv6Address, IPv6Interface
from pathlib import Path

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RS,
    ICMPv6NDOptPrefixInfo,
    IPv6,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet as Layer

from pbrinit.compiler.compile import compile_policy
from pbrinit.net.addresses import Family
from pbrinit.plan.encode import encode
from pbrinit.policy.assigned import Assignment, with_assignments
from pbrinit.policy.reader.reader import read_policy
from pbrinit.wire.ndp.address import AdvertisedAddress
from tests.support.generate.packets import seeded
from tests.support.namespaces import dhcp_server, in_namespace
from tests.support.namespaces.in_namespace import Probe
from tests.support.namespaces.lab import Lab, wait_until
from tests.support.namespaces.ra_router import (
    DNSMASQ_OPTION,
    MGMT,
    NODES,
    PREFIX,
    ROUTER,
    ROUTERS,
    SECONDS,
    SERVED,
    STRANGER,
    TO_NODES,
    advertisement,
    frame_of,
    given_by_router,
    has_link_local,
    is_of_kernel,
    is_solicitation,
    message_bytes,
    own_address,
    plan_for,
    prefix_option,
    router_address,
    sent_frames,
    start_client,
)
from tests.support.policy_text import by_ra

HIGH, MEDIUM, LOW = 1, 0, 3
"""Router preferences (RFC 4191, section 2.1)."""


@pytest.fixture
def waiting() -> Iterator[Lab]:
    """A machine without an IPv6 address, its plan in force, that may be asking; and a peer."""
    with Lab([f"{ROUTER}/64"], [MGMT, STRANGER]) as lab:
        lab.peer.do(in_namespace.capture)
        assert lab.machine.do(in_namespace.enforce, plan_for(None)) == []
        assert wait_until(partial(has_link_local, lab), SECONDS)
        yield lab


@pytest.fixture
def holding() -> Iterator[Lab]:
    """A machine that has been given its address already, and the plan for it in force."""
    with Lab([f"{ROUTER}/64"], [MGMT, STRANGER]) as lab:
        assert lab.machine.do(in_namespace.enforce, plan_for(given_by_router(lab))) == []
        yield lab


def test_an_address_is_given_and_nothing_but_a_question_for_routers_leaves(
    waiting: Lab, tmp_path: Path
) -> None:
    with dhcp_server.dnsmasq(waiting.peer, tmp_path, "--enable-ra", DNSMASQ_OPTION):
        waiting.machine.do(dhcp_server.start_ra_client, str(tmp_path / "record"))
        told = ["none", f"{own_address(waiting)}/64,{router_address(waiting)}"]
        assert wait_until(lambda: dhcp_server.recorded_leases(tmp_path) == told, SECONDS)
        assert "SOLICIT" in dhcp_server.ra_messages(tmp_path)
        asker = waiting.machine.do(dhcp_server.reading_process)
        status = waiting.machine.do(dhcp_server.process_status, asker)
        root = waiting.machine.run("readlink", f"/proc/{asker}/root").strip()
        open_files = waiting.machine.run("ls", f"/proc/{asker}/fd").split()
        waiting.machine.do(dhcp_server.stop_client)
    frames = sent_frames(waiting)
    assert [frame for frame in frames if is_solicitation(frame)]
    assert all(is_solicitation(frame) or is_of_kernel(frame) for frame in frames)
    assert status["Uid"].split() == ["65533"] * 4
    assert (root, len(open_files)) == ("/run/empty", 2)
    assert (int(status["CapEff"], 16), status["NoNewPrivs"], status["Groups"]) == (0, "1", "")


def shots(hardware: str, destination: str, router: str) -> list[bytes]:
    """What everybody could try to an address, but for what a router says."""
    frames: list[Layer] = []
    for source in (router, ROUTER, MGMT, STRANGER, "fe80::66"):
        ends = IPv6(src=source, dst=destination)
        for ports in ((67, 69), (53, 22), (53, 40000)):
            frames.append(ends / UDP(sport=ports[0], dport=ports[1]) / b"?")
        frames += [ends / TCP(sport=40000, dport=port, flags="S") for port in (22, 40000)]
        frames.append(ends / ICMPv6EchoRequest())
    return [bytes(Ether(src="02:00:00:00:00:09", dst=hardware) / frame) for frame in frames]


def test_nobody_reaches_a_machine_that_waits_and_nothing_is_answered(waiting: Lab) -> None:
    for protocol, port in SERVED:
        waiting.machine.do(in_namespace.serve, protocol, port)
    hardware = waiting.machine.do(in_namespace.mac)
    for destination in (own_address(waiting), own_address(waiting, "fe80::"), NODES, ROUTERS):
        for to in (hardware, TO_NODES):
            waiting.peer.do(in_namespace.transmit, shots(to, destination, router_address(waiting)))
    assert all(is_of_kernel(frame) for frame in sent_frames(waiting))
    heard = {what: waiting.machine.do(in_namespace.clients_of, *what) for what in SERVED}
    assert not any(heard.values()), heard


@pytest.mark.parametrize("device", [None, "eth0"])
@pytest.mark.parametrize("uid", [0, 1001])
def test_no_program_sends_anything_from_a_machine_that_waits(
    waiting: Lab, uid: int, device: str | None
) -> None:
    on_link = f"{router_address(waiting)}%eth0"
    told = {
        (protocol, address, port): waiting.machine.do(
            in_namespace.send_probe, Probe(protocol, address, port, uid, device=device)
        )
        for protocol in ("tcp", "udp")
        for address in (ROUTER, MGMT, on_link, f"{ROUTERS}%eth0", f"{NODES}%eth0")
        for port in (22, 443, 546)
        if protocol == "udp" or "ff02" not in address
    }
    assert "answered" not in told.values()
    assert all(is_of_kernel(frame) for frame in sent_frames(waiting))


def hostile(lab: Lab) -> list[bytes]:
    """Advertisements that are none, or that give what nobody can use."""
    one = prefix_option()
    short = ICMPv6NDOptPrefixInfo(prefix=PREFIX, prefixlen=64, L=1, A=1, len=0)
    long = ICMPv6NDOptPrefixInfo(prefix=PREFIX, prefixlen=64, L=1, A=1, len=200)
    return [
        advertisement(lab, one, hops=254),
        advertisement(lab, one, source=ROUTER),
        advertisement(lab, one, source="fe80::7", code=1),
        advertisement(lab, one, cksum=1),
        advertisement(lab, short),
        advertisement(lab, long),
        *(frame_of(lab, message_bytes(one)[:size]) for size in (8, 15, 17, 24, 47)),
        advertisement(lab),
        advertisement(lab, prefix_option(A=0)),
        advertisement(lab, prefix_option(length=48)),
        advertisement(lab, prefix_option(length=65)),
        advertisement(lab, prefix_option(length=255)),
        advertisement(lab, prefix_option(validlifetime=59, preferredlifetime=59)),
        advertisement(lab, prefix_option(preferredlifetime=0)),
        advertisement(lab, prefix_option(preferredlifetime=3601)),
        *(
            advertisement(lab, prefix_option(p))
            for p in ("fe80::", "ff02::", "::", "fd70:6272:696e:6974::")
        ),
    ]


def test_what_is_no_advertisement_and_what_nobody_can_use_changes_nothing(
    waiting: Lab, tmp_path: Path
) -> None:
    start_client(waiting, tmp_path)
    drawn = seeded("advertisements")
    noise = [
        frame_of(waiting, message_bytes() + drawn.randbytes(drawn.randrange(600)))
        for _ in range(200)
    ]
    asker = waiting.machine.do(dhcp_server.reading_process)
    for frames in (hostile(waiting), noise * 20):
        waiting.peer.do(in_namespace.transmit, frames)
    time.sleep(1)
    assert dhcp_server.recorded_leases(tmp_path) == ["none"]
    assert waiting.machine.do(dhcp_server.reading_process) == asker
    waiting.peer.do(in_namespace.transmit, [advertisement(waiting, prefix_option())])
    told = ["none", f"{own_address(waiting)}/64,{router_address(waiting)}"]
    assert wait_until(lambda: dhcp_server.recorded_leases(tmp_path) == told, SECONDS)
    waiting.machine.do(dhcp_server.stop_client)
    assert all(is_solicitation(frame) or is_of_kernel(frame) for frame in sent_frames(waiting))


def test_the_process_that_asks_is_given_nothing_but_advertisements(waiting: Lab) -> None:
    """All of this is delivered; the rules see no type, and the socket's filter does."""
    waiting.machine.do(dhcp_server.open_socket)
    ends = Ether(dst=waiting.machine.do(in_namespace.mac)) / IPv6(
        src=router_address(waiting), dst=own_address(waiting, "fe80::"), hlim=255
    )  # fmt: skip
    others = (
        ICMPv6ND_NS(tgt=own_address(waiting, "fe80::")),
        ICMPv6ND_NA(tgt=router_address(waiting)),
        ICMPv6ND_RS(),
    )
    frames = [bytes(ends / other) for other in (*others, ICMPv6EchoRequest())]
    waiting.peer.do(in_namespace.transmit, [*frames, advertisement(waiting)])
    assert waiting.machine.do(dhcp_server.received_types) == {134}


def test_another_router_changes_nothing_and_the_one_that_is_held_may_give_up(
    holding: Lab, tmp_path: Path
) -> None:
    held = AdvertisedAddress(
        address=own_address(holding), length=64, router=router_address(holding),
        seconds=3600, gateway_seconds=1800,
        resolvers=(),
    )  # fmt: skip
    start_client(holding, tmp_path, held)
    first = f"{own_address(holding)}/64,{router_address(holding)}"
    assert dhcp_server.recorded_leases(tmp_path) == [first]
    other = partial(advertisement, holding, source="fe80::66")
    holding.peer.do(in_namespace.transmit, [
        other(prefix_option("2001:db8:66::")), other(prefix_option()),
        other(prefix_option(), seconds=0),
        advertisement(holding, prefix_option(), hops=64, seconds=0),
    ])  # fmt: skip
    time.sleep(1)
    assert dhcp_server.recorded_leases(tmp_path) == [first]
    without = f"{own_address(holding)}/64,"
    holding.peer.do(in_namespace.transmit, [advertisement(holding, prefix_option(), seconds=0)])
    assert wait_until(lambda: dhcp_server.recorded_leases(tmp_path) == [first, without], SECONDS)
    holding.peer.do(in_namespace.transmit, [advertisement(holding, prefix_option())])
    assert wait_until(
        lambda: dhcp_server.recorded_leases(tmp_path) == [first, without, first], SECONDS
    )
    holding.machine.do(dhcp_server.stop_client)


def test_a_router_does_not_take_an_address_away_at_once(holding: Lab, tmp_path: Path) -> None:
    """RFC 4862, section 5.5.3, e: anybody can send in its name."""
    held = AdvertisedAddress(
        address=own_address(holding), length=64, router=router_address(holding),
        seconds=3600, gateway_seconds=1800, resolvers=(),
    )  # fmt: skip
    start_client(holding, tmp_path, held)
    over = advertisement(holding, prefix_option(validlifetime=0, preferredlifetime=0))
    holding.peer.do(in_namespace.transmit, [over] * 9)
    time.sleep(1)
    first = f"{own_address(holding)}/64,{router_address(holding)}"
    assert dhcp_server.recorded_leases(tmp_path) == [first]
    holding.machine.do(dhcp_server.stop_client)


LOCAL = "fd12:3456:789a::"


def is_recorded(folder: Path, leases: list[str]) -> bool:
    return dhcp_server.recorded_leases(folder) == leases


def test_a_global_prefix_takes_the_place_of_a_unique_local_one(
    waiting: Lab, tmp_path: Path
) -> None:
    """A router that boots says the local one alone first, and is no default router yet."""
    start_client(waiting, tmp_path)
    local = f"{own_address(waiting, LOCAL)}/64,"
    both = f"{own_address(waiting)}/64,{router_address(waiting)}"
    first = advertisement(waiting, prefix_option(LOCAL), seconds=0)
    waiting.peer.do(in_namespace.transmit, [first])
    assert wait_until(partial(is_recorded, tmp_path, ["none", local]), SECONDS)
    for options in ((LOCAL, PREFIX), (PREFIX, LOCAL)):
        second = advertisement(waiting, *map(prefix_option, options))
        waiting.peer.do(in_namespace.transmit, [second])
        changed = ["none", local, both]
        assert wait_until(partial(is_recorded, tmp_path, changed), SECONDS)
    waiting.machine.do(dhcp_server.stop_client)


def test_one_router_gives_the_prefix_and_another_one_that_is_preferred_is_the_default(
    waiting: Lab, tmp_path: Path
) -> None:
    """The prefix is not on the link: no host of it is reached but by the router."""
    start_client(waiting, tmp_path)
    others = [
        advertisement(waiting, prefix_option(L=0), seconds=0),
        advertisement(waiting, source="fe80::66", prf=LOW),
        advertisement(waiting, source="fe80::67", prf=HIGH),
        advertisement(waiting, source="fe80::68", prf=MEDIUM),
    ]
    waiting.peer.do(in_namespace.transmit, others)
    told = ["none", f"{own_address(waiting)}/128,fe80::67"]
    assert wait_until(lambda: dhcp_server.recorded_leases(tmp_path)[-1:] == told[-1:], SECONDS)
    waiting.machine.do(dhcp_server.stop_client)


def test_an_address_whose_prefix_is_not_on_the_link_is_used_by_the_router() -> None:
    with Lab([], [MGMT, STRANGER]) as lab:
        own = own_address(lab)
        given = Assignment(IPv6Interface(f"{own}/128"), IPv6Address(router_address(lab)))
        assert lab.machine.do(in_namespace.enforce, plan_for(given)) == []
        lab.peer.run("ip", "route", "add", own, "dev", "eth0")
        lab.machine.do(in_namespace.serve, "tcp", 22)
        asked = Probe("tcp", own, 22, source=(MGMT, 0))
        assert lab.peer.do(in_namespace.send_probe, asked) == "answered"


def test_a_router_that_gives_another_prefix_renumbers(holding: Lab, tmp_path: Path) -> None:
    held = AdvertisedAddress(
        address=own_address(holding, "2001:db8:1::"), length=64, router=router_address(holding),
        seconds=3600, gateway_seconds=1800, resolvers=(),
    )  # fmt: skip
    start_client(holding, tmp_path, held)
    gone = prefix_option("2001:db8:1::", preferredlifetime=0)
    holding.peer.do(in_namespace.transmit, [advertisement(holding, gone, prefix_option())])
    now = f"{own_address(holding)}/64,{router_address(holding)}"
    assert wait_until(lambda: dhcp_server.recorded_leases(tmp_path)[1:] == [now], SECONDS)
    holding.machine.do(dhcp_server.stop_client)


def test_with_an_address_the_machine_does_what_the_policy_says(holding: Lab) -> None:
    """Who is asked beyond the link is reached by the router's address on the link alone."""
    for protocol, port in (("tcp", 22), ("tcp", 80)):
        holding.machine.do(in_namespace.serve, protocol, port)
    holding.peer.do(in_namespace.serve, "tcp", 443, (STRANGER,))
    address = own_address(holding)
    reached = {
        (source, port): holding.peer.do(
            in_namespace.send_probe, Probe("tcp", address, port, source=(source, 0))
        )
        for source in (MGMT, STRANGER)
        for port in (22, 80)
    }
    assert reached.pop((MGMT, 22)) == "answered"
    assert set(reached.values()) == {"silence"}
    assert holding.peer.do(in_namespace.ping, address, MGMT)
    assert not holding.peer.do(in_namespace.ping, address, STRANGER)
    assert (
        holding.machine.do(in_namespace.send_probe, Probe("tcp", STRANGER, 443, 1001)) == "answered"
    )
    assert (
        holding.machine.do(in_namespace.send_probe, Probe("tcp", STRANGER, 443, 1002)) == "EACCES"
    )
    assert holding.machine.do(in_namespace.differences, plan_for(given_by_router(holding))) == []


@pytest.mark.parametrize("source", ["fe80::", PREFIX])
def test_with_an_address_routers_are_asked_by_root_alone_and_without_a_source(
    holding: Lab, source: str
) -> None:
    """A socket that has chosen its source may not."""
    chosen = own_address(holding, source)
    holding.peer.do(in_namespace.capture)
    assert holding.machine.do(dhcp_server.solicit, None, "eth0") == "sent"
    assert holding.machine.do(dhcp_server.solicit, chosen, "eth0") == "EACCES"
    frames = [frame for frame in sent_frames(holding) if not is_of_kernel(frame)]
    assert [is_solicitation(frame) for frame in frames] == [True]


def test_nobody_on_the_link_keeps_the_machine_from_its_address() -> None:
    """Another machine has it already, and says so; what comes from our address is forged."""
    with Lab([f"{ROUTER}/64"], [MGMT]) as lab:
        taken = own_address(lab)
        lab.peer.run("ip", "address", "add", f"{taken}/64", "dev", "eth0", "nodad")
        lab.peer.do(in_namespace.capture)
        assert lab.machine.do(in_namespace.enforce, plan_for(given_by_router(lab))) == []
        said = [Ether(frame) for frame in lab.peer.do(in_namespace.captured_frames)]
        assert [f for f in said if ICMPv6ND_NA in f and f[ICMPv6ND_NA].tgt == taken]
        shown = lab.machine.run("ip", "-6", "address", "show", "dev", "eth0")
        assert f"inet6 {taken}/64" in shown
        assert "dadfailed" not in shown
        assert "tentative" not in shown


def test_beside_another_interface_routers_are_asked_on_the_one_link_alone() -> None:
    """Whether the socket is bound to a device or not; and what is passed on goes by the router."""
    router = by_ra(read_policy(Path("examples/router.toml")))
    (lan,) = (i for i in router.interfaces if not i.dynamic_families)
    with Lab([f"{ROUTER}/64"], [STRANGER]) as lab:
        inside = lab.connect(lan.device, ["2001:db8:1::5/64"], [])
        plan = compile_policy(with_assignments(router, given_by_router(lab)))
        assert lab.machine.do(in_namespace.enforce, encode(plan, "router")) == []
        for peer in lab.peers:
            peer.do(in_namespace.capture)
        for device, told in (("eth0", "sent"), (None, "sent"), (lan.device, "EACCES")):
            assert lab.machine.do(dhcp_server.solicit, None, device) == told
        frames = [frame for frame in sent_frames(lab) if not is_of_kernel(frame)]
        assert [is_solicitation(frame) for frame in frames] == [True, True]
        assert not [
            f for f in map(Ether, inside.do(in_namespace.captured_frames)) if ICMPv6ND_RS in f
        ]
        lab.peer.do(in_namespace.serve, "tcp", 443, (STRANGER,))
        inside.run("ip", "route", "add", "default", "via", str(lan.addresses_of(Family.V6)[0].ip))
        asked = Probe("tcp", STRANGER, 443, source=("2001:db8:1::5", 0))
        lab.peer.run("ip", "route", "add", "2001:db8:1::/64", "via", own_address(lab))
        assert inside.do(in_namespace.send_probe, asked) == "answered"
