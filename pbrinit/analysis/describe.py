"""Sets of packets in words and as JSON.

In: a `Cell` of a `Grid`, and the interfaces and users of a policy.  Out: `Packets`, which a person
reads in one line: "in by wan: tcp/22 from 198.51.100.0/25".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pbrinit.analysis.cells import Cell, Grid
from pbrinit.net.addresses import AddressSet, Family, Prefix
from pbrinit.net.icmp import ANY_PORT, NO_PORT
from pbrinit.net.packet import WITH_PORTS, WITH_TYPES
from pbrinit.net.services import REMOTE_EPHEMERAL_PORTS, PortSet, Protocol
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.programs import Program, User
from pbrinit.policy.programs import Zone as End
from pbrinit.semantics.paths import PolicySemantics

NAMED = 3
"""How many prefixes are said one by one."""

LISTED = 100
"""And how many in JSON."""

WORDS = {0: "arp", Protocol.ICMP: "icmp", Protocol.TCP: "tcp", Protocol.UDP: "udp",
         Protocol.ICMPV6: "icmp"}  # fmt: skip


@dataclass(frozen=True)
class FlowPath:
    """A path: what its ends are called. `ours` says which of them are this machine's, itself or a
    room of it, and `own` are our addresses there; `peers` are all who live at the other ends.
    `clients` are the ports that go without saying for one who asks.
    """

    family: Family
    ingress: str | None
    egress: str | None
    ours: tuple[bool, bool]
    own: AddressSet
    peers: tuple[AddressSet, AddressSet]
    clients: tuple[PortSet, ...]

    def __str__(self) -> str:
        if self.egress is None:
            return f"in by {self.ingress}"
        if self.ingress is None:
            return f"out by {self.egress}"
        if self.ours == (False, True):
            return f"in by {self.ingress} to {self.egress}"
        if self.ours == (True, False):
            return f"out of {self.ingress} by {self.egress}"
        return f"from {self.ingress} to {self.egress}"


def flow_path(
    semantics: PolicySemantics, family: Family, ingress: End | None, egress: End | None
) -> FlowPath:
    """One path of a policy; without a way in it begins in the machine itself, without a way out it
    ends there.
    """
    topology, nobody = semantics.topology, AddressSet(family)
    own, peers = nobody, []
    for end, other in ((ingress, egress), (egress, ingress)):
        interface = isinstance(end, Interface)
        peers.append(topology.hosts_behind(end, family) if interface else nobody)
        if interface and not isinstance(other, Interface):
            own = topology.addresses_of(end, family)
        if isinstance(end, Program) and isinstance(other, Program):
            own = own | topology.room_address(end, family)
    clients: tuple[PortSet, ...] = ()
    if isinstance(ingress, Program):
        clients = ((ingress.client_ports,),)
    elif ingress is None:
        mine = semantics.policy.client_ports
        # TCP's may be looked up without one.
        clients = ((mine,), (NO_PORT[0], mine, NO_PORT[1]))
    elif isinstance(egress, Interface):
        clients = ((REMOTE_EPHEMERAL_PORTS,),)
    return FlowPath(
        family,
        ingress.label if ingress else None,
        egress.label if egress else None,
        (not isinstance(ingress, Interface), not isinstance(egress, Interface)),
        own,
        (peers[0], peers[1]),
        clients,
    )


@dataclass(frozen=True)
class FlowSet:
    """Some packets of one way. Protocols or users None is any; `but` says that those named are
    the ones that are not meant.
    """

    path: FlowPath
    protocols: tuple[int, ...]
    other_protocols: bool
    sources: AddressSet
    destinations: AddressSet
    source_ports: PortSet
    destination_ports: PortSet
    users: tuple[str, ...]
    other_users: bool

    def __str__(self) -> str:
        words = [f"{self.path}: {self._service()}"]
        words += self._ends()
        words += self._who()
        return " ".join(words)

    def _service(self) -> str:
        """The protocol and the port that is asked, or that answers."""
        names = ", ".join(map(self._asked, self.protocols))
        if self.other_protocols:
            return f"every protocol but {names}" if names else "every protocol"
        if self.source_ports == ANY_PORT or self.source_ports in self.path.clients:
            return names
        several = "s" if len(self.source_ports) > 1 else ""
        return f"{names} from port{several} {_ports(self.source_ports)}"

    def _asked(self, protocol: int) -> str:
        word = _protocol(protocol)
        if self.destination_ports == ANY_PORT:
            return word
        if protocol in WITH_PORTS:
            return f"{word}/{_ports(self.destination_ports)}"
        types = protocol in WITH_TYPES and self.path.ingress is None
        return f"{word} {_types(self.destination_ports)}" if types else word

    def _ends(self) -> list[str]:
        """Who is at either end; our own addresses only where not all of them are meant."""
        way, (asking, asked) = self.path, self.path.peers
        words = []
        if all(way.ours):
            return []
        if not way.ours[0]:
            words.append(f"from {_addresses(self.sources, asking, way.own)}")
        elif not way.own <= self.sources:
            words.append(f"from {_addresses(self.sources & way.own, asking, way.own)}")
        if not way.ours[1]:
            words.append(f"to {_addresses(self.destinations, asked, way.own)}")
        elif self.destinations != way.own:
            words.append(f"to {_addresses(self.destinations, asked, AddressSet(way.family))}")
        return words

    def _who(self) -> list[str]:
        if self.path.ingress is not None or (self.other_users and not self.users):
            return []
        names = ", ".join(self.users)
        return [f"as anybody but {names}" if self.other_users else f"as {names}"]

    def as_json(self) -> dict[str, Any]:
        """The same for a program."""
        return {
            "family": self.path.family.version,
            "in": self.path.ingress,
            "out": self.path.egress,
            "protocols": list(self.protocols),
            "other_protocols": self.other_protocols,
            "sources": _set(self.sources),
            "destinations": _set(self.destinations),
            "source_ports": [[ports.first, ports.last] for ports in self.source_ports],
            "destination_ports": [[ports.first, ports.last] for ports in self.destination_ports],
            "users": list(self.users),
            "other_users": self.other_users,
            "text": str(self),
        }


def flow_set(cell: Cell, grid: Grid, way: FlowPath, users: Sequence[User]) -> FlowSet:
    """The packets of a cell. Of those that are named the others are meant where the last piece,
    that of all who are not named, is among them.
    """
    names = {user.uid: user.name for user in users}
    protocols, other_protocols = _chosen(cell.protocol, grid.protocols)
    uids, other_users = _chosen(cell.uid, grid.uids)
    return FlowSet(
        path=way,
        protocols=protocols,
        other_protocols=other_protocols,
        sources=grid.addresses(cell.sources),
        destinations=grid.addresses(cell.destinations),
        source_ports=grid.ports(cell.source_ports),
        destination_ports=grid.ports(cell.destination_ports),
        users=tuple(names.get(uid, "root" if uid == 0 else str(uid)) for uid in uids),
        other_users=other_users,
    )


def _chosen(mask: int, known: Sequence[int]) -> tuple[tuple[int, ...], bool]:
    """The values that are meant, or those that are not where all others are."""
    others = bool(mask >> len(known) & 1)
    return tuple(v for n, v in enumerate(known) if bool(mask >> n & 1) != others), others


def _protocol(number: int) -> str:
    return WORDS.get(number, f"ip/{number}")


def _ports(ports: PortSet) -> str:
    return ",".join(str(found) for found in ports)


def _types(ports: PortSet) -> str:
    """ICMP's types and codes, each a port to the look-up."""
    ends = ["/".join(map(str, divmod(found.first, 256))) for found in ports]
    return ", ".join(ends) if all(p.first == p.last for p in ports) else "of some types"


