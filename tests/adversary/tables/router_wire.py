"""What both sides of examples/router.toml send, and what must come of it.

In: nothing.  Out: `TABLES`. wan is card 0, lan card 1. `may_pass` is written by hand from the
policy's file, in the words of docs/meaning.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from scapy.layers.inet import IP, IPOption_LSRR, IPOption_RR
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrRouting, PadN
from scapy.layers.l2 import Dot1Q
from scapy.packet import Raw

from tests.adversary.tables.host_tricks import CUTS, cut
from tests.support.attack.router_frames import packet_ends, to_router
from tests.support.attack.shot import Shot, echo, ether, icmp, ip, tcp, udp
from tests.support.host_example import VERSIONS
from tests.support.mac_addresses import GUEST_MACS, PEER_MACS
from tests.support.router_example import FAR, HOST, INSIDE, LAN, ROUTER, SERVER, WAN

CLIENTS = range(32768, 65535)
WEB, DNS, MAIL, HTTPS, SMTP = (80, 443), 53, (25, 465, 587), 443, 25
ASKED = (22, 25, 53, 80, 123, 443, 465, 587, 8080)
OWN = (22, 25, 53, 80, 443, 587, 1023, 1024, 32767, 32768, 40000, 65534)
SERVICES = {"tcp": (*WEB, DNS, *MAIL), "udp": (DNS,)}


def may_pass(way: int, who: str, protocol: str, sport: int, dport: int) -> bool:
    """Whether a whole packet may pass, from the card `way`; `who` is the host inside."""
    ours, theirs = (sport, dport) if way == LAN else (dport, sport)
    out = theirs in SERVICES[protocol] and ours in CLIENTS
    if protocol == "tcp" and theirs == SMTP and who != "mailer":
        out = False
    served = protocol == "tcp" and who == "server" and ours == HTTPS and 1024 <= theirs < 65535
    return out or served


REJECTED = {4: "icmp 3/13", 6: "icmp 1/1"}
"""What the sender hears of a packet that the policy rejects (docs/meaning.md, "Denied")."""


def is_rejected(way: int, who: str, protocol: str, dport: int) -> bool:
    """Whether its sender is told."""
    return way == LAN and protocol == "tcp" and dport == SMTP and who != "mailer"


def passing() -> Iterator[Shot]:
    """Ports of both ends, both ways."""
    for version in VERSIONS:
        for way in (WAN, LAN):
            for who in INSIDE:
                for protocol, body in (("tcp", tcp), ("udp", udp)):
                    for dport in (*ASKED, 40000):
                        for sport in OWN:
                            packet = ip(*packet_ends(way, who, version)) / body(sport, dport)
                            asked = (way, who, protocol, sport, dport)
                            rejected = is_rejected(way, who, protocol, dport)
                            yield Shot(
                                "passing",
                                f"IPv{version} {protocol} {packet.src}:{sport} > "
                                f"{packet.dst}:{dport}",
                                (to_router(way, packet),),
                                answer=REJECTED[version] if rejected else "",
                                limited=rejected,
                                passes=may_pass(*asked),
                                nic=way,
                            )


def spoofed() -> Iterator[Shot]:
    """Sources that do not live behind the card by which they come."""
    strange = {
        WAN: {
            4: (HOST[4], SERVER[4], ROUTER[LAN][4], ROUTER[WAN][4], "127.0.0.1", "224.0.0.1",
                "255.255.255.255", "203.0.113.255", "0.0.0.0"),
            6: (HOST[6], SERVER[6], ROUTER[LAN][6], ROUTER[WAN][6], "::1", "ff02::1", "fe80::1",
                "::ffff:198.51.100.9", "::"),
        },
        LAN: {
            4: (FAR[4], "192.0.2.9", ROUTER[LAN][4], ROUTER[WAN][4], "127.0.0.1", "224.0.0.1",
                "255.255.255.255", "203.0.113.255", "0.0.0.0"),
            6: (FAR[6], "2001:db8::9", ROUTER[LAN][6], ROUTER[WAN][6], "::1", "ff02::1", "fe80::1",
                "::ffff:203.0.113.5", "::"),
        },
    }  # fmt: skip
    for way, families in strange.items():
        for version, sources in families.items():
            target = SERVER[version] if way == WAN else "198.51.100.77"
            if way == LAN and version == 6:
                target = "2001:db8:5::77"
            for source in sources:
                for what, body in (("https", tcp(40000, 443)), ("dns", udp(40000, 53)),
                                   ("an answer", tcp(443, 40000))):  # fmt: skip
                    yield Shot("spoofed source", f"{what} from {source} by card {way}",
                               (to_router(way, ip(source, target) / body),), nic=way)  # fmt: skip


def tricks() -> Iterator[Shot]:
    """Of what may pass whole: fragments, options, headers, other protocols, other directions."""
    for version in VERSIONS:
        for way, who in ((LAN, "host"), (WAN, "server")):
            ends = packet_ends(way, who, version)
            for how in CUTS:
                pieces = cut(ip(*ends) / tcp(40000, 443) / Raw(bytes(64)), how)
                yield Shot("fragment", f"IPv{version} https from {ends[0]}, {how}",
                           tuple(to_router(way, piece) for piece in pieces), nic=way)  # fmt: skip
            for number in (0, 2, 4, 41, 47, 50, 51, 89, 132, 255):
                header = ip(*ends)
                setattr(header, "proto" if version == 4 else "nh", number)
                body = bytes(tcp(40000, 443)) if number else b"\x3b\0\x01\x04" + bytes(4)
                yield Shot("protocol", f"IPv{version} protocol {number} from {ends[0]}",
                           (to_router(way, header / Raw(body)),), nic=way)  # fmt: skip
            for what, mac in (
                ("everybody's", "ff:ff:ff:ff:ff:ff"),
                ("another's", "52:54:00:9:9:9"),
            ):
                packet = ip(*ends) / tcp(40000, 443)
                yield Shot("hardware address", f"IPv{version} https from {ends[0]} to {what} MAC",
                           (bytes(ether(PEER_MACS[way], mac) / packet),), nic=way)  # fmt: skip
    for way, who in ((LAN, "host"), (WAN, "server")):
        source, target = packet_ends(way, who, 4)
        route = IP(src=source, dst=ROUTER[way][4], options=[IPOption_LSRR(routers=[target])])
        yield Shot("IP option", f"a source route by the router from {source}",
                   (to_router(way, route / tcp(40000, 443)),), nic=way)  # fmt: skip
        record = IP(src=source, dst=target, options=[IPOption_RR(routers=["0.0.0.0"] * 3)])
        yield Shot("IP option", f"a record of the route from {source}",
                   (to_router(way, record / tcp(40000, 443)),), passes=True, nic=way)  # fmt: skip
        source, target = packet_ends(way, who, 6)
        for kind in (0, 2, 3, 4):
            head = IPv6ExtHdrRouting(type=kind, addresses=[target])
            packet = IPv6(src=source, dst=ROUTER[way][6]) / head / tcp(40000, 443)
            yield Shot("extension header", f"a routing header type {kind} from {source}",
                       (to_router(way, packet),), nic=way)  # fmt: skip
        for length in (1, 16, 18, 60):
            packet = IPv6(src=source, dst=target)
            for _ in range(length):
                packet /= IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))])
            yield Shot("extension header", f"{length} destination options from {source}",
                       (to_router(way, packet / tcp(40000, 443)),), passes=length <= 16,
                       nic=way)  # fmt: skip


def flags() -> Iterator[Shot]:
    """TCP's flags, where a way through is open and where it is not."""
    for version in VERSIONS:
        for way, who, port, passes in (
            (LAN, "host", 443, True), (LAN, "host", 8080, False),
            (WAN, "server", 443, True), (WAN, "host", 443, False),
        ):  # fmt: skip
            ends = packet_ends(way, who, version)
            for number in range(64):
                letters = "".join(f for bit, f in enumerate("FSRPAU") if number >> bit & 1)
                yield Shot("TCP flags",
                           f"IPv{version} tcp {letters or 'no flag'} from {ends[0]} to port {port}",
                           (to_router(way, ip(*ends) / tcp(40000, port, letters)),),
                           passes=passes, nic=way)  # fmt: skip


