"""Allow entries and deny entries, as the file has them.

In: the document, and the names that it defines.  Out: `Allow`, `RoomAllow` and `Deny` values; what
is wrong with one is reported as a problem, and what is odd as a remark.
"""

from __future__ import annotations

from collections.abc import Sequence

from pbrinit.net.addresses import Family
from pbrinit.net.services import REMOTE_EPHEMERAL_PORTS, Ports, Protocol, Service
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import ANYBODY, AddressGroup, Allow, Deny, Direction, RoomAllow
from pbrinit.policy.problems import Problems
from pbrinit.policy.programs import Program
from pbrinit.policy.reader.document import TomlTable
from pbrinit.policy.reader.keys import NO_USER
from pbrinit.policy.reader.names import SymbolTable
from pbrinit.policy.reader.services import FEWEST_EPHEMERAL, ports

NOTHING_LOGGED = "a program of this machine gets an error at once, and the log gets nothing"


def read_denies(symbols: SymbolTable, document: TomlTable, remarks: Problems) -> tuple[Deny, ...]:
    """The deny entries."""
    forwards = "forward" in document
    denies = tuple(
        _deny(symbols, table, remarks, forwards=forwards) for table in document.tables("deny")
    )
    for deny in (deny for deny in denies if deny.log):
        key = f"{deny.key}.log"
        if document.flag("log"):
            remarks.report(key, "does nothing: the policy logs every refused packet")
            continue
        for other in denies:
            if other.reject and forwards and other is not deny and _share_sources(deny, other):
                document.problems.report(
                    key,
                    f"{other.key} rejects some of the sources that would be logged",
                    "the kernel sends one ICMP error for a packet: leave log out here, or reject"
                    " there",
                )
    return denies


def _share_sources(deny: Deny, other: Deny) -> bool:
    """Whether some host sends requests that both entries deny."""
    mine, theirs = deny.sources or ANYBODY, other.sources or ANYBODY
    return any(mine.in_family(family).overlaps(theirs.in_family(family)) for family in Family)


def _deny(symbols: SymbolTable, table: TomlTable, remarks: Problems, *, forwards: bool) -> Deny:
    reject = table.flag("reject")
    if "user" in table and "from" in table:
        table.problems.report(
            table.path("user"),
            "packets of other hosts have no user",
            "leave out user or from; an entry with from and to is about forwarded packets",
        )
    if "user" in table and reject:
        table.problems.report(table.path("reject"), f"it is about forwarding, and {NO_USER}")
    log = table.flag("log")
    if log:
        _check_log(table, forwards=forwards)
    if reject and not forwards:
        remarks.report(table.path("reject"), "does nothing where nothing is forwarded")
    sources, destinations = symbols.addresses_of(table, "from"), symbols.addresses_of(table, "to")
    reachability = symbols.reachability
    for key, group in (("from", sources), ("to", destinations)):
        if group is None or not any(group.both):
            continue
        if not reachability.families(group, reachability.interfaces):
            remarks.report(table.path(key), f"no address of {group.text} is behind any interface")
    return Deny(
        key=table.key,
        interfaces=symbols.interfaces_of(table, "on"),
        sources=sources,
        destinations=destinations,
        services=symbols.services_of(table),
        user=symbols.user_of(table),
        reject=reject,
        log=log,
    )


def _check_log(table: TomlTable, *, forwards: bool) -> None:
    """Report keys with which the log would get nothing."""
    if "user" in table:
        table.problems.report(table.path("log"), NOTHING_LOGGED, "leave log or user out")
    if table.flag("reject"):
        table.problems.report(
            table.path("log"),
            "the kernel sends one ICMP error for a packet: to its sender, or to the log",
            "leave log or reject out",
        )
    if "to" in table and not forwards:
        what = "nothing is forwarded" if "from" in table else NOTHING_LOGGED
        table.problems.report(table.path("log"), what, "leave log or to out")


End = tuple[AddressGroup, tuple[Interface, ...]]
"""One end of what is forwarded: its addresses, and the interfaces that they are behind."""


