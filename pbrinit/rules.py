"""The rules of one address family, from the entries of the policy.

In: a `Policy` and a `Family`.  Out: `Rule` values with their preferences.  Each method of
`FamilyRules` makes one band; docs/how-it-filters.md tells why each is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network

from pbrinit import entries
from pbrinit.addresses import Family, Prefix
from pbrinit.entries import ROOT, Leaving, Way
from pbrinit.layout import (
    DISPATCH,
    INPUT,
    INPUT_ALLOWED,
    INPUT_REFUSED,
    INPUT_SIZE,
    LOOPBACK,
    OUTPUT,
    OUTPUT_ANSWERS,
    OUTPUT_ASKS,
    OUTPUT_REFUSED,
    OUTPUT_RETURNS,
    TABLE_BY,
    TABLE_HAIRPIN,
    TABLE_SINK,
    TAIL,
    host,
    place,
)
from pbrinit.plan import TABLE_LOCAL, TABLE_MAIN, Action, Rule
from pbrinit.policy import Entry, Interface, Policy, Protocol

EVERY_PROTOCOL = range(1, 256)
"""All that a rule can name: `ipproto 0` means any, which leaves 0 to ARP's look-ups."""

COMMON_FIRST = (Protocol.TCP, Protocol.UDP, Protocol.ICMP)
UNSPECIFIED_4 = IPv4Network("0.0.0.0/32")
UNSPECIFIED_6 = IPv6Network("::/128")
LINK_LOCAL = IPv6Network("fe80::/10")
MAPPED = IPv6Network("::ffff:0:0/96")
SOLICITED_NODE = IPv6Network("ff02::1:ff00:0/104")
EVERY_SOURCE_6 = (IPv6Network("::/1"), IPv6Network("8000::/1"))
LOOPBACK_PREFIX = {Family.V4: IPv4Network("127.0.0.0/8"), Family.V6: IPv6Network("::1/128")}


