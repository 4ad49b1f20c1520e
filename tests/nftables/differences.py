"""Why our filter and nftables may differ about a packet: every class that is known.

In: a packet or an act, and what both made of it.  Out: the class, by the name that it has as a
heading in docs/oracle.md, where each is explained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from ipaddress import ip_address, ip_network
from pathlib import Path

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from pbrinit.policy.reader.reader import read_policy
from tests.adversary.tables.host_tricks import RAW_ONLY
from tests.support.attack.act import Act
from tests.support.attack.shot import Shot
from tests.support.mac_addresses import GUEST_MACS
from tests.support.namespaces.filtered_machine import NOTHING, Verdict

TCP_, UDP_ = 6, 17
ANYWHERE = ("0.0.0.0/0", "::/0")
RESOLVER = ("192.0.2.53/32", "2001:db8::53/128")
SERVERS = ("10.0.1.0/24", "fd00:10::/64")
CLOCK = ("192.0.2.123/32", "2001:db8::123/128")
ASKED: dict[str, dict[tuple[int, int], tuple[str, ...]]] = {
    "host": {(TCP_, 53): RESOLVER, (UDP_, 53): RESOLVER, (TCP_, 443): ANYWHERE},
    "kiosk": {
        (TCP_, 53): RESOLVER, (UDP_, 53): RESOLVER, (TCP_, 80): ANYWHERE, (TCP_, 443): ANYWHERE,
    },
    "bastion": {(TCP_, 22): SERVERS, (UDP_, 123): CLOCK},
    "router": {
        (UDP_, 53): ANYWHERE,
        **{(TCP_, port): ANYWHERE for port in (25, 53, 80, 443, 465, 587)},
    },
}  # fmt: skip
"""Who is asked what by each policy: from there answers come."""

NOBODYS = (
    "0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/127", "ff00::/8", "fe80::/10", "::ffff:0:0/96",
)  # fmt: skip
"""Sources from which nothing is an answer; our own addresses as well."""

CLIENTS = range(32768, 61000)
PASSED_CLIENTS = range(1024, 65535)
SYN, FIN, RST, ACK = 0x02, 0x01, 0x04, 0x10
FRAGMENT_HEADER = 44
ICMPV6 = 58
SEEN_HEADERS = 16
ECHO = 8


@dataclass(frozen=True)
class Difference:
    """A shot or an act of a policy, and what ours and theirs made of it."""

    policy: str
    item: Shot | Act
    ours: Verdict
    theirs: Verdict

    @cached_property
    def ether(self) -> Packet:
        """The first frame of a shot."""
        assert isinstance(self.item, Shot)
        return Ether(self.item.frames[0])

    @cached_property
    def head(self) -> Packet:
        """Its IP header."""
        return self.ether.payload

    def __str__(self) -> str:
        ours, theirs = (" ".join(sorted(said)) or "nothing" for said in (self.ours, self.theirs))
        return f"{self.policy}: {self.item.kind}, {self.item.what}: ours {ours}, theirs {theirs}"


def _more(difference: Difference) -> bool:
    """Whether ours lets it in or through, and theirs does nothing."""
    let = difference.ours & {"arrives", "passes"}
    return isinstance(difference.item, Shot) and bool(let) and difference.theirs == NOTHING


def _less(difference: Difference) -> bool:
    let = difference.theirs & {"arrives", "passes"}
    return isinstance(difference.item, Shot) and bool(let) and difference.ours == NOTHING


def _is_piece(head: Packet) -> bool:
    if isinstance(head, IP):
        return bool(head.flags.MF or head.frag)
    return IPv6ExtHdrFragment in head


def _unasked(difference: Difference) -> bool:
    head, body = difference.head, difference.head.payload
    if not isinstance(body, TCP | UDP) or _is_piece(head):
        return False
    protocol = TCP_ if isinstance(body, TCP) else UDP_
    asked = ASKED[difference.policy].get((protocol, body.sport), ())
    clients = PASSED_CLIENTS if "passes" in difference.ours else CLIENTS
    return (
        body.dport in clients
        and _is_in(head.src, asked)
        and not _is_in(head.src, NOBODYS)
        and head.src not in own_addresses(difference.policy)
    )


def _is_in(text: str, prefixes: Iterable[str]) -> bool:
    address = ip_address(text)
    return any(address in ip_network(prefix) for prefix in prefixes)


@cache
def own_addresses(policy: str) -> frozenset[str]:
    """The machine's own addresses."""
    interfaces = read_policy(Path(f"examples/{policy}.toml")).interfaces
    return frozenset(str(each.ip) for interface in interfaces for each in interface.addresses)


