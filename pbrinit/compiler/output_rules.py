"""The band of output: what is sent from here, and what the return path check asks.

In: the `Ground` of one family.  Out: rules in an `Assembly`,
from the label OUTPUT on.  docs/how-it-filters.md tells why each is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Network
from typing import Any

from pbrinit.compiler.assembler import Assembly, Label
from pbrinit.compiler.context import Ground
from pbrinit.compiler.emit import Choice, among, by_protocol, to_table
from pbrinit.compiler.flowspec import Claim, Role, keys
from pbrinit.compiler.layout import FEW, TABLE_DHCP, TABLE_LOG, TABLE_ROUTERS, TABLE_SINK
from pbrinit.compiler.links import hairpins
from pbrinit.compiler.port_tree import NAMING, Side
from pbrinit.compiler.prefix_cover import pieces
from pbrinit.compiler.set_tables import Use
from pbrinit.net.addresses import AddressSet, Family, Prefix, holds, host
from pbrinit.net.icmp import PROHIBITED, PROTOCOL, ROUTER_SOLICITATION
from pbrinit.net.services import DHCP_CLIENT, DHCP_SERVER, Protocol
from pbrinit.net.special_addresses import ALL_ROUTERS, LOOPBACK_PREFIX, UNSPECIFIED_4
from pbrinit.plan.plan import LOOPBACK, TABLE_LOCAL, TABLE_MAIN, Action
from pbrinit.policy.programs import ROOT

COMMON_FIRST = (Protocol.TCP, Protocol.UDP, Protocol.ICMP)
EVERY_SOURCE_6 = (IPv6Network("::/1"), IPv6Network("8000::/1"))


@dataclass(frozen=True)
class _Leaf:
    """Whom each user may send to, None being all users that are not named; and whose packets may
    arrive although root may not send to them.
    """

    allowed: tuple[tuple[int | None, AddressSet], ...]
    sink: AddressSet
    keys: str
    denied: str


class Output:
    """Writes the band."""

    def __init__(self, code: Assembly, ground: Ground) -> None:
        self._code = code
        self._policy = ground.policy
        self._places = ground.places
        self._claims = tuple(ground.claims.leaving())
        self._tables = ground.tables
        self._family = ground.family
        self._asks = Label("what is sent")
        self._refused = Label("refused")

    def write(self, tail: Label) -> None:
        """All of the band; ARP's return path goes to `tail`."""
        self._head()
        code = self._code
        code.mark(self._asks)
        code.add(Action.NOP, note="what is sent from here")

        def unnamed() -> None:
            code.goto(self._refused, note="nothing of this protocol")

        by_protocol(code, self._claims, self._leaf, self._write_leaf, unnamed, within="sent",
                    first=Side.SOURCE, iif=LOOPBACK, note="what is sent from here")  # fmt: skip
        self._end(tail)

    def _head(self) -> None:
        """Loopback and ourselves; what is nobody's address; then the source, our own by the way to
        the destination, or still to come.

        IPv4 looks up with source 0 where the socket is not bound. IPv6 then matches no
        rule with a source at all (fib6_rule_match), so the foreign ones are named.
        """
        code, places, family = self._code, self._places, self._family
        code.add(Action.NOP, note="output")
        own = [host(a) for i in places.interfaces for a in i.own(family)]
        self._about_ourselves(own)
        for destination in (LOOPBACK_PREFIX[family], *own):
            code.add(Action.LOOKUP, TABLE_LOCAL, iif=LOOPBACK, destination=destination,
                     note="ourselves")  # fmt: skip
        self._routers()
        # Our own again: a socket bound to another device does not find them (fib_lookup_good_nhc).
        for destination in (*own, *places.nobody, *places.broadcasts):
            code.goto(self._refused, destination=destination, note="no one host's address")
        self._other_links()
        self._waiting()
        for interface in places.interfaces:
            here = {address: host(address) for address in interface.own(family)}
            for source in here.values():
                for destination, owner in places.told_apart(interface):
                    if owner is interface:
                        code.goto(self._asks, source=source, destination=destination,
                                  note="from ourselves")  # fmt: skip
                    else:
                        code.goto(self._refused, source=source, destination=destination,
                                  note="another interface's link has another source")  # fmt: skip
                if interface.gateway(family) is not None:
                    code.goto(self._asks, source=source, note="from ourselves")
        if family is Family.V4:
            code.goto(self._asks, source=UNSPECIFIED_4, note="source not chosen yet")
            code.goto(self._refused, note="from a foreign source")
        else:
            for source in EVERY_SOURCE_6:
                code.goto(self._refused, source=source, note="from a foreign source")

    def _other_links(self) -> None:
        """A socket that is bound to a device passes over the routes by others (fib_lookup_good_nhc,
        rt6_score_route), and would find a wider one: the gateway's, or one around their prefixes.
        """
        code = self._code
        for interface in self._places.interfaces:
            apart = self._places.told_apart(interface)
            ours = Label(f"a bound socket's, by {interface.name}")
            for destination, owner in apart:
                if owner is not interface:
                    code.goto(self._refused, iif=LOOPBACK, oif=interface.device,
                              destination=destination,
                              note=f"a bound socket's, to the link of {owner.name}")  # fmt: skip
                elif any(o is not interface and holds(p, destination) for p, o in apart):
                    code.goto(ours, iif=LOOPBACK, oif=interface.device, destination=destination,
                              note=f"a bound socket's, to the link of {owner.name}")  # fmt: skip
            code.mark(ours)

    def _waiting(self) -> None:
        """What asks for an address leaves without a look-up, to everybody. The return path of the
        answer, which comes to everybody, is asked for without a source, as root, to the server.
        """
        family = self._family
        if family is not Family.V4 or not any(i.waits(family) for i in self._policy.interfaces):
            return
        shape: dict[str, Any] = {
            "iif": LOOPBACK, "source": UNSPECIFIED_4, "protocol": Protocol.UDP,
            "source_ports": DHCP_CLIENT, "destination_ports": DHCP_SERVER, "uid": ROOT,
        }  # fmt: skip
        for prefix, _ in self._places.prefixes:
            self._code.goto(self._asks, destination=prefix, note="not by another's link", **shape)
        self._code.add(Action.LOOKUP, TABLE_DHCP, note="an address is asked for", **shape)

    def _routers(self) -> None:
        """What asks all routers of a link: of a source that is not chosen, so that no rule with a
        source is about it (fib6_rule_match).
        """
        family = self._family
        if family is not Family.V6 or not any(family in i.asks for i in self._policy.interfaces):
            return
        (kind,) = ROUTER_SOLICITATION.ports
        for source in EVERY_SOURCE_6:
            self._code.goto(self._refused, source=source, destination=ALL_ROUTERS,
                            note="routers are asked without a source")  # fmt: skip
        self._code.add(Action.LOOKUP, TABLE_ROUTERS, iif=LOOPBACK, destination=ALL_ROUTERS,
                       protocol=Protocol.ICMPV6, destination_ports=kind, uid=ROOT,
                       note="a router is asked for")  # fmt: skip

    def _leaf(self, claims: tuple[Claim, ...]) -> _Leaf:
        family = self._family
        telling = [c for c in claims if c.role in NAMING and c.destinations]
        if not telling:
            return _Leaf(((None, AddressSet(family)),), AddressSet(family), "", "")
        users = sorted({ROOT, *(claim.uid for claim in claims if claim.uid is not None)})

        def total(role: Role, uid: int | None, answer: bool) -> AddressSet:
            found = AddressSet(family)
            for claim in claims:
                if claim.role is role and claim.uid in (None, uid) and claim.answer is answer:
                    found = found | claim.destinations
            return found

        def left(given: Role, denied: Role, uid: int | None) -> AddressSet:
            asks, answers = (total(given, uid, a) - total(denied, uid, a) for a in (False, True))
            return asks | answers

        allowed = {
            uid: left(Role.ALLOW, Role.DENY, uid) | total(Role.TOLD, uid, answer=False)
            for uid in (*users, None)
        }
        heard = left(Role.HEARD, Role.NOT_HEARD, ROOT)
        sink = heard - allowed[ROOT]
        chosen = {uid: found for uid, found in allowed.items()
                  if uid is None or found != allowed[None] or (uid == ROOT and sink)}  # fmt: skip
        denying = [
            c for c in claims if c.role is Role.DENY
            and c.destinations & total(Role.ALLOW, c.uid, c.answer)
        ]  # fmt: skip
        return _Leaf(tuple(chosen.items()), sink, keys(telling), keys(denying))

    def _write_leaf(self, leaf: _Leaf) -> None:
        code = self._code
        anybody = dict(leaf.allowed)[None]
        for uid, allowed in leaf.allowed:
            if uid == ROOT and leaf.sink:
                sink = Label("what only the return path may find")
                self._allow(allowed, uid, leaf, sink)
                code.mark(sink)
                self._write_sink(leaf)
            else:
                self._allow(allowed, uid, leaf, self._refused)
            if uid is not None and anybody:
                code.goto(self._refused, uid=uid, note=leaf.denied or "another user's")
        code.goto(self._refused, note=leaf.denied or "refused")

    def _allow(self, allowed: AddressSet, uid: int | None, leaf: _Leaf, otherwise: Label) -> None:
        """Send by the table main, or by one of the set's own.

        A strict look-up of IPv6 passes over routes that have no device (rt6_score_route), and
        so over what is left out of a set: a socket that is bound to a device is refused there.
        """
        code = self._code
        found = pieces(allowed, self._places.everybody)
        if len(found) <= FEW:
            choice = self._choice(TABLE_MAIN, leaf, otherwise)
            among(code, found, "destination", choice, iif=LOOPBACK, uid=uid)
            return
        if self._family is Family.V6 and not all(piece.yes for piece in found):
            for interface in self._policy.interfaces:
                code.goto(self._refused, iif=LOOPBACK, oif=interface.device, uid=uid,
                          note="a bound socket passes over what the set leaves out")  # fmt: skip
        table = self._tables.table(Use.TOWARDS, self._places, allowed, self._places.everybody)
        code.add(Action.LOOKUP, table, iif=LOOPBACK, uid=uid, note=leaf.keys)

    def _write_sink(self, leaf: _Leaf) -> None:
        """What only the return path may find: it is led into lo, so that it opens nothing to root.

        A packet to everybody is asked about without an own address, and finds nothing here.
        """
        code = self._code
        code.goto(self._refused, source=UNSPECIFIED_4, uid=ROOT, note="not to everybody")
        found = pieces(leaf.sink, self._places.everybody)
        if len(found) <= FEW:
            choice = self._choice(TABLE_SINK, leaf, self._refused)
            among(code, found, "destination", choice, iif=LOOPBACK, uid=ROOT)
            return
        table = self._tables.table(Use.SINK, self._places, leaf.sink, self._places.everybody)
        code.add(Action.LOOKUP, table, iif=LOOPBACK, uid=ROOT, note=leaf.keys)

    def _choice(self, table: int, leaf: _Leaf, otherwise: Label) -> Choice:
        return Choice(to_table(self._code, table), otherwise, leaf.keys, leaf.denied)

    def _about_ourselves(self, own: list[Prefix]) -> None:
        """What the kernel says about who claims to be us goes to our own address, where our sockets
        would take it for an error of theirs. Of IPv6 `arrival` has it say nothing.
        """
        for destination in own if self._policy.log and self._family is Family.V4 else ():
            self._to_the_log("who claims to be us, told to the log alone", destination=destination)

    def _to_the_log(self, note: str, **selectors: Any) -> None:
        """The kernel's word about who was refused."""
        (ports,) = PROHIBITED[self._family].ports
        self._code.add(Action.LOOKUP, TABLE_LOG, iif=LOOPBACK, uid=ROOT,
                       protocol=PROTOCOL[self._family], destination_ports=ports,
                       note=note, **selectors)  # fmt: skip

    def _end(self, tail: Label) -> None:
        """IPv4 sends a bound socket's packet on link where the look-up fails
        (ip_route_output_key_hash_rcu), so there it must succeed and lead back here.

        Root in IPv4 goes through the tail, where ARP's return path is let through.
        """
        code = self._code
        code.mark(self._refused)
        code.add(Action.NOP, note="refused")
        if self._policy.logs:
            self._to_the_log("who was refused, told to ourselves")
        if self._family is Family.V4:
            for device, table in hairpins(self._policy):
                code.add(Action.LOOKUP, table, iif=LOOPBACK, oif=device,
                         note="from a bound socket")  # fmt: skip
            for protocol in COMMON_FIRST:
                code.add(Action.PROHIBIT, iif=LOOPBACK, protocol=protocol, note="refused")
            code.goto(tail, iif=LOOPBACK, uid=ROOT, note="perhaps ARP's")
        code.add(Action.PROHIBIT, iif=LOOPBACK, note="refused")
