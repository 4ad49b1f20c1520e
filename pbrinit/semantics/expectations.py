"""What a policy expects of itself: docs/meaning.md, "Expectations", as code.

In: `PolicySemantics`.  Out: `ExpectedFlows`: packets that ask, and those that answer, each to be
allowed or not.  `obligations` makes claims of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pbrinit.net.addresses import AddressSet, Family
from pbrinit.net.icmp import ANY_PORT
from pbrinit.net.services import REMOTE_EPHEMERAL_PORTS, Ports, PortSet, Protocol, Service
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import Direction, Expectation, Policy
from pbrinit.policy.programs import ROOT, Program, Zone
from pbrinit.semantics.exchange import (
    PacketPattern,
    forward_patterns,
    reply_pattern,
    request_pattern,
)
from pbrinit.semantics.header_space import HeaderSpace
from pbrinit.semantics.paths import PolicySemantics

(EVERY_PORT,) = ANY_PORT
Path = tuple[Zone | None, Zone | None]
"""A way in and a way out: without the one it is sent from here, without the other it is for this
machine."""


@dataclass(frozen=True)
class ExpectedFlows:
    """Packets that all pass (`always`), each on one of some paths, or of which none does, on none
    of them. The paths have the same way in, or else the same way out.

    `anybody`: what is sent passes where one user may send it; who, is for the entry to say.
    `answers`: what entries allow as answers may pass.
    """

    key: str
    always: bool
    paths: tuple[Path, ...]
    space: HeaderSpace
    any_user: bool = False
    answers: bool = False

    @property
    def ingress(self) -> Zone | None:
        """Where they come in; None is sent from here, by a program that has no room."""
        return self.paths[0][0]


def expected_flows(semantics: PolicySemantics, family: Family) -> Iterator[ExpectedFlows]:
    """What the expectations of a policy are about, in one family."""
    for expectation in semantics.policy.expectations:
        for direction, flows_of in (
            (Direction.INPUT, _of_input),
            (Direction.OUTPUT, _of_output),
            (Direction.FORWARD, _of_forward),
        ):
            if direction in expectation.directions:
                for flows in flows_of(semantics, family, expectation):
                    yield replace(flows, answers=expectation.answers)


def passing_answers(
    semantics: PolicySemantics, family: Family, flows: ExpectedFlows
) -> Iterator[str]:
    """The keys of the entries whose answers an expectation lets pass."""
    if not flows.answers:
        return
    for path in flows.paths:
        for space in semantics.path_policy(family, *path).allowed:
            if space.answer and space.overlaps(flows.space):
                yield space.key


def _insides(policy: Policy, expectation: Expectation) -> tuple[Program | None, ...]:
    """Whom at this machine's end it is about, None being the machine itself."""
    if expectation.room is not None:
        return (expectation.room,)
    return (None,) if expectation.user is not None else (None, *policy.rooms)


def _of_input(
    semantics: PolicySemantics, family: Family, expectation: Expectation
) -> Iterator[ExpectedFlows]:
    """Whoever takes what is asked may answer it."""
    key, always, services = expectation.key, expectation.always, expectation.services
    uid = expectation.user.uid if expectation.user else None
    inside = _insides(semantics.policy, expectation)
    for interface in expectation.interfaces:
        own = semantics.topology.addresses_of(interface, family)
        peers = semantics.topology.peers_behind(expectation.sources, interface, family)
        into, out_of = (
            tuple((interface, end) for end in inside),
            tuple((end, interface) for end in inside),
        )
        for pattern in forward_patterns(services, family, ANY_PORT, answer=False):
            yield ExpectedFlows(key, always, into, HeaderSpace(pattern, peers, own, key))
        for service in services if always else ():
            kernel = service.protocol == Protocol.ICMP and inside[0] is None
            sender = ROOT if kernel else uid
            space = HeaderSpace(
                reply_pattern(service, family), own, peers, key, answer=True, uid=sender
            )
            yield ExpectedFlows(key, always, out_of, space, any_user=sender is None)


def _of_output(
    semantics: PolicySemantics, family: Family, expectation: Expectation
) -> Iterator[ExpectedFlows]:
    """Each who asks has client's ports of its own, but none asks from any port: a hostile program
    does not keep to the ports of clients. Not told whom it is about, `always` is about the machine
    itself.
    """
    key, always, services = expectation.key, expectation.always, expectation.services
    uid = expectation.user.uid if expectation.user else None
    inside = _insides(semantics.policy, expectation)
    for interface in expectation.interfaces:
        own = semantics.topology.addresses_of(interface, family)
        peers = semantics.topology.peers_behind(expectation.destinations, interface, family)
        for end in inside[:1] if always else inside:
            clients = end.client_ports if end else semantics.policy.client_ports
            for pattern in _asking(services, family, end, clients if always else EVERY_PORT):
                space = HeaderSpace(pattern, own, peers, key, uid=uid)
                yield ExpectedFlows(key, always, ((end, interface),), space)
            for pattern in (
                forward_patterns(services, family, (clients,), answer=True) if always else ()
            ):
                space = HeaderSpace(pattern, peers, own, key, answer=True)
                yield ExpectedFlows(key, always, ((interface, end),), space)


def _asking(
    services: tuple[Service, ...], family: Family, end: Program | None, clients: Ports
) -> Iterator[PacketPattern]:
    if end is not None:
        yield from forward_patterns(services, family, (clients,), answer=False)
        return
    for service in services:
        yield request_pattern(service, family, clients, clients)
    if not services:
        yield PacketPattern(None)


def _of_forward(
    semantics: PolicySemantics, family: Family, expectation: Expectation
) -> Iterator[ExpectedFlows]:
    """What passes through. None of those who ask, from whatever port, passes, and each of those who
    ask from the ports that clients have where no entry says.
    """
    key, always, services = expectation.key, expectation.always, expectation.services
    clients: PortSet = (REMOTE_EPHEMERAL_PORTS,) if always else ANY_PORT
    pairs: list[tuple[Interface, Interface]] = [
        (ingress, egress)
        for ingress in expectation.interfaces
        for egress in expectation.egress_interfaces
        if ingress is not egress
    ]
    for ingress, egress in pairs:
        asking_: AddressSet = semantics.topology.peers_behind(expectation.sources, ingress, family)
        asked_ = semantics.topology.peers_behind(expectation.destinations, egress, family)
        for pattern in forward_patterns(services, family, clients, answer=False):
            yield ExpectedFlows(
                key, always, ((ingress, egress),), HeaderSpace(pattern, asking_, asked_, key)
            )
        for pattern in forward_patterns(services, family, clients, answer=True) if always else ():
            space = HeaderSpace(pattern, asked_, asking_, key, answer=True)
            yield ExpectedFlows(key, always, ((egress, ingress),), space)
