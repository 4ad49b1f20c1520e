"""Root in a room with every capability there is and a raw line to its wire: nothing else gets out.

As a room of the image never is: packet sockets, devices of every kind and CAP_SYS_ADMIN are here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import ICMPv6MLReport2, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.utils6 import in6_mactoifaceid, in6_ptop

from pbrinit.cli.build import loaded
from pbrinit.net.addresses import Family
from pbrinit.plan.plan import Action, Plan, Rule
from pbrinit.policy.room_addresses import room_address
from tests.support.attack.room_frames import WEB, Attempt, RoomAddresses, attempts
from tests.support.host_example import BEHIND, LENGTH, ON_LINK, SELF
from tests.support.namespaces import in_namespace, room_netns
from tests.support.namespaces.lab import Lab, Namespace
from tests.support.namespaces.marked_frames import mark_of

POLICY, PLAN = loaded(Path("examples/rooms.toml"))
CLIENTS = next(run.client_ports for run in POLICY.programs if run.name == "updater")
INSIDE = {
    (run.name, family.version): str(room_address(POLICY, run, family))
    for run in POLICY.rooms
    for family in Family
}
MAIN_TABLE = 254
ANYWHERE = {4: ("169.254.0.1", "240.0.0.1"), 6: ("2001:db8:9::9",)}
"""The updater's entry names nobody: all are meant who are not this machine, its link's all of them,
or a group.
"""

REACHED = {
    address
    for version in (4, 6)
    for address in (*BEHIND[version].values(), *ANYWHERE[version], *ON_LINK[version].values())
}

ODD = {
    4: ("127.0.0.1", "0.0.0.0", "192.0.2.255", "255.255.255.255", "224.0.0.1", "239.1.2.3"),
    6: ("::1", "fe80::1", "fe80::2", "ff02::1", "ff02::fb", "ff05::2", "ff0e::1",
        "::ffff:203.0.113.7"),
}  # fmt: skip
UPSET = """
set -x
ip link set eth0 arp on
ip link set eth0 promisc on allmulticast on mtu 9000
ip rule add preference 1 lookup main
ip -6 rule add preference 1 lookup main
ip address add {near4}/24 dev eth0
ip address add 192.0.2.200/24 brd + dev eth0
ip -6 address add {near6}/64 dev eth0
ip -6 address add 2001:db8::200/64 dev eth0
ip -6 address add fe80::77/64 dev eth0
ip route replace default dev eth0
ip route add multicast 224.0.0.0/4 dev eth0
ip -6 route replace default dev eth0
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.proxy_arp=1
sysctl -qw net.ipv6.conf.all.accept_ra=2 net.ipv6.conf.eth0.dad_transmits=5
sysctl -qw net.ipv4.conf.eth0.send_redirects=1 net.ipv4.conf.eth0.arp_notify=1
ip neighbour replace 203.0.113.7 lladdr {foreign} dev eth0
ip -6 neighbour replace 2001:db8:7::7 lladdr {foreign} dev eth0
ip link add link eth0 name vlan7 type vlan id 7
ip address add 192.0.2.201/24 dev vlan7
ip link set vlan7 up
ip link add link eth0 name mac0 type macvlan mode bridge
ip address add 192.0.2.202/24 dev mac0
ip link set mac0 up
ip link add v0 type veth peer name v1
ip link set v0 up
ip link add dum0 type dummy
ip link add tun6 type sit remote 203.0.113.7 local {own4}
ip link set tun6 up
ip tuntap add tap0 mode tap
ip link set eth0 down
ip link set eth0 address 02:de:ad:00:00:01
ip link set eth0 up
ip route replace default dev eth0
ip -6 route replace default dev eth0
for there in {near4} 192.0.2.77 203.0.113.7 255.255.255.255 224.0.0.1; do
    ping -b -c 1 -W 1 $there &
done
for there in {near6} 2001:db8::77 2001:db8:7::7 ff02::1%eth0 ff02::1%mac0; do
    ping -c 1 -W 1 $there &
done
arping -c 1 -I eth0 192.0.2.77 &
wait
"""


@dataclass(frozen=True)
class Appliance:
    """The machine, its rooms, and the rest of the network."""

    machine: Namespace
    rooms: dict[str, Namespace]
    peer: Namespace

    @property
    def others(self) -> dict[str, Namespace]:
        """The rooms but the hostile one."""
        return {name: side for name, side in self.rooms.items() if name != "updater"}


@pytest.fixture
def appliance() -> Iterator[Appliance]:
    """The plan in force, in a machine made for one test, as root upsets it."""
    with ExitStack() as stack:
        yield made(stack, PLAN)


def made(stack: ExitStack, plan: Plan) -> Appliance:
    """A machine with a plan in force, until the stack is left."""
    on_link = [f"{a}/{LENGTH[v]}" for v, named in ON_LINK.items() for a in named.values()]
    behind = [address for named in BEHIND.values() for address in named.values()]
    lab = stack.enter_context(Lab(on_link, behind))
    inside = room_netns.enforce(lab.machine, plan)
    for room in inside.values():
        stack.callback(room.close)
    return Appliance(lab.machine, inside, lab.peer)


def world(appliance: Appliance, version: int) -> RoomAddresses:
    """Who is where for root in the updater's room."""
    behind, on_link = BEHIND[version].values(), ON_LINK[version].values()
    reached = (*behind, *ANYWHERE[version], *on_link)
    return RoomAddresses(
        version=version,
        own=SELF[version],
        reachable=reached,
        inside=INSIDE["updater", version],
        other_rooms=tuple(INSIDE[name, version] for name in appliance.others),
        unusual=ODD[version],
        first_port=CLIENTS.first,
        last_port=CLIENTS.last,
        mac=appliance.rooms["updater"].do(in_namespace.mac),
        foreign_macs=(appliance.machine.do(in_namespace.mac), appliance.peer.do(in_namespace.mac)),
    )


