"""What an ordinary packet looks like, so that a person can read a counter-example.

In: a `FamilyEncoding`, a group of protocols and a direction.  Out: wishes, in groups: of each group
the first that can be had beside what is claimed.  They choose among packets, and rule none out.
"""

from __future__ import annotations

from collections.abc import Iterator

import z3

from pbrinit.analysis.address_classes import EXAMPLES
from pbrinit.analysis.proof.encoding import FamilyEncoding
from pbrinit.analysis.proof.terms import AddressClassVar, any_of
from pbrinit.net.icmp import ECHO_REPLY, ECHO_REQUEST
from pbrinit.net.packet import WITH_PORTS, WITH_TYPES

CLIENT = 40_000
SERVERS = (443, 80, 53, 22, 25)
USER = 1000
"""Where common systems begin to number their people (login.defs(5), UID_MIN)."""

Preferences = list[z3.BoolRef]


def preferences(
    encoding: FamilyEncoding, protocol: int, *, outgoing: bool
) -> Iterator[Preferences]:
    """What is wished of a packet of one protocol."""
    packet = encoding.kernel.packet
    examples = [1 << encoding.classes.number(address) for address in EXAMPLES[encoding.family]]
    wanted = [*dict.fromkeys(examples), _hosts(encoding)]
    for end in (packet.source, packet.destination):
        yield [_one_of(end, classes) for classes in wanted]
    source_port, port = packet.source_port, packet.destination_port
    if protocol in WITH_PORTS:
        yield [source_port == CLIENT, port == CLIENT]
        yield [
            *(
                z3.Or(
                    z3.And(source_port == CLIENT, port == server),
                    z3.And(port == CLIENT, source_port == server),
                )
                for server in SERVERS
            ),
            z3.And(source_port != 0, port != 0),
        ]
    elif outgoing and protocol in WITH_TYPES:
        kinds = (ECHO_REQUEST[encoding.family], ECHO_REPLY[encoding.family])
        yield [port == (kind << 8 | code) for kind, code in kinds]
    if outgoing:
        named = [packet.uid == user.uid for user in encoding.policy.users]
        yield [any_of(named), packet.uid == USER, packet.uid == 0]


def _hosts(encoding: FamilyEncoding) -> int:
    """The classes of addresses that a host can have."""
    found = 0
    for number in range(len(encoding.classes)):
        address = encoding.classes.representative(number)
        odd = address.is_multicast or address.is_loopback or address.is_unspecified
        found |= (not (odd or address.is_link_local)) << number
    return found


def _one_of(end: AddressClassVar, classes: int) -> z3.BoolRef:
    within = end.within(classes)
    return z3.BoolVal(within) if isinstance(within, bool) else within