def _addresses(found: AddressSet, everybody: AddressSet, own: AddressSet) -> str:
    """A set in as few words as there are for it; `everybody` are those who live there. Our own
    addresses may be said to be in it, where that is shorter.
    """
    if found == everybody:
        return "anybody"
    missing, more = everybody - found, found - everybody
    if everybody and not missing and _few(more):
        return f"anybody, {_list(more)}"
    for few in (found, found | own):
        if _few(few):
            return _list(few)
    if not more and (_few(missing) or len(missing.ranges) < len(found.ranges)):
        return f"anybody but {_list(missing) if _few(missing) else _count(missing)}"
    return _count(found)


def _few(found: AddressSet) -> bool:
    return len(found.ranges) <= NAMED and len(found.prefixes) <= NAMED


def _list(found: AddressSet) -> str:
    return ", ".join(map(_prefix, found.prefixes))


def _count(found: AddressSet) -> str:
    first = AddressSet(found.family, found.ranges[:NAMED]).prefixes[:NAMED]
    size, count = _size(found), found.prefix_count
    number = f"{size:,} addresses" if size == count else f"{count:,} prefixes"
    return f"{number} ({', '.join(map(_prefix, first))}, …)"


def _size(found: AddressSet) -> int:
    return sum(last - first + 1 for first, last in found.ranges)


def _prefix(prefix: Prefix) -> str:
    whole = prefix.prefixlen == prefix.max_prefixlen
    return str(prefix.network_address) if whole else str(prefix)


def _set(found: AddressSet) -> dict[str, Any]:
    first = AddressSet(found.family, found.ranges[:LISTED])
    return {
        "addresses": _size(found),
        "ranges": len(found.ranges),
        "first": [str(prefix) for prefix in first.prefixes[:LISTED]],
    }
