"""What an exchange looks like: docs/meaning.md, "What an exchange is", as code.

In: the services of an entry, and where one stands.  Out: `Form` values, what packets look like
but for their addresses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pbrinit.net.addresses import Family
from pbrinit.net.icmp import ANY_PORT, ECHO_REPLY, ECHO_REQUEST, NO_PORT, PROTOCOL, IcmpType
from pbrinit.net.services import Ports, PortSet, Protocol, Service
from pbrinit.policy.policy import Allow
from pbrinit.policy.programs import ROOT


@dataclass(frozen=True)
class PacketPattern:
    """What packets look like. Protocol None is any.

    ICMP's type and code stand, on the way out, where the destination port is: type x 256 + code.
    """

    protocol: int | None
    source_ports: PortSet = ANY_PORT
    destination_ports: PortSet = ANY_PORT

    @property
    def reversed(self) -> PacketPattern:
        """The same with the ends changed."""
        return PacketPattern(self.protocol, self.destination_ports, self.source_ports)


def icmp_pattern(family: Family, message: IcmpType) -> PacketPattern:
    """ICMP of one type and code, on the way out."""
    return PacketPattern(PROTOCOL[family], destination_ports=message.ports)


def service_patterns(
    services: Sequence[Service], family: Family, clients: PortSet
) -> Iterator[PacketPattern]:
    """What those send who ask, as it looks where it arrives. No service is every packet."""
    if not services:
        yield PacketPattern(None)
    for service in services:
        if service.ports is None:
            yield PacketPattern(service.number(family))
        else:
            yield PacketPattern(service.protocol, clients, (service.ports,))


def input_patterns(
    services: Sequence[Service], family: Family, clients: Ports, *, answer: bool
) -> Iterator[PacketPattern]:
    """What an entry lets arrive here, or in a room: what others ask from any port, or answer to
    one of our clients'.
    """
    yield from forward_patterns(services, family, (clients,) if answer else ANY_PORT, answer=answer)


def room_output_patterns(
    services: Sequence[Service], family: Family, clients: Ports, *, answer: bool
) -> Iterator[PacketPattern]:
    """What an entry lets leave a room: what its clients ask, or answers to any port. No type of
    ICMP is seen there.
    """
    yield from forward_patterns(services, family, ANY_PORT if answer else (clients,), answer=answer)


def forward_patterns(
    services: Sequence[Service], family: Family, clients: PortSet, *, answer: bool
) -> Iterator[PacketPattern]:
    """What passes through, one way or the other."""
    for pattern in service_patterns(services, family, clients):
        yield pattern.reversed if answer else pattern


def request_pattern(
    service: Service, family: Family, clients: Ports, ephemeral: Ports
) -> PacketPattern:
    """What a program of this machine sends to ask for a service, from the ports of its clients.

    A TCP socket that connects from an ephemeral port is looked up once with port 0, before it has
    one; a socket that is bound to another port of `clients` is not.
    """
    if service.echo:
        return icmp_pattern(family, ECHO_REQUEST[family])
    tcp = service.protocol == Protocol.TCP and ephemeral in clients
    (pattern,) = service_patterns([service], family, (clients, *NO_PORT) if tcp else (clients,))
    return pattern


def reply_pattern(service: Service, family: Family) -> PacketPattern:
    """What this machine sends to answer those who asked for a service."""
    if service.echo:
        return icmp_pattern(family, ECHO_REPLY[family])
    (pattern,) = service_patterns([service], family, ANY_PORT)
    return pattern.reversed


def output_patterns(
    entry: Allow, family: Family, ephemeral: Ports, *, answer: bool
) -> Iterator[tuple[PacketPattern, int | None]]:
    """What an entry lets leave, and who alone may send it; None is anybody.

    The kernel answers ICMP, and it is root.
    """
    uid = entry.user.uid if entry.user else None
    for service in entry.services:
        if not answer:
            yield request_pattern(service, family, entry.client_ports, ephemeral), uid
            continue
        yield reply_pattern(service, family), ROOT if service.protocol == Protocol.ICMP else uid


def denied_output_patterns(
    services: Sequence[Service], family: Family, *, answer: bool
) -> Iterator[PacketPattern]:
    """What a deny entry takes away of what leaves: client's ports are all ports."""
    for service in services:
        if service.echo:
            yield icmp_pattern(family, (ECHO_REPLY if answer else ECHO_REQUEST)[family])
        else:
            (pattern,) = service_patterns([service], family, ANY_PORT)
            yield pattern.reversed if answer else pattern
    if not services:
        yield PacketPattern(None)


def logged_patterns(pattern: PacketPattern, family: Family) -> Iterator[PacketPattern]:
    """What of a logged entry's form is logged for sure: in IPv4, of every protocol, three."""
    if pattern.protocol is None and family is Family.V4:
        for protocol in (Protocol.TCP, Protocol.UDP, Protocol.ICMP):
            yield replace(pattern, protocol=protocol)
    else:
        yield pattern
