"""What a policy expects of itself: docs/meaning.md, "Expectations", as code.

In: a `Meaning`.  Out: `Asked` values: packets that ask, and those that answer, each to be allowed
or not.  `obligations` makes claims of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pbrinit.net.addresses import AddressSet, Family
from pbrinit.net.icmp import ANY_PORT
from pbrinit.net.services import CLIENTS, Ports, PortSet, Protocol, Service
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import Direction, Expectation, Policy
from pbrinit.policy.programs import ROOT, Run, Way
from pbrinit.semantics.exchange import Form, answering, asking, passing
from pbrinit.semantics.header_space import Box
from pbrinit.semantics.paths import Meaning

Path = tuple[Way | None, Way | None]
"""A way in and a way out: without the one it is sent from here, without the other it is for this
machine."""


@dataclass(frozen=True)
class Asked:
    """Packets that all pass (`always`), each on one of some paths, or of which none does, on none
    of them. The paths have the same way in, or else the same way out.

    `anybody`: what is sent passes where one user may send it; who, is for the entry to say.
    """

    key: str
    always: bool
    paths: tuple[Path, ...]
    box: Box
    anybody: bool = False

    @property
    def way_in(self) -> Way | None:
        """Where they come in; None is sent from here, by a program that has no room."""
        return self.paths[0][0]


def asked(meaning: Meaning, family: Family) -> Iterator[Asked]:
    """What the expectations of a policy are about, in one family."""
    for expectation in meaning.policy.expectations:
        if Direction.INPUT in expectation.directions:
            yield from _of_input(meaning, family, expectation)
        if Direction.OUTPUT in expectation.directions:
            yield from _of_output(meaning, family, expectation)
        if Direction.FORWARD in expectation.directions:
            yield from _of_forward(meaning, family, expectation)


def _insides(policy: Policy, expectation: Expectation) -> tuple[Run | None, ...]:
    """Whom at this machine's end it is about, None being the machine itself."""
    if expectation.room is not None:
        return (expectation.room,)
    return (None,) if expectation.user is not None else (None, *policy.rooms)


def _of_input(meaning: Meaning, family: Family, expectation: Expectation) -> Iterator[Asked]:
    """Whoever takes what is asked may answer it."""
    key, always, services = expectation.key, expectation.always, expectation.services
    uid = expectation.user.uid if expectation.user else None
    inside = _insides(meaning.policy, expectation)
    for interface in expectation.interfaces:
        own = meaning.homes.own(interface, family)
        peers = meaning.homes.peers(expectation.sources, interface, family)
        into, out_of = (
            tuple((interface, end) for end in inside),
            tuple((end, interface) for end in inside),
        )
        for form in passing(services, family, ANY_PORT, answer=False):
            yield Asked(key, always, into, Box(form, peers, own, key))
        for service in services if always else ():
            kernel = service.protocol == Protocol.ICMP and inside[0] is None
            sender = ROOT if kernel else uid
            box = Box(answering(service, family), own, peers, key, answer=True, uid=sender)
            yield Asked(key, always, out_of, box, anybody=sender is None)


def _of_output(meaning: Meaning, family: Family, expectation: Expectation) -> Iterator[Asked]:
    """Each who asks has client's ports of its own. Not told whom it is about, `always` is about
    the machine itself.
    """
    key, always, services = expectation.key, expectation.always, expectation.services
    uid = expectation.user.uid if expectation.user else None
    inside = _insides(meaning.policy, expectation)
    for interface in expectation.interfaces:
        own = meaning.homes.own(interface, family)
        peers = meaning.homes.peers(expectation.destinations, interface, family)
        for end in inside[:1] if always else inside:
            clients = end.clients if end else meaning.policy.clients
            for form in _asking(services, family, end, clients):
                box = Box(form, own, peers, key, uid=uid)
                yield Asked(key, always, ((end, interface),), box)
            for form in passing(services, family, (clients,), answer=True) if always else ():
                box = Box(form, peers, own, key, answer=True)
                yield Asked(key, always, ((interface, end),), box)


def _asking(
    services: tuple[Service, ...], family: Family, end: Run | None, clients: Ports
) -> Iterator[Form]:
    if end is not None:
        yield from passing(services, family, (clients,), answer=False)
        return
    for service in services:
        yield asking(service, family, clients)
    if not services:
        yield Form(None)


def _of_forward(meaning: Meaning, family: Family, expectation: Expectation) -> Iterator[Asked]:
    """What passes through. None of those who ask from a port that an entry has for its clients
    passes, and each of those who ask from the ports that clients have where no entry says.
    """
    key, always, services = expectation.key, expectation.always, expectation.services
    clients: PortSet = (CLIENTS,)
    if not always:
        entries = [e for e in meaning.policy.entries if e.direction is Direction.FORWARD]
        clients = tuple(dict.fromkeys((CLIENTS, *(entry.clients for entry in entries))))
    pairs: list[tuple[Interface, Interface]] = [
        (way_in, way_out)
        for way_in in expectation.interfaces
        for way_out in expectation.ways_out
        if way_in is not way_out
    ]
    for way_in, way_out in pairs:
        asking_: AddressSet = meaning.homes.peers(expectation.sources, way_in, family)
        asked_ = meaning.homes.peers(expectation.destinations, way_out, family)
        for form in passing(services, family, clients, answer=False):
            yield Asked(key, always, ((way_in, way_out),), Box(form, asking_, asked_, key))
        for form in passing(services, family, clients, answer=True) if always else ():
            box = Box(form, asked_, asking_, key, answer=True)
            yield Asked(key, always, ((way_out, way_in),), box)