def icmp_types() -> Iterator[Shot]:
    """ICMP of every type between an inner host and an outer one: pings may, so all."""
    for version in VERSIONS:
        for way in (WAN, LAN):
            for kind in range(256):
                ends = packet_ends(way, "host", version)
                yield Shot("ICMP type", f"IPv{version} type {kind} from {ends[0]}",
                           (to_router(way, icmp(*ends, kind, 0)),), passes=True,
                           nic=way)  # fmt: skip


def tagged() -> Iterator[Shot]:
    """VLAN tags. One of VLAN 0 says nothing but a priority (IEEE 802.1Q 9.6)."""
    for version in VERSIONS:
        for way, who in ((LAN, "host"), (WAN, "server")):
            packet = ip(*packet_ends(way, who, version))
            for number in (0, 1, 2, 100, 4094):
                tags = Dot1Q(vlan=number, prio=5)
                frame = ether(PEER_MACS[way], GUEST_MACS[way]) / tags / packet / tcp(40000, 443)
                yield Shot("VLAN", f"IPv{version} https from {packet.src} with VLAN {number}",
                           (bytes(frame),), passes=number == 0, nic=way)  # fmt: skip


def to_itself() -> Iterator[Shot]:
    """To the router's own addresses, of this and of the other side: ssh and ping from inside."""
    for version in VERSIONS:
        for way, source in ((WAN, FAR[version]), (LAN, HOST[version])):
            for side in (WAN, LAN):
                for what, body in (("ssh", tcp(40000, 22)), ("https", tcp(40000, 443)),
                                   ("dns", udp(40000, 53)), ("ping", echo(version))):  # fmt: skip
                    own = ROUTER[side][version]
                    allowed = way == side == LAN and what in ("ssh", "ping")
                    icmp6 = version == 6 and what == "ping" and way == side
                    answer = {"ssh": "syn-ack", "ping": "reply"}[what] if allowed else ""
                    yield Shot("itself", f"{what} from {source} to {own}",
                               (to_router(way, ip(source, own) / body),), allowed or icmp6,
                               answer, nic=way)  # fmt: skip


TABLES = (passing, spoofed, tricks, flags, icmp_types, tagged, to_itself)
