"""What a policy means: docs/meaning.md as code, apart from how rules bring it about.

In: a `Policy`.  Out: `Meaning`, which has for each way of a packet (in, out, forward) the boxes
of packets that the entries allow, those that they deny, and those that no policy can do without.
It knows nothing of rules and tables, so that `prove` can hold a plan to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, cached_property
from ipaddress import IPv4Network, IPv6Network
from itertools import permutations

from pbrinit.addresses import Address, AddressSet, Family, Prefix
from pbrinit.boxes import Box, Part
from pbrinit.forms import (
    ANY_PORT,
    PROHIBITED,
    ROOT,
    TOO_BIG,
    Form,
    arriving,
    icmp,
    leaving,
    passing,
    refused,
)
from pbrinit.policy import Deny, Direction, Interface, Peers, Policy, Protocol

NOWHERE: dict[Family, tuple[Prefix, ...]] = {
    Family.V4: tuple(
        map(IPv4Network, ("0.0.0.0/32", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32"))
    ),
    Family.V6: tuple(
        map(IPv6Network, ("::/128", "::1/128", "::ffff:0:0/96", "fe80::/10", "ff00::/8"))
    ),
}
LOOPBACK: dict[Family, Prefix] = {
    Family.V4: IPv4Network("127.0.0.0/8"),
    Family.V6: IPv6Network("::1/128"),
}
LINK_LOCAL = IPv6Network("fe80::/10")
SOLICITED_NODE = IPv6Network("ff02::1:ff00:0/104")
UNSPECIFIED_6 = IPv6Network("::/128")
LONGEST_WITH_BROADCAST = 30
ARP = 0


class Meaning:
    """The packets that a policy lets pass."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._peers = cache(self._peers_behind)
        self._behind = cache(self._lives_behind)
        self._own = cache(self._own_addresses)
        self._everything = {family: AddressSet.everything(family) for family in Family}

    # Who lives where

    def own(self, interface: Interface, family: Family) -> AddressSet:
        """This machine's addresses on an interface."""
        return self._own(interface, family)

    def behind(self, interface: Interface, family: Family) -> AddressSet:
        """Those who live behind an interface."""
        return self._behind(interface, family)

    def _own_addresses(self, interface: Interface, family: Family) -> AddressSet:
        return AddressSet.of(family, (address.ip for address in interface.own(family)))

    def _lives_behind(self, interface: Interface, family: Family) -> AddressSet:
        if not interface.own(family):
            return AddressSet(family)
        near = AddressSet.of(family, (a.network for a in interface.own(family)))
        if interface.gateway(family) is not None:
            others = [i for i in self.policy.interfaces if i is not interface]
            near = ~AddressSet.of(family, (a.network for i in others for a in i.own(family)))
        return near - self._nowhere[family]

    @cached_property
    def _nowhere(self) -> dict[Family, AddressSet]:
        """Those who live behind no interface."""
        addresses = [a for interface in self.policy.interfaces for a in interface.addresses]
        ours: list[Prefix | Address] = [address.ip for address in addresses]
        ours += [
            a.network.broadcast_address
            for a in addresses
            if a.version == Family.V4.version and a.network.prefixlen <= LONGEST_WITH_BROADCAST
        ]
        return {family: AddressSet.of(family, [*ours, *NOWHERE[family]]) for family in Family}

    def _peers_behind(self, peers: Peers, interface: Interface, family: Family) -> AddressSet:
        return peers.of(family) & self.behind(interface, family)

    # The three ways

    def part(self, family: Family, way_in: Interface | None, way_out: Interface | None) -> Part:
        """What passes on one path; without a way in what is sent, without a way out what is
        for this machine. One of the two there is.
        """
        if way_in is None:
            return self.outgoing(family, way_out) if way_out is not None else Part(())
        if way_out is None:
            return self.incoming(family, way_in)
        return self.forwarded(family, way_in, way_out)

    @cache  # noqa: B019  a meaning lives as long as the program
    def incoming(self, family: Family, interface: Interface) -> Part:
        """What arrives by an interface and is for this machine."""
        own = self.own(interface, family)
        anyone = self._everything[family]
        allowed = [
            Box(form, peers, own, entry.key, answer)
            for entry in self.policy.entries
            if entry.direction is not Direction.FORWARD and interface in entry.interfaces
            for peers in [self._peers(entry.peers, interface, family)]
            for answer in [entry.direction is Direction.OUTPUT]
            for form in arriving(entry.services, family, answer=answer)
        ]
        denied = [
            Box(form, peers, anyone, deny.key, answer)
            for deny in self.policy.denies
            if interface in deny.interfaces and deny.user is None
            for peers, answer in self._denied_here(deny, family)
            for form in passing(deny.services, family, ANY_PORT, answer=answer)
        ]
        return Part(tuple(allowed), tuple(denied), tuple(self._unasked(family, interface)))

    def _unasked(self, family: Family, interface: Interface) -> Iterator[Box]:
        """ARP and what IPv6 needs of ICMPv6, which come in whatever the entries say."""
        if family is Family.V4:
            ours = AddressSet.of(family, (a.ip for i in self.policy.interfaces
                                          for a in i.addresses))  # fmt: skip
            for address in interface.own(family):
                link = AddressSet.of(family, [address.network]) - ours
                here = AddressSet.of(family, [address.ip])
                yield Box(Form(ARP), link, here, "ARP")
        elif interface.own(family):
            near = AddressSet.of(family, (LINK_LOCAL, UNSPECIFIED_6))
            here = AddressSet.of(family, (LINK_LOCAL, SOLICITED_NODE))
            sources = self.behind(interface, family) | near
            destinations = self.own(interface, family) | here
            yield Box(Form(Protocol.ICMPV6), sources, destinations, "neighbour discovery, path MTU")

    def outgoing(self, family: Family, interface: Interface) -> Part:
        """What is sent from here and leaves by an interface."""
        own = self.own(interface, family)
        anyone = self._everything[family]
        allowed = [
            Box(form, own, peers, entry.key, answer, uid)
            for entry in self.policy.entries
            if entry.direction is not Direction.FORWARD and interface in entry.interfaces
            for peers in [self._peers(entry.peers, interface, family)]
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
        return Part(tuple(allowed), tuple(denied), tuple(self._told(family, interface)))

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
        own, anyone = self.own(interface, family), self._everything[family]
        for entry in self.policy.entries:
            if entry.direction is not Direction.FORWARD:
                continue
            ends = ((entry.sources, entry.interfaces), (entry.destinations, entry.ways_out))
            for end, ways in ends:
                if interface in ways:
                    peers = self._peers(end, interface, family)
                    yield Box(icmp(family, TOO_BIG[family]), own, peers, entry.key, uid=ROOT)
        for deny in self.policy.denies:
            if deny.reject and deny.user is None:
                asking = deny.sources.of(family) if deny.sources else anyone
                peers = asking & self.behind(interface, family)
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
                asking = self._peers(entry.sources, first, family)
                asked = self._peers(entry.destinations, last, family)
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
        return Part(tuple(allowed), tuple(denied))

    def here(self, family: Family) -> AddressSet:
        """What is sent here stays here: loopback and our own addresses."""
        own = (a.ip for interface in self.policy.interfaces for a in interface.addresses)
        return AddressSet.of(family, (*own, LOOPBACK[family]))