class FamilyRules:
    """The rules of one address family. Each method yields rules whose preference is set
    by the band that they are placed in.
    """

    def __init__(self, policy: Policy, family: Family) -> None:
        self._policy = policy
        self._family = family
        self._interfaces = policy.interfaces
        self._own = tuple(
            host(address) for interface in self._interfaces for address in interface.own(family)
        )

    def rules(self) -> Iterator[Rule]:
        """Every rule of the family, lowest preference first, and the bands in their order."""
        yield from place("the dispatch", DISPATCH + 1, OUTPUT, self._dispatch())
        yield from place("the head of output", OUTPUT, OUTPUT_ASKS, self._output_head())
        yield from place("output", OUTPUT_ASKS, OUTPUT_ANSWERS, self._asks())
        yield from place("the answers", OUTPUT_ANSWERS, OUTPUT_RETURNS, self._answers())
        yield from place("the return path", OUTPUT_RETURNS, OUTPUT_REFUSED, self._returns())
        yield from place("the end of output", OUTPUT_REFUSED, INPUT, self._output_refused())
        for number, interface in enumerate(self._interfaces):
            name, first = interface.name, INPUT + number * INPUT_SIZE
            allowed, refused = first + INPUT_ALLOWED, first + INPUT_REFUSED
            head = self._input_head(interface, allowed)
            yield from place(f"the head of {name}", first, allowed, head)
            yield from place(f"input by {name}", allowed, refused, self._input_allowed(interface))
            end = self._input_refused()
            yield from place(f"the end of {name}", refused, first + INPUT_SIZE, end)
        if self._family is Family.V4:
            yield from place("the tail", TAIL, TAIL + INPUT_SIZE, self._tail())

    def _rule(self, action: Action, argument: int | None = None, **selectors: object) -> Rule:
        return replace(Rule(self._family, 0, action, argument), **selectors)  # type: ignore[arg-type]

    def _dispatch(self) -> Iterator[Rule]:
        yield self._rule(Action.GOTO, OUTPUT, iif=LOOPBACK, note="sent from here")
        for number, interface in enumerate(self._interfaces):
            yield self._rule(
                Action.GOTO,
                INPUT + number * INPUT_SIZE,
                iif=interface.device,
                note=f"arrives by {interface.name}",
            )
        yield self._rule(Action.BLACKHOLE, note="arrives by a device without a name")

    def _output_head(self) -> Iterator[Rule]:
        """Loopback and ourselves; then the source, which must be our own or still to come.

        IPv4 looks up with source 0 where the socket is not bound. IPv6 then matches no
        rule with a source at all (fib6_rule_match), so the foreign ones are named.
        """
        yield self._rule(Action.NOP, note="output")
        for destination in (LOOPBACK_PREFIX[self._family], *self._own):
            yield self._rule(
                Action.LOOKUP, TABLE_LOCAL, iif=LOOPBACK, destination=destination, note="ourselves"
            )
        for source in self._own:
            yield self._rule(Action.GOTO, OUTPUT_ASKS, source=source, note="from ourselves")
        if self._family is Family.V4:
            yield self._rule(
                Action.GOTO, OUTPUT_ASKS, source=UNSPECIFIED_4, note="source not chosen yet"
            )
            yield self._rule(Action.GOTO, OUTPUT_REFUSED, note="from a foreign source")
        else:
            for source in EVERY_SOURCE_6:
                yield self._rule(
                    Action.GOTO, OUTPUT_REFUSED, source=source, note="from a foreign source"
                )

    def _asks(self) -> Iterator[Rule]:
        yield self._rule(Action.NOP, note="what programs ask for")
        yield from self._leaving(entries.asks)

    def _answers(self) -> Iterator[Rule]:
        yield self._rule(Action.NOP, note="answers")
        yield from self._leaving(entries.answers)

    def _returns(self) -> Iterator[Rule]:
        yield self._rule(Action.NOP, note="what only the return path may find")
        yield from self._leaving(entries.returns)

    def _leaving(self, part: Callable[[Entry, Family], Iterator[Leaving]]) -> Iterator[Rule]:
        """The rules for one part of every entry, by each way that the entry's interfaces
        make: a table, and the addresses that are our own there.
        """
        for entry in self._policy.entries:
            for leaving in part(entry, self._family):
                for (action, argument), own in self._ways(entry, leaving.way):
                    for source in own if leaving.from_own else (None,):
                        yield self._rule(
                            action,
                            argument,
                            iif=LOOPBACK,
                            source=source,
                            destination=leaving.peer,
                            protocol=leaving.protocol,
                            source_ports=leaving.own_ports,
                            destination_ports=leaving.peer_ports,
                            uid=leaving.uid,
                            note=entry.key,
                        )

    def _ways(
        self, entry: Entry, way: Way
    ) -> Iterator[tuple[tuple[Action, int], tuple[Prefix, ...]]]:
        spoken = [i for i in entry.interfaces if i.own(self._family)]
        own = tuple(host(a) for interface in spoken for a in interface.own(self._family))
        if not spoken:
            return
        if way is Way.REFUSED:
            yield (Action.GOTO, OUTPUT_REFUSED), own
        elif way is Way.SINK:
            yield (Action.LOOKUP, TABLE_SINK), own
        elif len(entry.interfaces) == len(self._interfaces):
            yield (Action.LOOKUP, TABLE_MAIN), own
        else:
            for interface in spoken:
                table = TABLE_BY + self._interfaces.index(interface)
                here = tuple(host(a) for a in interface.own(self._family))
                yield (Action.LOOKUP, table), here

    def _output_refused(self) -> Iterator[Rule]:
        """IPv4 sends a bound socket's packet on link where the look-up fails
        (ip_route_output_key_hash_rcu), so there it must succeed and lead back here.

        Root in IPv4 goes through the tail, where ARP's return path is let through.
        """
        yield self._rule(Action.NOP, note="refused")
        if self._family is Family.V4:
            for number, interface in enumerate(self._interfaces):
                yield self._rule(
                    Action.LOOKUP,
                    TABLE_HAIRPIN + number,
                    iif=LOOPBACK,
                    oif=interface.device,
                    note="from a bound socket",
                )
            for protocol in COMMON_FIRST:
                yield self._rule(Action.PROHIBIT, iif=LOOPBACK, protocol=protocol, note="refused")
            yield self._rule(Action.GOTO, TAIL, iif=LOOPBACK, uid=ROOT, note="perhaps ARP's")
        yield self._rule(Action.PROHIBIT, iif=LOOPBACK, note="refused")

    def _input_head(self, interface: Interface, allowed: int) -> Iterator[Rule]:
        """Nobody else has our address, nor one that lives behind another interface; by an
        interface without a gateway come only addresses of its own prefixes.
        """
        family = self._family
        yield self._rule(Action.NOP, note=f"input by {interface.name}")
        for source in self._own:
            yield self._rule(Action.BLACKHOLE, source=source, note="forged: our own address")
        if family is Family.V6:
            yield self._rule(Action.BLACKHOLE, source=MAPPED, note="forged: IPv4 in IPv6's clothes")
        mine = tuple(dict.fromkeys(a.network for a in interface.own(family)))
        if interface.gateway(family) is None:
            link_scope = (LINK_LOCAL, UNSPECIFIED_6) if family is Family.V6 and mine else ()
            for source in (*mine, *link_scope):
                yield self._rule(Action.GOTO, allowed, source=source, note="of this link")
            yield self._rule(Action.BLACKHOLE, note="forged: not of this link")
            return
        for other in self._interfaces:
            if other is not interface:
                for network in dict.fromkeys(a.network for a in other.own(family)):
                    yield self._rule(
                        Action.BLACKHOLE, source=network, note=f"forged: lives behind {other.name}"
                    )

    def _input_allowed(self, interface: Interface) -> Iterator[Rule]:
        yield self._rule(Action.NOP, note=f"allowed by {interface.name}")
        own = tuple(host(address) for address in interface.own(self._family))
        if self._family is Family.V6 and own:
            for destination in (*own, SOLICITED_NODE, LINK_LOCAL):
                yield self._rule(
                    Action.LOOKUP,
                    TABLE_LOCAL,
                    iif=interface.device,
                    destination=destination,
                    protocol=Protocol.ICMPV6,
                    note="neighbour discovery, path MTU",
                )
        for entry in self._policy.entries:
            if interface not in entry.interfaces:
                continue
            for arriving in entries.heard(entry, self._family):
                for destination in own:
                    yield self._rule(
                        Action.LOOKUP,
                        TABLE_LOCAL,
                        iif=interface.device,
                        source=arriving.peer,
                        destination=destination,
                        protocol=arriving.protocol,
                        source_ports=arriving.peer_ports,
                        destination_ports=arriving.own_ports,
                        note=entry.key,
                    )

    def _input_refused(self) -> Iterator[Rule]:
        if self._family is Family.V4:
            yield self._rule(Action.GOTO, TAIL, note="perhaps ARP")
        else:
            yield self._rule(Action.BLACKHOLE, note="not allowed")

    def _tail(self) -> Iterator[Rule]:
        """Every protocol is refused by its number, the common ones first, so that what is
        left is ARP: arp_process looks up with protocol 0, which no rule can name.
        """
        yield self._rule(Action.NOP, note="every protocol that has a number")
        others = (p for p in EVERY_PROTOCOL if p not in COMMON_FIRST)
        for protocol in (*COMMON_FIRST, *others):
            yield self._rule(Action.BLACKHOLE, protocol=protocol, note="not allowed")
        for interface in self._interfaces:
            for address in interface.own(self._family):
                yield self._rule(
                    Action.LOOKUP,
                    TABLE_MAIN,
                    iif=LOOPBACK,
                    source=host(address),
                    destination=address.network,
                    uid=ROOT,
                    note="ARP's return path",
                )
                yield self._rule(
                    Action.LOOKUP,
                    TABLE_LOCAL,
                    iif=interface.device,
                    source=address.network,
                    destination=host(address),
                    note="ARP",
                )
        yield self._rule(Action.BLACKHOLE, note="nothing is left")
