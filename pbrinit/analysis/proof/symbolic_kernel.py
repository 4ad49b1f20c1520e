"""The model's steps for all packets at once: which look-ups are made, and what follows.

In: the `SymbolicRules` of one family, with variables for what a packet has.  Out: conditions, as z3
expressions, under which a packet is delivered, passed on or sent.  The counterpart of
`KernelModel`; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address

import z3

from pbrinit.analysis.address_classes import AddressClasses
from pbrinit.analysis.proof.symbolic_fib import SymbolicRules
from pbrinit.analysis.proof.terms import (
    NO_USER,
    PORT_BITS,
    UID_BITS,
    AddressClassVar,
    PacketVars,
    SymbolicFlow,
    any_of,
    failed,
)
from pbrinit.net.addresses import AddressSet, Family
from pbrinit.net.martians import UNSPECIFIED
from pbrinit.net.packet import WITH_PORTS, WITH_TYPES
from pbrinit.net.special_addresses import ARP, IGMP
from pbrinit.plan.plan import LOOPBACK, Plan, RouteType


class SymbolicKernel:
    """What the kernel does with packets of one family."""

    def __init__(
        self,
        plan: Plan,
        rules: SymbolicRules,
        classes: AddressClasses,
        special: dict[str, AddressSet],
        link_local: Mapping[str, IPv6Address],
    ) -> None:
        self.rules = rules
        self.family = classes.family
        self._plan = plan
        self._classes = classes
        self.special = {name: classes.mask(found) for name, found in special.items()}
        self._own = sum(
            1 << classes.number(a.ip)
            for link in plan.links
            for a in link.addresses
            if a.version == self.family.version
        )
        self._speak_six = {link.device for link in plan.links if link.has_ipv6}
        self._own_link_local = {
            device: 1 << classes.number(address)
            for device, address in link_local.items()
            if self.family is Family.V6
        }
        width = max(len(classes).bit_length(), 1)
        name = f"IPv{self.family.version}"
        self.packet = PacketVars(
            AddressClassVar(z3.BitVec(f"{name} source", width)),
            AddressClassVar(z3.BitVec(f"{name} destination", width)),
            z3.BitVec("source port", PORT_BITS),
            z3.BitVec("destination port", PORT_BITS),
            z3.BitVec("uid", UID_BITS),
        )

    @property
    def unchosen(self) -> int:
        """The class of a source still to be chosen: IPv4's 0.0.0.0, in IPv6 one of its own."""
        if self.family is Family.V6:
            return len(self._classes)
        return self._classes.number(UNSPECIFIED)

    def possible(self, protocol: int, *, outgoing: bool) -> list[z3.BoolRef]:
        """What holds of every packet of a protocol: its classes are there, and only TCP and UDP
        show ports on the way in; on the way out ICMP's type and code stand in one.
        """
        packet = self.packet
        last = len(self._classes) - 1
        sources = last + (outgoing and self.family is Family.V6)
        found = [
            z3.ULE(packet.source.value, sources),
            z3.ULE(packet.destination.value, last),
        ]
        if protocol not in WITH_PORTS:
            found.append(packet.source_port == 0)
            if not (outgoing and protocol in WITH_TYPES):
                found.append(packet.destination_port == 0)
        # (uid_t)-1 is nobody (include/linux/uidgid.h, uid_valid).
        found.append(packet.uid != NO_USER if outgoing else packet.uid == 0)
        return found

    def has(self, device: str) -> bool:
        """Whether a device has an address of the family."""
        return any(
            a.version == self.family.version
            for link in self._plan.links
            if link.device == device
            for a in link.addresses
        )

    # Arriving

    def input_flow(self, device: str, protocol: int) -> SymbolicFlow:
        """The input look-up. Where no rule asks for protocol and ports the kernel does not read
        them (`KernelModel`); IPv6 then has the protocol, but of a fragment.
        """
        packet = self.packet
        strict = self._strict(("group", "link-local"))
        if self.rules.dissects:
            ports = (packet.source_port, packet.destination_port)
            return SymbolicFlow(
                device, protocol, packet.source, packet.destination, *ports, strict=strict
            )
        seen = ARP if self.family is Family.V4 else protocol
        return SymbolicFlow(device, seen, packet.source, packet.destination, 0, 0, strict=strict)

    def return_path(self, asked: SymbolicFlow, own: AddressClassVar, iif: str) -> SymbolicFlow:
        """The return path's look-up for what arrives (__fib_validate_source)."""
        ports = (asked.destination_port, asked.source_port)
        return SymbolicFlow(iif, asked.protocol, own, asked.source, *ports)

    def nobody(self) -> AddressClassVar:
        """0.0.0.0, as which the return path is asked for what goes to all."""
        return AddressClassVar(self._classes.number(UNSPECIFIED))

    def reverse_path_ok(self, asked: SymbolicFlow, device: str) -> z3.BoolRef:
        """Whether the return path check is content (rp_filter 2)."""
        found = self.rules.look_up(asked)
        near = self.has(device)
        return self.rules.results.among(
            found, lambda r: r.type is RouteType.UNICAST and (near or r.device == device)
        )

    def dropped_early(self) -> z3.BoolRef:
        """What is dropped for its addresses alone (martians.py), but for what goes to all."""
        packet, special = self.packet, self.special
        if self.family is Family.V4:
            none = special["group"] | special["to all"] | special["loopback"]
            return any_of(
                (
                    packet.source.within(none | special["unspecified"]),
                    packet.destination.within(special["loopback"] | special["unspecified"]),
                )
            )
        strange = special["loopback"] | special["group"]
        return any_of(
            (
                packet.source.within(strange),
                packet.destination.within(special["loopback"] | special["no scope"]),
            )
        )

    def delivered(self, found: z3.BitVecRef) -> z3.BoolRef:
        """Whether the input look-up says "for us"."""
        among = self.rules.results.among
        if self.family is Family.V4:
            return among(found, lambda result: result.type is RouteType.LOCAL)
        ours = (RouteType.LOCAL, RouteType.ANYCAST)
        return among(found, lambda r: r.type in ours or (r.group and r.device != LOOPBACK))

    def accepts_family(self, device: str) -> bool:
        """Whether the family is on (`Link.has_ipv6`)."""
        return self.family is Family.V4 or device in self._speak_six

    @property
    def accepts_fragments(self) -> bool:
        """Whether IPv6 is on at all: where protocols are not read a fragment's is that of its
        header (`KernelModel`), which no obligation speaks of. IPv4 has none then, fragment or not.
        """
        return self.family is Family.V6 and bool(self._speak_six)

    def forwarded(self, found: z3.BitVecRef, device: str, egress: str, protocol: int) -> z3.BoolRef:
        """Whether the input look-up leads out by a device, and the machine passes on what came
        by the other: `ForwardPath`. Packets are taken to have hops left, and to fit.
        """
        if protocol == ARP or not self._plan.forwards_from(self.family, device):
            return z3.BoolVal(val=False)
        leads = self.rules.results.among(
            found, lambda r: r.type is RouteType.UNICAST and r.device == egress
        )
        if self.family is Family.V4:
            return leads
        source, stays = self.packet.source, self.packet.destination.within(self.special["group"])
        if egress != device:
            near = self.special["unspecified"] | self.special["link-local"]
            stays = z3.Or(source.within(near), stays)
        return z3.And(leads, z3.Not(stays))

    def sends_icmp_errors(self, device: str) -> bool:
        """Whether who sends by a device is told of a refusal: in IPv4 only where it is passed on
        what comes by it (ip_error, net/ipv4/route.c).
        """
        return self.accepts_family(device) and (
            self.family is Family.V6 or self._plan.forwards_from(self.family, device)
        )

    def foreign_link_local(self, device: str) -> z3.BoolRef:
        """Whether it goes to a link-local address that is not the device's."""
        if self.family is Family.V4:
            return z3.BoolVal(val=False)
        within, own = self.packet.destination.within, self._own_link_local.get(device, 0)
        return z3.And(within(self.special["link-local"]), z3.Not(within(own)))

    def to_all(self, found: z3.BitVecRef, protocol: int) -> z3.BoolRef:
        """Whether it goes to a group or to all, so that only the return path is asked, if
        anything (`KernelModel._everybody_4`).
        """
        if self.family is Family.V6:
            return z3.BoolVal(val=False)
        source, destination = self.packet.source, self.packet.destination
        unspecified = self.special["unspecified"]
        nobody = z3.And(source.within(unspecified), destination.within(unspecified))
        kinds = set() if protocol == ARP else {RouteType.BROADCAST}
        broadcast = self.rules.results.among(found, lambda result: result.type in kinds)
        everybody = destination.within(self.special["group"] | self.special["to all"])
        return z3.Or(everybody, nobody, broadcast)

    def dropped_early_to_all(self) -> z3.BoolRef:
        """What goes to all and is dropped for its addresses, or asked nothing: from 0.0.0.0."""
        special, source = self.special, self.packet.source
        strange = special["group"] | special["to all"] | special["unspecified"]
        loopback = z3.And(
            source.within(special["loopback"]),
            z3.Not(self.packet.destination.within(special["to all"])),
        )
        here = self.packet.destination.within(special["loopback"])
        return z3.Or(source.within(strange), loopback, here)

    # Leaving

    def output_flow(self, protocol: int, oif: str | None) -> SymbolicFlow:
        """The look-up of a packet that is sent from here, its socket bound to a device or not."""
        packet = self.packet
        return SymbolicFlow(
            LOOPBACK,
            protocol,
            packet.source,
            packet.destination,
            packet.source_port,
            packet.destination_port,
            packet.uid,
            oif,
            self._classes.everything if oif else self._strict(("group", "link-local", "loopback")),
        )

    def looked_up(self, protocol: int, oif: str | None) -> list[z3.BoolRef]:
        """Which packets that are sent from here are looked up at all, and as they are.

        IPv4: only those from an own address or none; groups and "to all" only without a source
        and a device; the device's address stands in for none. 0.0.0.0 is this machine.
        IPv6: an address :: is none.
        """
        packet, special = self.packet, self.special
        if self.family is Family.V6:
            return [z3.Not(packet.source.within(special["unspecified"]))]
        everybody = special["group"] | special["to all"]
        loopback = special["loopback"] & ~special["loopback broadcast"]
        ours = self._own | special["unspecified"] | loopback
        found = [
            packet.source.within(ours),
            z3.Not(packet.destination.within(special["unspecified"])),
        ]
        nobody = packet.source.within(special["unspecified"])
        if oif is None:
            return [*found, z3.Or(nobody, z3.Not(packet.destination.within(everybody)))]
        unasked = special["near group"] | special["to all"]
        grouped = z3.And(nobody, packet.destination.within(special["group"]))
        found += [z3.Not(packet.destination.within(unasked)), z3.Not(grouped)]
        return [*found, z3.BoolVal(protocol != IGMP)]

    def delivered_locally(self, found: z3.BitVecRef) -> z3.BoolRef:
        """Whether it is delivered here. By loopback, but not to it, is the log's: to nobody."""
        special, four = self.special, self.family is Family.V4
        within, among = self.packet.destination.within, self.rules.results.among
        kinds = (RouteType.LOCAL,) if four else (RouteType.LOCAL, RouteType.ANYCAST)
        local = among(found, lambda r: r.type in kinds)
        if not four:
            near = among(found, lambda r: r.type in kinds and r.device != LOOPBACK)
            return z3.Or(near, z3.And(local, within(special["loopback"])))
        by_lo = among(found, lambda r: r.type is RouteType.BROADCAST and r.device == LOOPBACK)
        ours = z3.And(local, within(self._own | special["loopback"]))
        return z3.Or(ours, z3.And(by_lo, within(special["loopback broadcast"])))

    def sent(self, found: z3.BitVecRef, device: str, oif: str | None) -> z3.BoolRef:
        """Whether it leaves by a device. IPv4 sends what a bound socket sends on link where the
        look-up fails.
        """
        results = self.rules.results
        four = self.family is Family.V4
        leaves = results.among(
            found, lambda r: r.device == device and r.type is not RouteType.LOCAL
        )
        if four and oif == device:
            leaves = z3.Or(leaves, failed(results, found))
        forged = self.packet.source.within(self.special["loopback"]) if four else False
        return z3.And(leaves, z3.Not(forged))

    def _strict(self, names: Iterable[str]) -> int:
        """The classes of destinations for which IPv6 wants routes by the device alone."""
        mask = 0
        for name in names:
            mask |= self.special[name]
        return mask if self.family is Family.V6 else 0