def read_allows(symbols: SymbolTable, document: TomlTable) -> tuple[Allow, ...]:
    """The allow entries: input, output, forward."""
    return (
        *(_input(symbols, table) for table in document.tables("input")),
        *(_output(symbols, table) for table in document.tables("output")),
        *(_forward(symbols, table) for table in document.tables("forward")),
    )


def _input(symbols: SymbolTable, table: TomlTable) -> Allow:
    interfaces = symbols.interfaces_of(table, "on")
    sources = symbols.addresses_of(table, "from") or ANYBODY
    symbols.check_reachable(table, "from", sources, interfaces)
    services, (room, user) = symbols.services_of(table), symbols.room_of(table)
    _check_not_ephemeral(table, services, symbols.ephemeral_ports)
    _check_has_ports(table, services, room)
    if user and services and all(service.protocol == Protocol.ICMP for service in services):
        table.problems.report(
            table.path("user"), "the kernel answers ICMP, not a user", "leave the user out"
        )
    return Allow(
        key=table.key,
        direction=Direction.INPUT,
        interfaces=interfaces,
        egress_interfaces=(),
        sources=sources,
        destinations=ANYBODY,
        services=services,
        client_ports=symbols.client_ports,
        user=user,
        room=room,
    )


def _check_not_ephemeral(table: TomlTable, services: Sequence[Service], ephemeral: Ports) -> None:
    """Report services on ephemeral ports of this machine."""
    for service in services:
        if service.ports is not None and service.ports.overlaps(ephemeral):
            others = _without(ephemeral, service.ports)
            way_out = f', or write ephemeral-ports = "{others}" above all [sections]'
            table.problems.report(
                table.path("service"),
                f"port {service.ports} is in the ephemeral port range ({ephemeral})",
                "answers to clients arrive there: let the service listen on another port"
                f"{way_out if others else ''}",
            )


def _without(ephemeral: Ports, served: Ports) -> Ports | None:
    """The larger part of the ephemeral ports below or above those that are served."""
    below = Ports(ephemeral.first, served.first - 1)
    above = Ports(served.last + 1, ephemeral.last)
    found = max(below, above, key=lambda ports: ports.last - ports.first)
    return found if found.last - found.first + 1 >= FEWEST_EPHEMERAL else None


def _check_has_ports(table: TomlTable, services: Sequence[Service], room: Program | None) -> None:
    """Report services of a room that have no ports."""
    for service in services if room is not None else ():
        if service.ports is None:
            table.problems.report(
                table.path("service"),
                f"{service} has no ports, and only ports tell which room a packet is for",
                "leave run out: the machine itself handles it",
            )


def _check_clients(table: TomlTable, services: Sequence[Service], room: Program | None) -> None:
    """Report `clients` where requests have no ports, or those that the room has."""
    if "clients" not in table:
        return
    if services and not any(service.ports for service in services):
        table.problems.report(
            table.path("clients"), "these services have no ports", "leave clients out"
        )
    if room is not None:
        table.problems.report(
            table.path("clients"),
            f"the room {room.name} has ports of its own ({room.client_ports})",
            "leave clients out, or give the program isolate = false",
        )


def _check_not_by_chance(table: TomlTable, clients: Ports, ephemeral: Ports) -> None:
    """Report `clients` that are some of the ephemeral ports: a program that is not bound to one of
    them gets one by chance.
    """
    if clients.overlaps(ephemeral) and ephemeral not in clients:
        others = _without(ephemeral, clients)
        way_out = f'write ephemeral-ports = "{others}" above all [sections]'
        table.problems.report(
            table.path("clients"),
            f"{clients} are some of the ephemeral ports ({ephemeral}), of which a program gets one"
            " by chance",
            way_out if others else "name all of them, or none",
        )


