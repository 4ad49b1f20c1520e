"""The flows of a policy, as the look-ups see them.

In: a `Policy` and the `Topology` of a family.  Out: `FlowSpec` values: rectangles of ports, with
addresses and a user.  There is a function for each kind of look-up: `output` for what this machine
sends, `input` for what arrives by an interface for this machine, `forward` for what arrives by it
to be forwarded, `room_output` for what a program in a room sends.  They implement docs/meaning.md.

The kernel keeps no state here, so every packet with the ports of an answer counts as an answer:

                     requests                                answers
    tcp/22           from a client port to port 22           from port 22 to a client port
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pbrinit.compiler.flowspec import ANY_PORT, FlowSpec, PortMatch, Role
from pbrinit.net.addresses import AddressSet, Family
from pbrinit.net.icmp import ECHO_REPLY, ECHO_REQUEST, NO_PORT, PROHIBITED, PROTOCOL, TOO_BIG
from pbrinit.net.services import Ports, Protocol, Service
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import AddressGroup, Allow, Deny, Direction, Policy
from pbrinit.policy.programs import ROOT, Program
from pbrinit.policy.topology import Topology


@dataclass(frozen=True)
class _Exchange:
    """What one entry names in one direction; a service None is every packet.

    `near` are the interfaces of the exchange, of a forwarded one those on the client's side, and
    `far` those on the server's side. `either`: a packet has to pass only one of them.
    """

    role: Role
    key: str
    direction: Direction
    near: tuple[Interface, ...]
    far: tuple[Interface, ...]
    sources: AddressGroup | None
    destinations: AddressGroup | None
    services: tuple[Service | None, ...]
    client_ports: Ports
    uid: int | None
    either: bool = False
    room: Program | None = None
    log: bool = False


def _allowed_exchange(allow: Allow) -> _Exchange:
    return _Exchange(
        Role.ALLOW, allow.key, allow.direction, allow.interfaces, allow.egress_interfaces,
        allow.sources, allow.destinations, allow.services, allow.client_ports,
        allow.user.uid if allow.user else None, room=allow.room,
    )  # fmt: skip


def _denied_exchanges(deny: Deny, *, log: bool) -> Iterator[_Exchange]:
    """A deny entry with `from` alone is not about output, one with `to` alone not about input."""
    about = {
        Direction.INPUT: deny.destinations is None,
        Direction.OUTPUT: deny.sources is None,
        Direction.FORWARD: True,
    }
    for direction in (direction for direction, applies in about.items() if applies):
        role = Role.REJECT if deny.reject and direction is Direction.FORWARD else Role.DENY
        yield _Exchange(
            role, deny.key, direction, deny.interfaces, deny.interfaces, deny.sources,
            deny.destinations, deny.services or (None,), ANY_PORT,
            deny.user.uid if deny.user else None, either=True, log=log,
        )  # fmt: skip


def _answered_by_kernel(service: Service | None) -> bool:
    return service is not None and service.protocol == Protocol.ICMP


class PolicyFlows:
    """The flows of one policy in one family."""

    def __init__(self, policy: Policy, topology: Topology) -> None:
        self._topology = topology
        self._family = topology.family
        self._all = AddressSet.everything(topology.family)
        self._exchanges = [_allowed_exchange(allow) for allow in policy.allows]
        self._exchanges += [
            exchange
            for deny in policy.denies
            for exchange in _denied_exchanges(deny, log=deny.log and not policy.log)
        ]
        self._logs = policy.logs
        self._client_ports = policy.client_ports
        self.forwards = any(
            flow.role is Role.ALLOW and flow.sources and flow.destinations
            for interface in topology.interfaces
            for flow in self.forward(interface)
        )

    def output(self) -> Iterator[FlowSpec]:
        """What this machine sends: `destinations` are the peers."""
        yield from self._log_only()
        for exchange in self._exchanges:
            if exchange.direction is Direction.FORWARD:
                yield from self._icmp_errors(exchange)
                continue
            if exchange.room is not None:
                continue
            incoming = exchange.direction is Direction.INPUT
            peers = self._peers(exchange, self._topology.hosts_behind(*exchange.near))
            for service in exchange.services:
                uid = exchange.uid
                if incoming and exchange.role is Role.ALLOW and _answered_by_kernel(service):
                    uid = ROOT
                for match in self._sent_matches(exchange, service):
                    yield FlowSpec(
                        exchange.role, exchange.key, match, self._all, peers, uid, incoming
                    )
        if self._family is Family.V4:
            yield from self._return_path()

    def input(self, interface: Interface) -> Iterator[FlowSpec]:
        """What arrives for this machine: `sources` are the peers."""
        behind = self._topology.hosts_behind(interface)
        for exchange in self._exchanges:
            local = exchange.direction is not Direction.FORWARD
            denies_user = exchange.role is Role.DENY and exchange.uid is not None
            if not local or denies_user or interface not in exchange.near:
                continue
            incoming = exchange.direction is Direction.INPUT
            peers = self._peers(exchange, behind)
            for service in exchange.services:
                match = self._request(service, ANY_PORT)
                if not incoming:
                    match = self._request(service, exchange.client_ports).reversed
                yield FlowSpec(
                    exchange.role, exchange.key, match, peers, self._all, answer=not incoming,
                    room=exchange.room, log=exchange.log and incoming,
                )  # fmt: skip

    def room_output(self, room: Program, interface: Interface) -> Iterator[FlowSpec]:
        """What the program in a room sends by the interface: `destinations` are the peers.  For the
        machine it is forwarded, so no ICMP type is visible.
        """
        behind = self._topology.hosts_behind(interface)
        for exchange in self._exchanges:
            local = exchange.direction is not Direction.FORWARD
            about_room = exchange.room is room or exchange.role is Role.DENY
            if not (local and about_room and exchange.uid is None and interface in exchange.near):
                continue
            incoming = exchange.direction is Direction.INPUT
            peers = self._peers(exchange, behind)
            for service in exchange.services:
                match = self._request(service, exchange.client_ports)
                if incoming:
                    match = self._request(service, ANY_PORT).reversed
                yield FlowSpec(
                    exchange.role, exchange.key, match, self._all, peers, answer=incoming
                )

    def forward(self, interface: Interface) -> Iterator[FlowSpec]:
        """What arrives by the interface to be forwarded by another."""
        for exchange in self._exchanges:
            if exchange.direction is not Direction.FORWARD or exchange.uid is not None:
                continue
            clients = self._in_family(exchange.sources)
            servers = self._in_family(exchange.destinations)
            for service in exchange.services:
                match = self._request(service, exchange.client_ports)
                role, key = exchange.role, exchange.key
                here, there = self._ends(exchange, interface, exchange.near, exchange.far)
                yield FlowSpec(role, key, match, clients & here, servers & there, log=exchange.log)
                # No ICMP error is sent for an answer that is denied.
                role = Role.DENY if role is Role.REJECT else role
                here, there = self._ends(exchange, interface, exchange.far, exchange.near)
                yield FlowSpec(
                    role, key, match.reversed, servers & here, clients & there, answer=True
                )

    def _ends(
        self,
        exchange: _Exchange,
        interface: Interface,
        near: tuple[Interface, ...],
        far: tuple[Interface, ...],
    ) -> tuple[AddressSet, AddressSet]:
        """The addresses that packets which arrive by `interface` may come from and go to."""
        others = [other for other in self._topology.interfaces if other is not interface]
        arrives_near = interface in near
        if exchange.either:
            egress = others if arrives_near else [other for other in others if other in far]
        else:
            egress = [other for other in others if other in far] if arrives_near else []
        return self._topology.hosts_behind(interface), self._topology.hosts_behind(*egress)

    def _in_family(self, group: AddressGroup | None) -> AddressSet:
        return self._all if group is None else group.in_family(self._family)

    def _peers(self, exchange: _Exchange, behind: AddressSet) -> AddressSet:
        """The hosts at the other end of an exchange with this machine, of those `behind`."""
        incoming = exchange.direction is Direction.INPUT
        return behind & self._in_family(exchange.sources if incoming else exchange.destinations)

    def _request(self, service: Service | None, client_ports: Ports) -> PortMatch:
        """Requests for a service, where no ICMP type is visible."""
        if service is None:
            return PortMatch(None)
        if service.ports is None:
            return PortMatch(service.number(self._family))
        return PortMatch(service.protocol, client_ports, service.ports)

    def _sent_matches(self, exchange: _Exchange, service: Service | None) -> Iterator[PortMatch]:
        """What this machine sends of an exchange of its own; here ICMP types are visible.

        A TCP socket that connects is looked up with port 0 first (ip_route_connect,
        include/net/route.h); a UDP socket has its port by then (inet_autobind). A socket that is
        bound to one of an entry's own `clients` has its port too.
        """
        incoming = exchange.direction is Direction.INPUT
        if service is not None and service.echo:
            message = (ECHO_REPLY if incoming else ECHO_REQUEST)[self._family]
            for ports in message.ports:
                yield PortMatch(PROTOCOL[self._family], destination_ports=ports)
        elif incoming:
            yield self._request(service, ANY_PORT).reversed
        else:
            yield self._request(service, exchange.client_ports)
            tcp = service is not None and service.protocol == Protocol.TCP
            chosen = self._client_ports in exchange.client_ports
            if tcp and chosen and exchange.client_ports != ANY_PORT:
                yield from (self._request(service, port) for port in NO_PORT)

    def _return_path(self) -> Iterator[FlowSpec]:
        """What may arrive, as the return path check looks it up: as root, the ports swapped, and
        without ICMP types.
        """
        roles = {Role.ALLOW: Role.RETURN_PATH_ALLOW, Role.DENY: Role.RETURN_PATH_DENY}
        for interface in self._topology.interfaces:
            for flow in (flow for flow in self.input(interface) if flow.room is None):
                matches = [flow.match.reversed]
                if flow.match.protocol == Protocol.ICMP:
                    matches = [PortMatch(Protocol.ICMP, destination_ports=p) for p in NO_PORT]
                for match in matches:
                    yield replace(
                        flow, role=roles[flow.role], match=match, sources=self._all,
                        destinations=flow.sources, uid=ROOT,
                    )  # fmt: skip

    def _log_only(self) -> Iterator[FlowSpec]:
        """The kernel's ICMP errors about refused packets are for the log, whatever is allowed."""
        (ports,) = PROHIBITED[self._family].ports
        match = PortMatch(PROTOCOL[self._family], destination_ports=ports)
        for answer in (False, True) if self._logs else ():
            yield FlowSpec(Role.DENY, "log", match, self._all, self._all, ROOT, answer)

    def _icmp_errors(self, exchange: _Exchange) -> Iterator[FlowSpec]:
        """The ICMP errors that the kernel sends to hosts whose packets it forwards or rejects."""
        if not self.forwards or exchange.role is Role.DENY or exchange.uid is not None:
            return
        rejected = exchange.role is Role.REJECT
        near = self._topology.reachable if rejected else self._topology.hosts_behind(*exchange.near)
        peers = self._in_family(exchange.sources) & near
        if not rejected:
            far = self._topology.hosts_behind(*exchange.far)
            peers = peers | self._in_family(exchange.destinations) & far
        (ports,) = (PROHIBITED if rejected else TOO_BIG)[self._family].ports
        match = PortMatch(PROTOCOL[self._family], destination_ports=ports)
        yield FlowSpec(Role.KERNEL_ICMP, exchange.key, match, self._all, peers, ROOT)
