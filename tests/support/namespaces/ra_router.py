"""A machine that gets its address by router advertisement, and what its peer says and sees.

In: a `Lab`.  Out: plans, addresses, and frames: advertisements, made as they should be or not.
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
from pbrinit.policy.assigned import Given, configured
from pbrinit.policy.reader.reader import read
from pbrinit.wire.bootplan import BootPlan
from pbrinit.wire.ndp.address import AdvertisedAddress
from tests.support.namespaces import dhcp_server, in_namespace
from tests.support.namespaces.lab import Lab, until
from tests.support.policy_text import by_ra

POLICY = by_ra(read(Path("examples/host.toml")))
PREFIX, ROUTER = "2001:db8::", "2001:db8::1"
MGMT, STRANGER = "2001:db8:5::9", "2001:db8:7::7"
HERE = "--dhcp-range=2001:db8::,ra-only,64,2m"
NODES, ROUTERS = "ff02::1", "ff02::2"
TO_NODES, TO_ROUTERS = "33:33:00:00:00:01", "33:33:00:00:00:02"
SERVED = (("tcp", 22), ("udp", 22), ("udp", 69), ("udp", 40000), ("tcp", 40000))
SECONDS = 8


def identified(prefix: str, hardware: str) -> str:
    """The address of a card in a prefix (RFC 4291, appendix A)."""
    octets = [int(octet, 16) for octet in hardware.split(":")]
    octets[0] ^= 2
    low = int.from_bytes(bytes((*octets[:3], 0xFF, 0xFE, *octets[3:])), "big")
    return str(IPv6Address(int(IPv6Address(prefix)) | low))


def in_force(given: Given | None) -> BootPlan:
    return encode(compile_policy(configured(POLICY, given)), "gate")


def own(lab: Lab, prefix: str = PREFIX) -> str:
    return identified(prefix, lab.machine.do(in_namespace.mac))


def near(lab: Lab) -> str:
    """The router's address on the link."""
    return identified("fe80::", lab.peer.do(in_namespace.mac))


def is_on_the_link(lab: Lab) -> bool:
    """Whether the machine has the address that it asks from, and its groups with it."""
    show = ("ip", "-6", "-oneline", "address", "show", "dev", "eth0", "scope", "link")
    return bool(lab.machine.run(*show, "-tentative"))


def given(lab: Lab) -> Given:
    return Given(IPv6Interface(f"{own(lab)}/64"), IPv6Address(near(lab)))


def leaves(lab: Lab) -> list[Layer]:
    """The IPv6 frames that the machine put on the wire."""
    hardware = lab.machine.do(in_namespace.mac)
    frames = [Ether(frame) for frame in lab.peer.do(in_namespace.seen)]
    return [frame for frame in frames if frame.src == hardware and IPv6 in frame]


def is_question(frame: Layer) -> bool:
    """A router solicitation as it may be (RFC 4861, section 6.1.1)."""
    ends = (frame[IPv6].dst, frame[IPv6].hlim, frame.dst)
    from_link = IPv6Address(frame[IPv6].src).is_link_local
    return ICMPv6ND_RS in frame and from_link and ends == (ROUTERS, 255, TO_ROUTERS)


def is_kernels(frame: Layer) -> bool:
    """What the kernel says by itself where IPv6 is on (docs/ways-out.md, 9)."""
    return any(kind in frame for kind in (ICMPv6ND_NS, ICMPv6ND_NA, ICMPv6MLReport2))


def listens(lab: Lab, folder: Path, held: AdvertisedAddress | None = None) -> None:
    """Have the machine ask, and wait until it hears what is said."""
    lab.machine.do(dhcp_server.ask_routers, str(folder / "told"), held)
    assert until(lambda: len(lab.machine.run("cat", "/proc/net/raw6").splitlines()) > 1, SECONDS)


def said(
    lab: Lab,
    *prefixes: Layer,
    source: str | None = None,
    hops: int = 255,
    seconds: int = 1800,
    **fields: Any,
) -> bytes:
    """An advertisement as a frame of the peer's card."""
    hardware = lab.peer.do(in_namespace.mac)
    frame = Ether(src=hardware, dst=TO_NODES) / IPv6(
        src=source or near(lab), dst=NODES, hlim=hops
    ) / ICMPv6ND_RA(routerlifetime=seconds, **fields)  # fmt: skip
    for prefix in prefixes:
        frame /= prefix
    return bytes(frame)


def body(*prefixes: Layer) -> bytes:
    """An advertisement without its way."""
    found = ICMPv6ND_RA(routerlifetime=1800)
    for prefix in prefixes:
        found /= prefix
    return bytes(found)


def prefix_of(prefix: str = PREFIX, length: int = 64, **fields: Any) -> Layer:
    told = {"L": 1, "A": 1, "validlifetime": 3600, "preferredlifetime": 1800, **fields}
    return ICMPv6NDOptPrefixInfo(prefix=prefix, prefixlen=length, **told)


def of_bytes(lab: Lab, body: bytes) -> bytes:
    """Whatever stands where an advertisement could, its checksum right."""
    whole = Ether(said(lab))
    ends = IPv6(src=whole[IPv6].src, dst=NODES, hlim=255, nh=58)
    without = body[:2] + bytes(2) + body[4:]
    checksum: int = in6_chksum(58, ends, without)  # type: ignore[no-untyped-call]
    return bytes(
        Ether(src=whole.src, dst=TO_NODES) / ends / (body[:2] + checksum.to_bytes(2) + body[4:])
    )