def _midway(difference: Difference) -> bool:
    body = difference.head.payload
    return isinstance(body, TCP) and int(body.flags) & (SYN | FIN | RST | ACK) != SYN


def _broken(difference: Difference) -> bool:
    return any(what in difference.item.what for what in RAW_ONLY)


def _icmp(difference: Difference) -> bool:
    """ICMP of a type that nobody asks by, handed on here."""
    head = difference.head
    if "passes" in difference.ours:
        return False
    kind = bytes(head.payload)[0] if bytes(head.payload) else ECHO
    return isinstance(head, IP) and head.proto == 1 and kind != ECHO


def _icmp_through(difference: Difference) -> bool:
    return difference.ours == {"passes"} and difference.item.kind == "ICMP type"


def _icmpv6(difference: Difference) -> bool:
    head = difference.head
    if "passes" in difference.ours:
        return False
    piece = IPv6ExtHdrFragment in head and head[IPv6ExtHdrFragment].nh == ICMPV6
    return isinstance(head, IPv6) and (head.nh == ICMPV6 or piece)


def _chain(difference: Difference) -> bool:
    length = sum(isinstance(layer, IPv6ExtHdrDestOpt) for layer in _layers(difference.head))
    return length > SEEN_HEADERS


def _layers(packet: Packet) -> list[Packet]:
    found = [packet]
    while found[-1].payload:
        found.append(found[-1].payload)
    return found


def _is_everybodys(text: str) -> bool:
    address = ip_address(text)
    return address.is_multicast or text == "255.255.255.255" or text.endswith(".255")


def _sender_port(difference: Difference) -> bool:
    item, policy = difference.item, difference.policy
    if isinstance(item, Act):
        bound = [step[1][1] for step in item.steps if step[0] == "bind"]
        return difference.theirs == {"leaves"} and bool(bound) and bound[0] not in CLIENTS
    body = difference.head.payload
    return (
        policy == "router"
        and difference.theirs == {"passes"}
        and isinstance(body, TCP | UDP)
        and body.sport not in range(32768, 65535)
    )


def _to_everybody(difference: Difference) -> bool:
    item = difference.item
    if not isinstance(item, Act) or difference.ours != {"leaves"}:
        return False
    return _is_everybodys(item.steps[-1][-1][0])


def _igmp(difference: Difference) -> bool:
    item = difference.item
    if not isinstance(item, Act) or difference.ours != {"leaves"}:
        return False
    return item.kind == "raw socket" and item.steps[0][3] == 2


@dataclass(frozen=True)
class Class:
    """A reason, and whether a difference is of it."""

    name: str
    holds: Callable[[Difference], bool]


CLASSES = (
    Class("Answers that nobody asked for", lambda d: _more(d) and _unasked(d)),
    Class("Segments of no connection", lambda d: _more(d) and _midway(d)),
    Class("Headers that lie about the payload", lambda d: _more(d) and _broken(d)),
    Class("ICMP from who may ping", lambda d: _more(d) and _icmp(d)),
    Class("ICMPv6 to ourselves", lambda d: _more(d) and _icmpv6(d)),
    Class("ICMP that passes", lambda d: _more(d) and _icmp_through(d)),
    Class("From 0.0.0.0", lambda d: _more(d) and d.head.src == "0.0.0.0"),
    Class("Fragments", lambda d: _less(d) and _is_piece(d.head)),
    Class("Seventeen headers and more", lambda d: _less(d) and _chain(d)),
    Class(
        "Frames to everybody",
        lambda d: _less(d) and d.ether.dst not in GUEST_MACS and not _is_everybodys(d.head.dst),
    ),
    Class("Groups and broadcasts", lambda d: _less(d) and _is_everybodys(d.head.dst)),
    Class(
        "Sources that are nobody's",
        lambda d: _less(d) and (d.head.src.startswith("::ffff:") or _is_everybodys(d.head.src)),
    ),
    Class("Ports that are no client's", _sender_port),
    Class(
        "Complaints about what is not well-formed",
        lambda d: d.theirs == {"answered"} and d.item.kind in ("IP option", "extension header"),
    ),
    Class(
        "Rejections, so many a second",
        lambda d: isinstance(d.item, Shot) and d.item.limited and d.theirs == {"answered"},
    ),
    Class("To groups and to everybody, from a bound socket", _to_everybody),
    Class("IGMP of root", _igmp),
)


def class_of(difference: Difference) -> str | None:
    """The name of the first class that a difference is of; None where it is of none."""
    return next((known.name for known in CLASSES if known.holds(difference)), None)