def _output(symbols: SymbolTable, table: TomlTable) -> Allow:
    interfaces = symbols.interfaces_of(table, "on")
    destinations = symbols.addresses_of(table, "to") or ANYBODY
    symbols.check_reachable(table, "to", destinations, interfaces)
    services, (room, user) = symbols.services_of(table), symbols.room_of(table)
    _check_has_ports(table, services, room)
    _check_clients(table, services, room)
    own = room.client_ports if room else symbols.client_ports
    clients = table.scalar("clients", ports) or own
    if room is None:
        _check_not_by_chance(table, clients, own)
    return Allow(
        key=table.key,
        direction=Direction.OUTPUT,
        interfaces=interfaces,
        egress_interfaces=(),
        sources=ANYBODY,
        destinations=destinations,
        services=services,
        client_ports=clients,
        user=user,
        room=room,
    )


def _forward(symbols: SymbolTable, table: TomlTable) -> Allow:
    ingress, egress = forward_interfaces(symbols, table)
    sources = symbols.addresses_of(table, "from") or ANYBODY
    destinations = symbols.addresses_of(table, "to") or ANYBODY
    check_ends(symbols, table, (sources, ingress), (destinations, egress))
    services = symbols.services_of(table)
    _check_clients(table, services, None)
    return Allow(
        key=table.key,
        direction=Direction.FORWARD,
        interfaces=ingress,
        egress_interfaces=egress,
        sources=sources,
        destinations=destinations,
        services=services,
        client_ports=table.scalar("clients", ports) or REMOTE_EPHEMERAL_PORTS,
        user=None,
    )


def forward_interfaces(
    symbols: SymbolTable, table: TomlTable
) -> tuple[tuple[Interface, ...], tuple[Interface, ...]]:
    """The interfaces by which packets arrive, and those by which they leave. A packet never leaves
    by the interface that it arrived by, so an interface with no other on the other side is left
    out.
    """
    ingress, egress = symbols.interfaces_of(table, "in"), symbols.interfaces_of(table, "out")
    if len({*ingress, *egress}) == 1 and ingress and egress:
        table.problems.report(
            table.key,
            f"{ingress[0].name} is its only interface",
            "a forwarded packet arrives by one interface and leaves by another",
        )
        return ingress, egress
    return _with_another_in(egress, ingress), _with_another_in(ingress, egress)


def _with_another_in(
    others: tuple[Interface, ...], interfaces: tuple[Interface, ...]
) -> tuple[Interface, ...]:
    """Those of the interfaces that are not the only one of the others."""
    return tuple(interface for interface in interfaces if others != (interface,))


def check_ends(symbols: SymbolTable, table: TomlTable, source: End, destination: End) -> None:
    """Report ends of what is forwarded that cannot be reached, or not from each other."""
    symbols.check_reachable(table, "from", *source)
    symbols.check_reachable(table, "to", *destination)
    source_families = symbols.reachability.families(*source)
    destination_families = symbols.reachability.families(*destination)
    if source_families and destination_families and not source_families & destination_families:
        table.problems.report(
            table.key,
            "its sources and destinations share no address family",
            "one side has only IPv4 addresses, and the other only IPv6 addresses",
        )


def read_room_allows(symbols: SymbolTable, document: TomlTable) -> tuple[RoomAllow, ...]:
    """The entries that allow programs in rooms to reach each other."""
    allows = (_room_allow(symbols, table) for table in document.tables("between"))
    return tuple(allow for allow in allows if allow is not None)


def _room_allow(symbols: SymbolTable, table: TomlTable) -> RoomAllow | None:
    client, server = symbols.program_of(table, "from"), symbols.program_of(table, "to")
    services = symbols.services_of(table)
    _check_not_ephemeral(table, services, symbols.ephemeral_ports)
    for key, program in (("from", client), ("to", server)):
        if program is not None and not program.isolated:
            table.problems.report(
                table.path(key), f"{program.name} has no room", "between is about two rooms"
            )
    if client is None or server is None:
        return None
    if client is server:
        table.problems.report(
            table.path("to"), "is the same program", "it reaches itself by its own loopback"
        )
    _check_has_ports(table, services, server)
    return RoomAllow(table.key, client, server, services)
