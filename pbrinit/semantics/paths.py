"""What a policy means: docs/meaning.md as code, apart from how rules bring it about.

In: a `Policy`.  Out: `PolicySemantics`, which has for each path of a packet (in, out, forward, into
rooms and out of them) the header spaces that the entries allow, those that they deny, and those
that no policy can do without. It knows nothing of rules and tables, so that `prove` can hold a plan
to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import permutations

from pbrinit.net.addresses import AddressSet, Family
from pbrinit.net.icmp import ANY_PORT, PROHIBITED, ROUTER_SOLICITATION, TOO_BIG
from pbrinit.net.services import DHCP_CLIENT, DHCP_SERVER, Protocol
from pbrinit.net.special_addresses import (
    ALL_NODES,
    ALL_ROUTERS,
    ARP,
    LINK_LOCAL,
    LOOPBACK_PREFIX,
    SOLICITED_NODE,
    UNSPECIFIED_6,
)
from pbrinit.policy import room_addresses
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import Allow, Deny, Direction, Policy
from pbrinit.policy.programs import ROOT, Program, Zone
from pbrinit.semantics.exchange import (
    PacketPattern,
    denied_output_patterns,
    forward_patterns,
    icmp_pattern,
    input_patterns,
    output_patterns,
    room_output_patterns,
)
from pbrinit.semantics.header_space import HeaderSpace, PathPolicy
from pbrinit.semantics.refusal_log import RefusalLog
from pbrinit.semantics.topology import Topology


class PolicySemantics:
    """The packets that a policy lets pass."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.topology = Topology(policy)
        self.refusal_log = RefusalLog(policy, self.topology)
        self._everything = {family: AddressSet.everything(family) for family in Family}
        self._paths: dict[tuple[Family, str | None, str | None], PathPolicy] = {}

    # The three ways, and those of rooms

    def path_policy(self, family: Family, ingress: Zone | None, egress: Zone | None) -> PathPolicy:
        """What passes on one path; without a way in what the machine itself sends, without a way
        out what is for it. One of the two there is.
        """
        ends = (ingress.device if ingress else None, egress.device if egress else None)
        if (family, *ends) not in self._paths:
            self._paths[family, *ends] = self._path_policy(family, ingress, egress)
        return self._paths[family, *ends]

    def _path_policy(self, family: Family, ingress: Zone | None, egress: Zone | None) -> PathPolicy:
        if isinstance(ingress, Program) or isinstance(egress, Program):
            return self._of_rooms(family, ingress, egress)
        if ingress is None:
            return self.output(family, egress) if egress is not None else PathPolicy(())
        if egress is None:
            return self.input(family, ingress)
        return self.forward(family, ingress, egress)

    def _of_rooms(self, family: Family, ingress: Zone | None, egress: Zone | None) -> PathPolicy:
        """Nothing goes from the machine itself to a room, or to it."""
        if isinstance(ingress, Interface) and isinstance(egress, Program):
            return self.room_input(family, ingress, egress)
        if isinstance(ingress, Program) and isinstance(egress, Interface):
            return self.room_output(family, ingress, egress)
        if isinstance(ingress, Program) and isinstance(egress, Program):
            return self.between_rooms(family, ingress, egress)
        return PathPolicy(())

    @cache  # noqa: B019  a meaning lives as long as the program
    def input(self, family: Family, interface: Interface) -> PathPolicy:
        """What arrives by an interface and is for this machine."""
        allowed = self._arriving(family, interface, None)
        denied = self._denied_arriving(family, interface)
        unasked = tuple(self._unasked(family, interface))
        own = self.topology.addresses_of(interface, family)
        log = self.refusal_log
        return PathPolicy(
            tuple(allowed),
            tuple(denied),
            unasked,
            log.logged(family, interface, own),
            log.all_logged(family, interface, own),
            log.missed(family),
        )

    def _arriving(
        self, family: Family, interface: Interface, room: Program | None
    ) -> list[HeaderSpace]:
        """What entries let arrive by an interface, for a room or for the machine itself."""
        own = self.topology.addresses_of(interface, family)
        return [
            HeaderSpace(pattern, peers, own, entry.key, answer)
            for entry in self._entries_of(room, interface)
            for peers in [self.topology.peers_behind(entry.peers, interface, family)]
            for answer in [entry.direction is Direction.OUTPUT]
            for pattern in input_patterns(entry.services, family, entry.client_ports, answer=answer)
        ]

    def _entries_of(self, room: Program | None, interface: Interface) -> Iterable[Allow]:
        """The entries about a room, or about the machine itself, that an interface is in."""
        return (
            entry
            for entry in self.policy.allows
            if entry.direction is not Direction.FORWARD
            and entry.room == room
            and interface in entry.interfaces
        )

    def _denied_arriving(self, family: Family, interface: Interface) -> Iterator[HeaderSpace]:
        """What may not arrive by an interface for this machine, nor for a room of it."""
        for deny in self.policy.denies:
            if interface in deny.interfaces and deny.user is None:
                for peers, answer in self._denied_here(deny, family):
                    for pattern in forward_patterns(deny.services, family, ANY_PORT, answer=answer):
                        yield HeaderSpace(
                            pattern, peers, self._everything[family], deny.key, answer
                        )

    def _unasked(self, family: Family, interface: Interface) -> Iterator[HeaderSpace]:
        """ARP and what IPv6 needs of ICMPv6, which come in whatever the entries say."""
        if family is Family.V4:
            ours = AddressSet.from_prefixes(family, (a.ip for i in self.policy.interfaces
                                          for a in i.addresses))  # fmt: skip
            kept = AddressSet.from_prefixes(
                family, room_addresses.reserved_prefixes(self.policy, family)
            )
            for address in interface.addresses_of(family):
                routed = [r.prefix for r in interface.active_routes(family) if r.via is None]
                near = AddressSet.from_prefixes(family, [address.network, *routed])
                others = AddressSet.from_prefixes(family, interface.arp_from)
                others = others & self.topology.hosts_behind(interface, family)
                link = (near - ours - kept) | others
                here = AddressSet.from_prefixes(family, [address.ip])
                yield HeaderSpace(PacketPattern(ARP), link, here, "ARP")
        elif interface.has_family(family):
            by_link = AddressSet.from_prefixes(family, (LINK_LOCAL, UNSPECIFIED_6))
            here = AddressSet.from_prefixes(family, (LINK_LOCAL, SOLICITED_NODE))
            sources = self.topology.hosts_behind(interface, family) | by_link
            destinations = self.topology.addresses_of(interface, family) | here
            yield HeaderSpace(
                PacketPattern(Protocol.ICMPV6),
                sources,
                destinations,
                "neighbour discovery, path MTU",
            )
            if family in interface.dynamic_families:
                routers = AddressSet.from_prefixes(family, [LINK_LOCAL])
                everybody = AddressSet.from_prefixes(family, [ALL_NODES])
                yield HeaderSpace(
                    PacketPattern(Protocol.ICMPV6), routers, everybody, "router advertisements"
                )

    def output(self, family: Family, interface: Interface) -> PathPolicy:
        """What is sent from here and leaves by an interface."""
        own = self.topology.addresses_of(interface, family)
        anyone = self._everything[family]
        allowed = [
            HeaderSpace(pattern, own, peers, entry.key, answer, uid)
            for entry in self._entries_of(None, interface)
            for peers in [self.topology.peers_behind(entry.peers, interface, family)]
            for answer in [entry.direction is Direction.INPUT]
            for pattern, uid in output_patterns(
                entry, family, self.policy.client_ports, answer=answer
            )
        ]
        denied = [
            HeaderSpace(
                pattern, anyone, peers, deny.key, not asked, deny.user.uid if deny.user else None
            )
            for deny in self.policy.denies
            if interface in deny.interfaces
            for peers, asked in self._denied_here(deny, family)
            for pattern in denied_output_patterns(deny.services, family, answer=not asked)
        ]
        if self.policy.logs:
            word = icmp_pattern(family, PROHIBITED[family])
            denied += [
                HeaderSpace(word, anyone, anyone, "log", answer, ROOT) for answer in (False, True)
            ]
        always = (*self._asking(family, interface), *self._told(family, interface))
        return PathPolicy(tuple(allowed), tuple(denied), always)

    def _asking(self, family: Family, interface: Interface) -> Iterator[HeaderSpace]:
        """What asks for an address, no source chosen for it: by DHCP where there is none yet, and
        anybody beyond this machine may be the server; all routers of the link at any time.
        """
        nobody = AddressSet(family)
        if family is Family.V4 and interface.awaiting_address(family):
            pattern = PacketPattern(Protocol.UDP, (DHCP_CLIENT,), (DHCP_SERVER,))
            yield HeaderSpace(
                pattern, nobody, self.topology.dhcp_servers(interface), "DHCP", uid=ROOT
            )
        if family is Family.V6 and family in interface.dynamic_families:
            routers = AddressSet.from_prefixes(family, [ALL_ROUTERS])
            pattern = icmp_pattern(family, ROUTER_SOLICITATION)
            yield HeaderSpace(pattern, nobody, routers, "router solicitation", uid=ROOT)

    def room_input(self, family: Family, interface: Interface, room: Program) -> PathPolicy:
        """What arrives by an interface and is for the program in a room."""
        allowed = self._arriving(family, interface, room)
        denied = self._denied_arriving(family, interface) if allowed else ()
        return PathPolicy(tuple(allowed), tuple(denied))

    def room_output(self, family: Family, room: Program, interface: Interface) -> PathPolicy:
        """What the program in a room sends and leaves by an interface."""
        own, anyone = self.topology.addresses_of(interface, family), self._everything[family]
        allowed = [
            HeaderSpace(pattern, own, peers, entry.key, answer)
            for entry in self._entries_of(room, interface)
            for peers in [self.topology.peers_behind(entry.peers, interface, family)]
            for answer in [entry.direction is Direction.INPUT]
            for pattern in room_output_patterns(
                entry.services, family, room.client_ports, answer=answer
            )
        ]
        denied = [
            HeaderSpace(pattern, anyone, peers, deny.key, not asked)
            for deny in (self.policy.denies if allowed else ())
            if interface in deny.interfaces and deny.user is None
            for peers, asked in self._denied_here(deny, family)
            for pattern in forward_patterns(deny.services, family, ANY_PORT, answer=not asked)
        ]
        return PathPolicy(tuple(allowed), tuple(denied))

    def between_rooms(self, family: Family, asking: Program, asked: Program) -> PathPolicy:
        """What the program in one room sends to the one in another."""
        ends = self.topology.room_address(asking, family), self.topology.room_address(asked, family)
        allowed = [
            HeaderSpace(pattern, *ends, between.key, answer)
            for between in self.policy.room_allows
            for answer in (False, True)
            if (between.client, between.server) == ((asked, asking) if answer else (asking, asked))
            for pattern in room_output_patterns(
                between.services, family, between.client.client_ports, answer=False
            )
            for pattern in [pattern.reversed if answer else pattern]
        ]
        return PathPolicy(tuple(allowed))

    def _denied_here(self, deny: Deny, family: Family) -> Iterator[tuple[AddressSet, bool]]:
        """Those who may not open an exchange with this machine; those with whom it may not, whose
        packets that arrive are answers.
        """
        anyone = self._everything[family]
        if deny.destinations is None:
            yield deny.sources.in_family(family) if deny.sources else anyone, False
        if deny.sources is None:
            yield deny.destinations.in_family(family) if deny.destinations else anyone, True

    def _told(self, family: Family, interface: Interface) -> Iterator[HeaderSpace]:
        """What the kernel says to those whose packets it passes on, or is told to reject."""
        if not self._passes_on(family):
            return
        own, anyone = self.topology.addresses_of(interface, family), self._everything[family]
        for entry in self.policy.allows:
            if entry.direction is not Direction.FORWARD:
                continue
            ends = (
                (entry.sources, entry.interfaces),
                (entry.destinations, entry.egress_interfaces),
            )
            for end, ways in ends:
                if interface in ways:
                    peers = self.topology.peers_behind(end, interface, family)
                    yield HeaderSpace(
                        icmp_pattern(family, TOO_BIG[family]), own, peers, entry.key, uid=ROOT
                    )
        for deny in self.policy.denies:
            if deny.reject and deny.user is None:
                asking = deny.sources.in_family(family) if deny.sources else anyone
                peers = asking & self.topology.hosts_behind(interface, family)
                yield HeaderSpace(
                    icmp_pattern(family, PROHIBITED[family]), own, peers, deny.key, uid=ROOT
                )

    def _passes_on(self, family: Family) -> bool:
        """Whether an entry lets anything pass through in a family."""
        ways = permutations(self.policy.interfaces, 2)
        path_policies = (self.path_policy(family, ingress, egress) for ingress, egress in ways)
        return any(
            space.sources and space.destinations
            for path_policy in path_policies
            for space in path_policy.allowed
        )

    def forward(self, family: Family, ingress: Interface, egress: Interface) -> PathPolicy:
        """What arrives by one interface and leaves by another."""
        allowed = []
        for entry in self.policy.allows:
            if entry.direction is not Direction.FORWARD:
                continue
            for answer, first, last in ((False, ingress, egress), (True, egress, ingress)):
                if first not in entry.interfaces or last not in entry.egress_interfaces:
                    continue
                asking = self.topology.peers_behind(entry.sources, first, family)
                asked = self.topology.peers_behind(entry.destinations, last, family)
                ends = (asked, asking) if answer else (asking, asked)
                allowed += [
                    HeaderSpace(pattern, *ends, entry.key, answer)
                    for pattern in forward_patterns(
                        entry.services, family, (entry.client_ports,), answer=answer
                    )
                ]
        denied = []
        for deny in self.policy.denies:
            near = ingress in deny.interfaces or egress in deny.interfaces
            if not near or deny.user is not None:
                continue
            asking, asked = (
                end.in_family(family) if end else self._everything[family]
                for end in (deny.sources, deny.destinations)
            )
            for answer, ends in ((False, (asking, asked)), (True, (asked, asking))):
                told = deny.reject and not answer
                denied += [
                    HeaderSpace(pattern, *ends, deny.key, answer, reject=told)
                    for pattern in forward_patterns(deny.services, family, ANY_PORT, answer=answer)
                ]
        there = self.topology.hosts_behind(egress, family)
        log = self.refusal_log
        return PathPolicy(
            tuple(allowed),
            tuple(denied),
            logged=log.logged(family, ingress, there),
            all_logged=log.all_logged(family, ingress, there),
            missed=log.missed(family),
        )

    def local_addresses(self, family: Family) -> AddressSet:
        """What is sent here stays here: loopback and our own addresses."""
        return self.topology.own_addresses(family) | AddressSet.from_prefixes(
            family, [LOOPBACK_PREFIX[family]]
        )
