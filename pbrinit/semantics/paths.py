"""What a policy means: docs/meaning.md as code, apart from how rules bring it about.

In: a `Policy`.  Out: `Meaning`, which has for each way of a packet (in, out, forward, into rooms
and out of them) the boxes of packets that the entries allow, those that they deny, and those that
no policy can do without.
It knows nothing of rules and tables, so that `prove` can hold a plan to it.
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
from pbrinit.policy.policy import Deny, Direction, Entry, Policy
from pbrinit.policy.programs import ROOT, Run, Way
from pbrinit.semantics.exchange import Form, arriving, departing, icmp, leaving, passing, refused
from pbrinit.semantics.header_space import Box, Part
from pbrinit.semantics.refusal_log import Hearing
from pbrinit.semantics.topology import Whereabouts


class Meaning:
    """The packets that a policy lets pass."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.homes = Whereabouts(policy)
        self.hearing = Hearing(policy, self.homes)
        self._everything = {family: AddressSet.everything(family) for family in Family}

    # The three ways, and those of rooms

    def part(self, family: Family, way_in: Way | None, way_out: Way | None) -> Part:
        """What passes on one path; without a way in what the machine itself sends, without a way
        out what is for it. One of the two there is.
        """
        if isinstance(way_in, Run) or isinstance(way_out, Run):
            return self._of_rooms(family, way_in, way_out)
        if way_in is None:
            return self.outgoing(family, way_out) if way_out is not None else Part(())
        if way_out is None:
            return self.incoming(family, way_in)
        return self.forwarded(family, way_in, way_out)

    def _of_rooms(self, family: Family, way_in: Way | None, way_out: Way | None) -> Part:
        """Nothing goes from the machine itself to a room, or to it."""
        if isinstance(way_in, Interface) and isinstance(way_out, Run):
            return self.into_room(family, way_in, way_out)
        if isinstance(way_in, Run) and isinstance(way_out, Interface):
            return self.out_of_room(family, way_in, way_out)
        if isinstance(way_in, Run) and isinstance(way_out, Run):
            return self.between_rooms(family, way_in, way_out)
        return Part(())

    @cache  # noqa: B019  a meaning lives as long as the program
    def incoming(self, family: Family, interface: Interface) -> Part:
        """What arrives by an interface and is for this machine."""
        allowed = self._arriving(family, interface, None)
        denied = self._denied_arriving(family, interface)
        unasked = tuple(self._unasked(family, interface))
        own = self.homes.own(interface, family)
        return Part(
            tuple(allowed), tuple(denied), unasked, self.hearing.logged(family, interface, own)
        )

    def _arriving(self, family: Family, interface: Interface, room: Run | None) -> list[Box]:
        """What entries let arrive by an interface, for a room or for the machine itself."""
        own = self.homes.own(interface, family)
        return [
            Box(form, peers, own, entry.key, answer)
            for entry in self._entries_of(room, interface)
            for peers in [self.homes.peers(entry.peers, interface, family)]
            for answer in [entry.direction is Direction.OUTPUT]
            for form in arriving(entry.services, family, entry.clients, answer=answer)
        ]

    def _entries_of(self, room: Run | None, interface: Interface) -> Iterable[Entry]:
        """The entries about a room, or about the machine itself, that an interface is in."""
        return (
            entry
            for entry in self.policy.entries
            if entry.direction is not Direction.FORWARD
            and entry.room == room
            and interface in entry.interfaces
        )

    def _denied_arriving(self, family: Family, interface: Interface) -> Iterator[Box]:
        """What may not arrive by an interface for this machine, nor for a room of it."""
        for deny in self.policy.denies:
            if interface in deny.interfaces and deny.user is None:
                for peers, answer in self._denied_here(deny, family):
                    for form in passing(deny.services, family, ANY_PORT, answer=answer):
                        yield Box(form, peers, self._everything[family], deny.key, answer)

    def _unasked(self, family: Family, interface: Interface) -> Iterator[Box]:
        """ARP and what IPv6 needs of ICMPv6, which come in whatever the entries say."""
        if family is Family.V4:
            ours = AddressSet.of(family, (a.ip for i in self.policy.interfaces
                                          for a in i.addresses))  # fmt: skip
            kept = AddressSet.of(family, room_addresses.prefixes(self.policy, family))
            for address in interface.own(family):
                link = AddressSet.of(family, [address.network]) - ours - kept
                here = AddressSet.of(family, [address.ip])
                yield Box(Form(ARP), link, here, "ARP")
        elif interface.speaks(family):
            near = AddressSet.of(family, (LINK_LOCAL, UNSPECIFIED_6))
            here = AddressSet.of(family, (LINK_LOCAL, SOLICITED_NODE))
            sources = self.homes.behind(interface, family) | near
            destinations = self.homes.own(interface, family) | here
            yield Box(Form(Protocol.ICMPV6), sources, destinations, "neighbour discovery, path MTU")
            if family in interface.asks:
                routers = AddressSet.of(family, [LINK_LOCAL])
                everybody = AddressSet.of(family, [ALL_NODES])
                yield Box(Form(Protocol.ICMPV6), routers, everybody, "router advertisements")

    def outgoing(self, family: Family, interface: Interface) -> Part:
        """What is sent from here and leaves by an interface."""
        own = self.homes.own(interface, family)
        anyone = self._everything[family]
        allowed = [
            Box(form, own, peers, entry.key, answer, uid)
            for entry in self._entries_of(None, interface)
            for peers in [self.homes.peers(entry.peers, interface, family)]
            for answer in [entry.direction is Direction.INPUT]
            for form, uid in leaving(entry, family, answer=answer)
        ]
        denied = [
            Box(form, anyone, peers, deny.key, not asked, deny.user.uid if deny.user else None)
            for deny in self.policy.denies
            if interface in deny.interfaces
            for peers, asked in self._denied_here(deny, family)
            for form in refused(deny.services, family, answer=not asked)
        ]
        if self.policy.logs:
            word = icmp(family, PROHIBITED[family])
            denied += [Box(word, anyone, anyone, "log", answer, ROOT) for answer in (False, True)]
        always = (*self._asking(family, interface), *self._told(family, interface))
        return Part(tuple(allowed), tuple(denied), always)

    def _asking(self, family: Family, interface: Interface) -> Iterator[Box]:
        """What asks for an address, no source chosen for it: by DHCP where there is none yet, and
        anybody beyond this machine may be the server; all routers of the link at any time.
        """
        nobody = AddressSet(family)
        if family is Family.V4 and interface.waits(family):
            form = Form(Protocol.UDP, (DHCP_CLIENT,), (DHCP_SERVER,))
            yield Box(form, nobody, self.homes.servers(interface), "DHCP", uid=ROOT)
        if family is Family.V6 and family in interface.asks:
            routers = AddressSet.of(family, [ALL_ROUTERS])
            form = icmp(family, ROUTER_SOLICITATION)
            yield Box(form, nobody, routers, "router solicitation", uid=ROOT)

    def into_room(self, family: Family, interface: Interface, room: Run) -> Part:
        """What arrives by an interface and is for the program in a room."""
        allowed = self._arriving(family, interface, room)
        denied = self._denied_arriving(family, interface) if allowed else ()
        return Part(tuple(allowed), tuple(denied))

    def out_of_room(self, family: Family, room: Run, interface: Interface) -> Part:
        """What the program in a room sends and leaves by an interface."""
        own, anyone = self.homes.own(interface, family), self._everything[family]
        allowed = [
            Box(form, own, peers, entry.key, answer)
            for entry in self._entries_of(room, interface)
            for peers in [self.homes.peers(entry.peers, interface, family)]
            for answer in [entry.direction is Direction.INPUT]
            for form in departing(entry.services, family, room.clients, answer=answer)
        ]
        denied = [
            Box(form, anyone, peers, deny.key, not asked)
            for deny in (self.policy.denies if allowed else ())
            if interface in deny.interfaces and deny.user is None
            for peers, asked in self._denied_here(deny, family)
            for form in passing(deny.services, family, ANY_PORT, answer=not asked)
        ]
        return Part(tuple(allowed), tuple(denied))

    def between_rooms(self, family: Family, asking: Run, asked: Run) -> Part:
        """What the program in one room sends to the one in another."""
        ends = self.homes.inside(asking, family), self.homes.inside(asked, family)
        allowed = [
            Box(form, *ends, between.key, answer)
            for between in self.policy.betweens
            for answer in (False, True)
            if (between.asking, between.asked) == ((asked, asking) if answer else (asking, asked))
            for form in departing(between.services, family, between.asking.clients, answer=False)
            for form in [form.turned if answer else form]
        ]
        return Part(tuple(allowed))

    def _denied_here(self, deny: Deny, family: Family) -> Iterator[tuple[AddressSet, bool]]:
        """Those who may not open an exchange with this machine; those with whom it may not, whose
        packets that arrive are answers.
        """
        anyone = self._everything[family]
        if deny.destinations is None:
            yield deny.sources.of(family) if deny.sources else anyone, False
        if deny.sources is None:
            yield deny.destinations.of(family) if deny.destinations else anyone, True

    def _told(self, family: Family, interface: Interface) -> Iterator[Box]:
        """What the kernel says to those whose packets it passes on, or is told to reject."""
        if not self._passes_on(family):
            return
        own, anyone = self.homes.own(interface, family), self._everything[family]
        for entry in self.policy.entries:
            if entry.direction is not Direction.FORWARD:
                continue
            ends = ((entry.sources, entry.interfaces), (entry.destinations, entry.ways_out))
            for end, ways in ends:
                if interface in ways:
                    peers = self.homes.peers(end, interface, family)
                    yield Box(icmp(family, TOO_BIG[family]), own, peers, entry.key, uid=ROOT)
        for deny in self.policy.denies:
            if deny.reject and deny.user is None:
                asking = deny.sources.of(family) if deny.sources else anyone
                peers = asking & self.homes.behind(interface, family)
                yield Box(icmp(family, PROHIBITED[family]), own, peers, deny.key, uid=ROOT)

    def _passes_on(self, family: Family) -> bool:
        """Whether an entry lets anything pass through in a family."""
        ways = permutations(self.policy.interfaces, 2)
        parts = (self.forwarded(family, way_in, way_out) for way_in, way_out in ways)
        return any(box.sources and box.destinations for part in parts for box in part.allowed)

    def forwarded(self, family: Family, way_in: Interface, way_out: Interface) -> Part:
        """What arrives by one interface and leaves by another."""
        allowed = []
        for entry in self.policy.entries:
            if entry.direction is not Direction.FORWARD:
                continue
            for answer, first, last in ((False, way_in, way_out), (True, way_out, way_in)):
                if first not in entry.interfaces or last not in entry.ways_out:
                    continue
                asking = self.homes.peers(entry.sources, first, family)
                asked = self.homes.peers(entry.destinations, last, family)
                ends = (asked, asking) if answer else (asking, asked)
                allowed += [
                    Box(form, *ends, entry.key, answer)
                    for form in passing(entry.services, family, (entry.clients,), answer=answer)
                ]
        denied = []
        for deny in self.policy.denies:
            near = way_in in deny.interfaces or way_out in deny.interfaces
            if not near or deny.user is not None:
                continue
            asking, asked = (
                end.of(family) if end else self._everything[family]
                for end in (deny.sources, deny.destinations)
            )
            for answer, ends in ((False, (asking, asked)), (True, (asked, asking))):
                told = deny.reject and not answer
                denied += [
                    Box(form, *ends, deny.key, answer, reject=told)
                    for form in passing(deny.services, family, ANY_PORT, answer=answer)
                ]
        there = self.homes.behind(way_out, family)
        return Part(
            tuple(allowed), tuple(denied), logged=self.hearing.logged(family, way_in, there)
        )

    def here(self, family: Family) -> AddressSet:
        """What is sent here stays here: loopback and our own addresses."""
        return self.homes.ours(family) | AddressSet.of(family, [LOOPBACK_PREFIX[family]])
