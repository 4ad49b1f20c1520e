"""What the entries of a policy say of the packets of one look-up.

In: a `Policy` and the `Places` of a family.  Out: `Claim` values: rectangles of ports, with the
addresses and the user that they are about.  Four look-ups, four functions: `leaving` what is
sent from here, `arriving` what comes in for us by an interface, `passing` what comes in by it
to be passed on, `departing` what a program in a room sends.  docs/meaning.md is
what they spell out.

The kernel keeps no state here, so that an answer is whatever has the ports of one:

                     asks                                    answers
    tcp/22           from a client's port to port 22         from port 22 to a client's port
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pbrinit.compiler.flowspec import ANY_PORT, Claim, Role, Shape
from pbrinit.net.addresses import AddressSet, Family
from pbrinit.net.icmp import ECHO_REPLY, ECHO_REQUEST, NO_PORT, PROHIBITED, PROTOCOL, TOO_BIG
from pbrinit.net.services import Ports, Protocol, Service
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import Deny, Direction, Entry, Peers, Policy
from pbrinit.policy.programs import ROOT, Run
from pbrinit.policy.topology import Places


@dataclass(frozen=True)
class _Exchange:
    """What one entry, or deny entry, says of one direction; without services of everything.

    `near` are the interfaces it is about, of a forwarded one those of who asks, and `far` those
    of who is asked; `either` one of the two will do.
    """

    role: Role
    key: str
    direction: Direction
    near: tuple[Interface, ...]
    far: tuple[Interface, ...]
    sources: Peers | None
    destinations: Peers | None
    services: tuple[Service | None, ...]
    clients: Ports
    uid: int | None
    either: bool = False
    room: Run | None = None
    log: bool = False


def _of_entry(entry: Entry) -> _Exchange:
    return _Exchange(
        Role.ALLOW, entry.key, entry.direction, entry.interfaces, entry.ways_out, entry.sources,
        entry.destinations, entry.services, entry.clients, entry.user.uid if entry.user else None,
        room=entry.room,
    )  # fmt: skip


def _of_deny(deny: Deny, *, log: bool) -> Iterator[_Exchange]:
    """With `from` alone not what is asked from here, with `to` alone not what is asked of us."""
    opened = {
        Direction.INPUT: deny.destinations is None,
        Direction.OUTPUT: deny.sources is None,
        Direction.FORWARD: True,
    }
    for direction in (direction for direction, holds in opened.items() if holds):
        role = Role.REJECT if deny.reject and direction is Direction.FORWARD else Role.DENY
        yield _Exchange(
            role, deny.key, direction, deny.interfaces, deny.interfaces, deny.sources,
            deny.destinations, deny.services or (None,), ANY_PORT,
            deny.user.uid if deny.user else None, either=True, log=log,
        )  # fmt: skip


def _answered_by_kernel(service: Service | None) -> bool:
    return service is not None and service.protocol == Protocol.ICMP


class Claims:
    """The claims of one policy in one family."""

    def __init__(self, policy: Policy, places: Places) -> None:
        self._places = places
        self._family = places.family
        self._all = AddressSet.everything(places.family)
        self._exchanges = [_of_entry(entry) for entry in policy.entries]
        self._exchanges += [
            x for deny in policy.denies for x in _of_deny(deny, log=deny.log and not policy.log)
        ]
        self._logs = policy.logs
        self.forwards = any(
            claim.role is Role.ALLOW and claim.sources and claim.destinations
            for interface in places.interfaces
            for claim in self.passing(interface)
        )

    def leaving(self) -> Iterator[Claim]:
        """What is sent from here: `destinations` are the peers."""
        yield from self._kept_for_the_log()
        for exchange in self._exchanges:
            if exchange.direction is Direction.FORWARD:
                yield from self._said_to_those_passing(exchange)
                continue
            if exchange.room is not None:
                continue
            incoming = exchange.direction is Direction.INPUT
            behind = self._places.behind(*exchange.near)
            peers = behind & self._of(exchange.sources if incoming else exchange.destinations)
            for service in exchange.services:
                uid = exchange.uid
                if incoming and exchange.role is Role.ALLOW and _answered_by_kernel(service):
                    uid = ROOT
                for shape in self._sent(exchange, service):
                    yield Claim(exchange.role, exchange.key, shape, self._all, peers, uid, incoming)
        if self._family is Family.V4:
            yield from self._heard()

    def arriving(self, interface: Interface) -> Iterator[Claim]:
        """What comes in for us: `sources` are the peers."""
        behind = self._places.behind(interface)
        for exchange in self._exchanges:
            local = exchange.direction is not Direction.FORWARD
            denied_user = exchange.role is Role.DENY and exchange.uid is not None
            if not local or denied_user or interface not in exchange.near:
                continue
            incoming = exchange.direction is Direction.INPUT
            peers = behind & self._of(exchange.sources if incoming else exchange.destinations)
            for service in exchange.services:
                shape = self._asks(service, ANY_PORT)
                if not incoming:
                    shape = self._asks(service, exchange.clients).turned
                yield Claim(
                    exchange.role, exchange.key, shape, peers, self._all, answer=not incoming,
                    room=exchange.room, log=exchange.log and incoming,
                )  # fmt: skip

    def departing(self, room: Run, interface: Interface) -> Iterator[Claim]:
        """What the program in a room sends to leave by the interface: `destinations` are the
        peers.  It is passed on here, and so no type of ICMP is seen.
        """
        behind = self._places.behind(interface)
        for exchange in self._exchanges:
            local = exchange.direction is not Direction.FORWARD
            about = exchange.room is room or exchange.role is Role.DENY
            if not (local and about and exchange.uid is None and interface in exchange.near):
                continue
            incoming = exchange.direction is Direction.INPUT
            peers = behind & self._of(exchange.sources if incoming else exchange.destinations)
            for service in exchange.services:
                shape = self._asks(service, exchange.clients)
                if incoming:
                    shape = self._asks(service, ANY_PORT).turned
                yield Claim(exchange.role, exchange.key, shape, self._all, peers, answer=incoming)

    def passing(self, interface: Interface) -> Iterator[Claim]:
        """What comes in by the interface to be passed on to another."""
        for exchange in self._exchanges:
            if exchange.direction is not Direction.FORWARD or exchange.uid is not None:
                continue
            asking, asked = self._of(exchange.sources), self._of(exchange.destinations)
            for service in exchange.services:
                shape = self._asks(service, exchange.clients)
                role, key = exchange.role, exchange.key
                here, there = self._ends(exchange, interface, exchange.near, exchange.far)
                yield Claim(role, key, shape, asking & here, asked & there, log=exchange.log)
                # An answer that is denied is not what somebody who asks has to be told.
                role = Role.DENY if role is Role.REJECT else role
                here, there = self._ends(exchange, interface, exchange.far, exchange.near)
                yield Claim(role, key, shape.turned, asked & here, asking & there, answer=True)

    def _ends(
        self,
        exchange: _Exchange,
        interface: Interface,
        near: tuple[Interface, ...],
        far: tuple[Interface, ...],
    ) -> tuple[AddressSet, AddressSet]:
        """Where packets that come by `interface` may come from, and where they may go."""
        others = [i for i in self._places.interfaces if i is not interface]
        comes = interface in near
        if exchange.either:
            ways = others if comes else [i for i in others if i in far]
        else:
            ways = [i for i in others if i in far] if comes else []
        return self._places.behind(interface), self._places.behind(*ways)

    def _of(self, peers: Peers | None) -> AddressSet:
        return self._all if peers is None else peers.of(self._family)

    def _asks(self, service: Service | None, clients: Ports) -> Shape:
        """What asks, where types of ICMP are not seen."""
        if service is None:
            return Shape(None)
        if service.ports is None:
            return Shape(service.number(self._family))
        return Shape(service.protocol, clients, service.ports)

    def _sent(self, exchange: _Exchange, service: Service | None) -> Iterator[Shape]:
        """What this machine sends of an exchange with itself; here types of ICMP are seen.

        A TCP socket that connects is looked up with port 0 first (ip_route_connect,
        include/net/route.h); a UDP socket has its port by then (inet_autobind).
        """
        incoming = exchange.direction is Direction.INPUT
        if service is not None and service.echo:
            message = (ECHO_REPLY if incoming else ECHO_REQUEST)[self._family]
            for ports in message.ports:
                yield Shape(PROTOCOL[self._family], destination_ports=ports)
        elif incoming:
            yield self._asks(service, ANY_PORT).turned
        else:
            yield self._asks(service, exchange.clients)
            tcp = service is not None and service.protocol == Protocol.TCP
            if tcp and exchange.clients != ANY_PORT:
                yield from (self._asks(service, none) for none in NO_PORT)

    def _heard(self) -> Iterator[Claim]:
        """What may arrive, as the return path check asks for it: as root, the ports swapped;
        of ICMP it knows no type.
        """
        roles = {Role.ALLOW: Role.HEARD, Role.DENY: Role.NOT_HEARD}
        for interface in self._places.interfaces:
            for claim in (c for c in self.arriving(interface) if c.room is None):
                shapes = [claim.shape.turned]
                if claim.shape.protocol == Protocol.ICMP:
                    shapes = [Shape(Protocol.ICMP, destination_ports=none) for none in NO_PORT]
                for shape in shapes:
                    yield replace(
                        claim, role=roles[claim.role], shape=shape, sources=self._all,
                        destinations=claim.sources, uid=ROOT,
                    )  # fmt: skip

    def _kept_for_the_log(self) -> Iterator[Claim]:
        """The kernel's word about who is refused is the log's, whoever may be sent ICMP."""
        (ports,) = PROHIBITED[self._family].ports
        shape = Shape(PROTOCOL[self._family], destination_ports=ports)
        for answer in (False, True) if self._logs else ():
            yield Claim(Role.DENY, "log", shape, self._all, self._all, ROOT, answer)

    def _said_to_those_passing(self, exchange: _Exchange) -> Iterator[Claim]:
        """What the kernel itself says to those whose packets it passes on, or rejects."""
        if not self.forwards or exchange.role is Role.DENY or exchange.uid is not None:
            return
        rejected = exchange.role is Role.REJECT
        near = self._places.everybody if rejected else self._places.behind(*exchange.near)
        peers = self._of(exchange.sources) & near
        if not rejected:
            far = self._places.behind(*exchange.far)
            peers = peers | self._of(exchange.destinations) & far
        (ports,) = (PROHIBITED if rejected else TOO_BIG)[self._family].ports
        shape = Shape(PROTOCOL[self._family], destination_ports=ports)
        yield Claim(Role.TOLD, exchange.key, shape, self._all, peers, ROOT)
