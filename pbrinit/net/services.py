"""Protocols, ports and services: what rules match besides addresses.

In: nothing (values only).  Out: `Service` and its parts.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from pbrinit.net.addresses import Family


class Protocol(enum.IntEnum):
    """The IP protocols that need special treatment here (IANA protocol numbers)."""

    ICMP = 1
    TCP = 6
    UDP = 17
    ICMPV6 = 58


@dataclass(frozen=True, order=True)
class Ports:
    """A range of ports that includes both ends. No rule can match ports 0 and 65535."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    def __contains__(self, other: Ports) -> bool:
        return self.first <= other.first and other.last <= self.last

    def overlaps(self, other: Ports) -> bool:
        """Whether some port is in both."""
        return self.first <= other.last and other.first <= self.last


LOCAL_EPHEMERAL_PORTS = Ports(32768, 60999)
"""The ephemeral ports of this machine (ip_local_port_range, ip-sysctl.rst)."""

REMOTE_EPHEMERAL_PORTS = Ports(32768, 65534)
"""The ephemeral ports of other machines, unless an entry gives others: the dynamic ports of
RFC 6335 and those of Linux. No rule can match port 65535."""

DHCP_CLIENT, DHCP_SERVER = Ports(68, 68), Ports(67, 67)
"""The UDP ports of DHCP clients and servers (RFC 2131, section 4.1)."""


@dataclass(frozen=True, order=True)
class Service:
    """One protocol, with the ports of the server where it has any.

    ICMP means ICMPv6 in IPv6.  `echo` is ping: echo requests and echo replies only.
    """

    protocol: int
    ports: Ports | None = None
    echo: bool = False

    def __str__(self) -> str:
        if self.protocol == Protocol.ICMP:
            return "icmp/echo" if self.echo else "icmp"
        words = {Protocol.TCP: "tcp", Protocol.UDP: "udp"}
        if self.ports is None:
            return f"ip/{self.protocol}"
        return f"{words[Protocol(self.protocol)]}/{self.ports}"

    def number(self, family: Family) -> int:
        """The IP protocol number of this service in `family`."""
        six = self.protocol == Protocol.ICMP and family is Family.V6
        return Protocol.ICMPV6 if six else self.protocol


PortSet = tuple[Ports, ...]
