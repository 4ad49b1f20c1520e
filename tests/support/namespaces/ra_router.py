"""A machine that gets its address by router advertisement, and the router that sends them.

In: a `Lab`.  Out: plans, addresses, and frames: valid advertisements and malformed ones.
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Interface
from pathlib import Path
from typing import Any

from scapy.layers.inet6 import (
    ICMPv6MLReport2,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    ICMPv6NDOptPrefixInfo,
    IPv6,
    in6_chksum,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet as Layer

from pbrinit.compiler.compile import compile_policy
from pbrinit.plan.encode import encode
from pbrinit.policy.assigned import Assignment, with_assignments
from pbrinit.policy.reader.reader import read_policy
from pbrinit.wire.bootplan import BootPlan
from pbrinit.wire.ndp.address import AdvertisedAddress
from tests.support.namespaces import dhcp_server, in_namespace
from tests.support.namespaces.lab import Lab, wait_until
from tests.support.policy_text import by_ra

POLICY = by_ra(read_policy(Path("examples/host.toml")))
PREFIX, ROUTER = "2001:db8::", "2001:db8::1"
MGMT, STRANGER = "2001:db8:5::9", "2001:db8:7::7"
DNSMASQ_OPTION = "--dhcp-range=2001:db8::,ra-only,64,2m"
NODES, ROUTERS = "ff02::1", "ff02::2"
TO_NODES, TO_ROUTERS = "33:33:00:00:00:01", "33:33:00:00:00:02"
SERVED = (("tcp", 22), ("udp", 22), ("udp", 69), ("udp", 40000), ("tcp", 40000))
SECONDS = 8


def address_in(prefix: str, hardware: str) -> str:
    """The address of a card in a prefix (RFC 4291, appendix A)."""
    octets = [int(octet, 16) for octet in hardware.split(":")]
    octets[0] ^= 2
    low = int.from_bytes(bytes((*octets[:3], 0xFF, 0xFE, *octets[3:])), "big")
    return str(IPv6Address(int(IPv6Address(prefix)) | low))


def plan_for(given: Assignment | None) -> BootPlan:
    return encode(compile_policy(with_assignments(POLICY, given)), "gate")


def own_address(lab: Lab, prefix: str = PREFIX) -> str:
    return address_in(prefix, lab.machine.do(in_namespace.mac))


def router_address(lab: Lab) -> str:
    """The router's link-local address."""
    return address_in("fe80::", lab.peer.do(in_namespace.mac))


def has_link_local(lab: Lab) -> bool:
    """Whether the machine has its link-local address, and has joined its groups."""
    show = ("ip", "-6", "-oneline", "address", "show", "dev", "eth0", "scope", "link")
    return bool(lab.machine.run(*show, "-tentative"))


def given_by_router(lab: Lab) -> Assignment:
    return Assignment(IPv6Interface(f"{own_address(lab)}/64"), IPv6Address(router_address(lab)))


def sent_frames(lab: Lab) -> list[Layer]:
    """The IPv6 frames that the machine sent."""
    hardware = lab.machine.do(in_namespace.mac)
    frames = [Ether(frame) for frame in lab.peer.do(in_namespace.captured_frames)]
    return [frame for frame in frames if frame.src == hardware and IPv6 in frame]


def is_solicitation(frame: Layer) -> bool:
    """Whether it is a valid router solicitation (RFC 4861, section 6.1.1)."""
    ends = (frame[IPv6].dst, frame[IPv6].hlim, frame.dst)
    from_link = IPv6Address(frame[IPv6].src).is_link_local
    return ICMPv6ND_RS in frame and from_link and ends == (ROUTERS, 255, TO_ROUTERS)


def is_of_kernel(frame: Layer) -> bool:
    """Whether the kernel sends it by itself while IPv6 is on (docs/ways-out.md, 9)."""
    return any(kind in frame for kind in (ICMPv6ND_NS, ICMPv6ND_NA, ICMPv6MLReport2))


def start_client(lab: Lab, folder: Path, held: AdvertisedAddress | None = None) -> None:
    """Start the client on the machine, and wait until it receives."""
    lab.machine.do(dhcp_server.start_ra_client, str(folder / "record"), held)
    assert wait_until(
        lambda: len(lab.machine.run("cat", "/proc/net/raw6").splitlines()) > 1, SECONDS
    )


def advertisement(
    lab: Lab,
    *prefixes: Layer,
    source: str | None = None,
    hops: int = 255,
    seconds: int = 1800,
    **fields: Any,
) -> bytes:
    """A router advertisement as a frame of the peer's card, of medium preference unless said."""
    hardware = lab.peer.do(in_namespace.mac)
    frame = Ether(src=hardware, dst=TO_NODES) / IPv6(
        src=source or router_address(lab), dst=NODES, hlim=hops
    ) / ICMPv6ND_RA(routerlifetime=seconds, **{"prf": 0, **fields})  # fmt: skip
    for prefix in prefixes:
        frame /= prefix
    return bytes(frame)


def message_bytes(*prefixes: Layer) -> bytes:
    """The ICMPv6 message of a router advertisement, without headers."""
    message = ICMPv6ND_RA(routerlifetime=1800)
    for prefix in prefixes:
        message /= prefix
    return bytes(message)


def prefix_option(prefix: str = PREFIX, length: int = 64, **fields: Any) -> Layer:
    values = {"L": 1, "A": 1, "validlifetime": 3600, "preferredlifetime": 1800, **fields}
    return ICMPv6NDOptPrefixInfo(prefix=prefix, prefixlen=length, **values)


def frame_of(lab: Lab, body: bytes) -> bytes:
    """Any ICMPv6 message in the frame of an advertisement, with a correct checksum."""
    frame = Ether(advertisement(lab))
    ends = IPv6(src=frame[IPv6].src, dst=NODES, hlim=255, nh=58)
    unchecked = body[:2] + bytes(2) + body[4:]
    checksum: int = in6_chksum(58, ends, unchecked)  # type: ignore[no-untyped-call]
    return bytes(
        Ether(src=frame.src, dst=TO_NODES) / ends / (body[:2] + checksum.to_bytes(2) + body[4:])
    )
