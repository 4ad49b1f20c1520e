"""What a policy expects of itself: docs/meaning.md, "Expectations", as code.

In: a `Meaning`.  Out: `Asked` values: packets that ask, and those that answer, each to be allowed
or not.  `obligations` makes claims of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pbrinit.addresses import AddressSet, Family
from pbrinit.boxes import Box
from pbrinit.forms import ROOT, Form, PortSet, answering, arriving, asking, passing
from pbrinit.meaning import Meaning
from pbrinit.policy import CLIENTS, Direction, Expectation, Interface, Protocol, Service


@dataclass(frozen=True)
class Asked:
    """Packets of one path, that all pass (`always`) or that none does.

    Without a way in they are sent from here, without a way out they are for this machine.
    `anybody`: what is sent passes where one user may send it; who, is for the entry to say.
    """

    key: str
    always: bool
    way_in: Interface | None
    way_out: Interface | None
    box: Box
    anybody: bool = False


def asked(meaning: Meaning, family: Family) -> Iterator[Asked]:
    """What the expectations of a policy are about, in one family."""
    for expectation in meaning.policy.expectations:
        if Direction.INPUT in expectation.directions:
            yield from _of_input(meaning, family, expectation)
        if Direction.OUTPUT in expectation.directions:
            yield from _of_output(meaning, family, expectation)
        if Direction.FORWARD in expectation.directions:
            yield from _of_forward(meaning, family, expectation)


def _of_input(meaning: Meaning, family: Family, expectation: Expectation) -> Iterator[Asked]:
    key, always, services = expectation.key, expectation.always, expectation.services
    uid = expectation.user.uid if expectation.user else None
    for interface in expectation.interfaces:
        own = meaning.own(interface, family)
        peers = expectation.sources.of(family) & meaning.behind(interface, family)
        for form in arriving(services, family, answer=False):
            yield Asked(key, always, interface, None, Box(form, peers, own, key))
        for service, form in _each(services, family, answer=True) if always else ():
            icmp = service is not None and service.protocol == Protocol.ICMP
            sender = ROOT if icmp else uid
            box = Box(form, own, peers, key, answer=True, uid=sender)
            yield Asked(key, always, None, interface, box, anybody=sender is None)


def _of_output(meaning: Meaning, family: Family, expectation: Expectation) -> Iterator[Asked]:
    key, always, services = expectation.key, expectation.always, expectation.services
    uid = expectation.user.uid if expectation.user else None
    for interface in expectation.interfaces:
        own = meaning.own(interface, family)
        peers = expectation.destinations.of(family) & meaning.behind(interface, family)
        for _, form in _each(services, family, answer=False):
            yield Asked(key, always, None, interface, Box(form, own, peers, key, uid=uid))
        for form in arriving(services, family, answer=True) if always else ():
            box = Box(form, peers, own, key, answer=True)
            yield Asked(key, always, interface, None, box)


def _each(
    services: tuple[Service, ...], family: Family, *, answer: bool
) -> Iterator[tuple[Service | None, Form]]:
    form = answering if answer else asking
    for service in services:
        yield service, form(service, family)
    if not services:
        yield None, Form(None)


def _of_forward(meaning: Meaning, family: Family, expectation: Expectation) -> Iterator[Asked]:
    """What passes through. None of those who ask from a port that an entry has for its clients
    passes, and each of those who ask from the ports that clients have where no entry says.
    """
    key, always, services = expectation.key, expectation.always, expectation.services
    clients: PortSet = (CLIENTS,)
    if not always:
        entries = [e for e in meaning.policy.entries if e.direction is Direction.FORWARD]
        clients = tuple(dict.fromkeys((CLIENTS, *(entry.clients for entry in entries))))
    for way_in in expectation.interfaces:
        for way_out in expectation.ways_out:
            if way_in is way_out:
                continue
            asking_: AddressSet = expectation.sources.of(family) & meaning.behind(way_in, family)
            asked_ = expectation.destinations.of(family) & meaning.behind(way_out, family)
            for form in passing(services, family, clients, answer=False):
                yield Asked(key, always, way_in, way_out, Box(form, asking_, asked_, key))
            for form in passing(services, family, clients, answer=True) if always else ():
                box = Box(form, asked_, asking_, key, answer=True)
                yield Asked(key, always, way_out, way_in, box)