def beyond(appliance: Appliance, frames: list[bytes]) -> list[str]:
    """What is on the wire that the policy does not let the updater send, nor the machine say of
    itself: questions for those neighbours, and its groups.
    """
    hardware = appliance.machine.do(in_namespace.mac)
    packets = [Ether(data) for data in frames]
    return [packet.summary() for packet in packets if not _is_allowed(packet, hardware)]


def _is_allowed(packet: Ether, hardware: str) -> bool:
    if ARP in packet:
        return packet[ARP].op == 1 and packet[ARP].psrc == SELF[4] and packet[ARP].pdst in REACHED
    if ICMPv6ND_NS in packet:
        return packet[ICMPv6ND_NS].tgt in REACHED
    body = packet.payload
    if ICMPv6MLReport2 in packet:
        return in6_ptop(body.src) == in6_ptop(f"fe80::{in6_mactoifaceid(hardware)}")
    return (
        isinstance(body, IP | IPv6)
        and body.src in SELF.values()
        and body.dst in REACHED
        and isinstance(body.payload, TCP)
        and CLIENTS.first <= body.payload.sport <= CLIENTS.last
        and body.payload.dport == WEB
    )


def fired(appliance: Appliance, tried: list[Attempt]) -> tuple[list[bytes], dict[str, list[str]]]:
    """Send all; what came out by the wire, and how much came into each other room."""
    for side in (appliance.peer, *appliance.others.values()):
        side.do(in_namespace.capture, True)
    appliance.rooms["updater"].do(in_namespace.transmit, [attempt.data for attempt in tried])
    return appliance.peer.do(in_namespace.captured_frames), came_in(appliance)


def came_in(appliance: Appliance) -> dict[str, list[str]]:
    """The frames that came into each other room, but for the groups of the machine's own end."""
    return {
        name: [
            Ether(data).summary()
            for data in side.do(in_namespace.captured_frames)
            if not _is_own_word(data)
        ]
        for name, side in appliance.others.items()
    }


def _is_own_word(data: bytes) -> bool:
    return ICMPv6MLReport2 in Ether(data) and mark_of(data) is None


def nothing(appliance: Appliance) -> dict[str, list[str]]:
    """What came into each other room: nothing."""
    return {name: [] for name in appliance.others}


def test_of_all_frames_only_those_that_are_allowed_get_out(appliance: Appliance) -> None:
    total = 0
    for version in (4, 6):
        there = world(appliance, version)
        tried = list(attempts(there))
        total += len(tried)
        out, into = fired(appliance, tried)
        assert beyond(appliance, out) == []
        assert into == nothing(appliance)
        passed = {tried[(mark_of(data) or 0) - 1] for data in out if mark_of(data)}
        assert {each.what for each in passed if not each.allowed} == set()
        assert passed == {each for each in tried if each.allowed}
    assert f"sends {total:,} frames" in Path("docs/rooms.md").read_text()


def test_whatever_root_changes_in_its_room_nothing_else_gets_out(appliance: Appliance) -> None:
    """Devices, addresses, routes, rules, neighbours, and then the same frames again."""
    for side in (appliance.peer, *appliance.others.values()):
        side.do(in_namespace.capture, True)
    room = appliance.rooms["updater"]
    before = {version: world(appliance, version) for version in (4, 6)}
    names = {f"near{version}": named["neighbour"] for version, named in ON_LINK.items()}
    foreign = before[4].foreign_macs[0]
    script = UPSET.format(foreign=foreign, own4=SELF[4], **names)
    room.run("timeout", "20", "sh", "-c", script)
    time.sleep(1)
    devices = room.run("ip", "-br", "link")
    assert all(f"\n{name}" in devices for name in ("eth0", "mac0", "v0", "v1", "tap0"))
    assert beyond(appliance, appliance.peer.do(in_namespace.captured_frames)) == []
    assert came_in(appliance) == nothing(appliance)
    for there in before.values():
        out, into = fired(appliance, list(attempts(there)))
        assert beyond(appliance, out) == []
        assert into == nothing(appliance)
    appliance.rooms["sshd"].do(in_namespace.serve, "tcp", 22)
    for version in (4, 6):
        source = (BEHIND[version]["mgmt"], 0)
        probe = in_namespace.Probe("tcp", SELF[version], 22, source=source)
        assert appliance.peer.do(in_namespace.send_probe, probe) == "answered"


def weakened(what: str) -> Plan:
    """The plan with the updater's rules weaker than the compiler's in one thing."""

    def changed(rule: Rule) -> Rule:
        if rule.iif != "r-updater" or rule.action is not Action.GOTO:
            return rule
        if what == "any packet":
            return replace(rule, action=Action.LOOKUP, argument=MAIN_TABLE)
        return replace(rule, argument=ways[rule.family]) if rule.note == "leaves the room" else rule

    ways = {
        rule.family: rule.preference
        for rule in PLAN.rules
        if (rule.iif, rule.note) == ("r-updater", "output[1]")
    }
    return replace(PLAN, rules=tuple(changed(rule) for rule in PLAN.rules))


@pytest.mark.parametrize("what", ["any port", "any packet"])
def test_a_weaker_plan_is_found_out(what: str) -> None:
    """Where the ports are not asked for IPv4 has a second wall: the way back, which names them."""
    found = {}
    with ExitStack() as stack:
        appliance = made(stack, weakened(what))
        for version in (4, 6):
            out, _ = fired(appliance, list(attempts(world(appliance, version))))
            found[version] = len(beyond(appliance, out)) > 0
    assert found == {4: what == "any packet", 6: True}
