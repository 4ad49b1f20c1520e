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
from pbrinit.policy.policy import Entry
from pbrinit.policy.programs import ROOT


@dataclass(frozen=True)
class Form:
    """What packets look like. Protocol None is any.

    ICMP's type and code stand, on the way out, where the destination port is: type x 256 + code.
    """

    protocol: int | None
    source_ports: PortSet = ANY_PORT
    destination_ports: PortSet = ANY_PORT

    @property
    def turned(self) -> Form:
        """The same with the ends changed."""
        return Form(self.protocol, self.destination_ports, self.source_ports)


def icmp(family: Family, message: IcmpType) -> Form:
    """ICMP of one type and code, on the way out."""
    return Form(PROTOCOL[family], destination_ports=message.ports)


def asks(services: Sequence[Service], family: Family, clients: PortSet) -> Iterator[Form]:
    """What those send who ask, as it looks where it arrives. No service is every packet."""
    if not services:
        yield Form(None)
    for service in services:
        if service.ports is None:
            yield Form(service.number(family))
        else:
            yield Form(service.protocol, clients, (service.ports,))


def arriving(
    services: Sequence[Service], family: Family, clients: Ports, *, answer: bool
) -> Iterator[Form]:
    """What an entry lets arrive here, or in a room: what others ask from any port, or answer to
    one of our clients'.
    """
    yield from passing(services, family, (clients,) if answer else ANY_PORT, answer=answer)


def departing(
    services: Sequence[Service], family: Family, clients: Ports, *, answer: bool
) -> Iterator[Form]:
    """What an entry lets leave a room: what its clients ask, or answers to any port. No type of
    ICMP is seen there.
    """
    yield from passing(services, family, ANY_PORT if answer else (clients,), answer=answer)


def passing(
    services: Sequence[Service], family: Family, clients: PortSet, *, answer: bool
) -> Iterator[Form]:
    """What passes through, one way or the other."""
    for form in asks(services, family, clients):
        yield form.turned if answer else form


def asking(service: Service, family: Family, clients: Ports) -> Form:
    """What a program of this machine sends to ask for a service, from the ports of its clients.

    A TCP socket that connects is looked up once with port 0, before it has one.
    """
    if service.echo:
        return icmp(family, ECHO_REQUEST[family])
    tcp = service.protocol == Protocol.TCP
    (form,) = asks([service], family, (clients, *NO_PORT) if tcp else (clients,))
    return form


def answering(service: Service, family: Family) -> Form:
    """What this machine sends to answer those who asked for a service."""
    if service.echo:
        return icmp(family, ECHO_REPLY[family])
    (form,) = asks([service], family, ANY_PORT)
    return form.turned


def leaving(entry: Entry, family: Family, *, answer: bool) -> Iterator[tuple[Form, int | None]]:
    """What an entry lets leave, and who alone may send it; None is anybody.

    The kernel answers ICMP, and it is root.
    """
    uid = entry.user.uid if entry.user else None
    for service in entry.services:
        if not answer:
            yield asking(service, family, entry.clients), uid
            continue
        yield answering(service, family), ROOT if service.protocol == Protocol.ICMP else uid


def refused(services: Sequence[Service], family: Family, *, answer: bool) -> Iterator[Form]:
    """What a deny entry takes away of what leaves: client's ports are all ports."""
    for service in services:
        if service.echo:
            yield icmp(family, (ECHO_REPLY if answer else ECHO_REQUEST)[family])
        else:
            (form,) = asks([service], family, ANY_PORT)
            yield form.turned if answer else form
    if not services:
        yield Form(None)


def spoken(form: Form, family: Family) -> Iterator[Form]:
    """What of a logged entry's form is logged for sure: in IPv4, of every protocol, three."""
    if form.protocol is None and family is Family.V4:
        for protocol in (Protocol.TCP, Protocol.UDP, Protocol.ICMP):
            yield replace(form, protocol=protocol)
    else:
        yield form
