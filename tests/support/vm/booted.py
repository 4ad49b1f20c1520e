"""A guest that boots while a peer sends it all probes of a network.

In: a machine and the wire at its card.  Out: a `BootedGuest`.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from scapy.packet import Packet

from factory.vm.qemu import Accelerator, Machine
from tests.support.host_example import MGMT, NEIGHBOUR, RESOLVER, ROUTER, SELF, VERSIONS
from tests.support.mac_addresses import GUEST_MAC, MAC
from tests.support.vm.guest import LOGS, Guest
from tests.support.vm.peer import Peer
from tests.support.vm.probe import Arp, Neighbour, Ping, Probe, Tcp, Udp
from tests.support.vm.wire import Wire

MEMORY = 64
CLOSED, IN_FORCE = "CLOSED", "rules in force"


@dataclass(frozen=True)
class BootedGuest:
    """A guest at its prompt, with all frames since power-on and the console output of the boot."""

    guest: Guest
    wire: Wire
    peer: Peer
    console: str


def probe_frames() -> Iterator[Packet]:
    """Probes to a machine that boots, without end: it must not answer before its rules are set."""
    for number in itertools.count(40000):
        for version in VERSIONS:
            peers = (MGMT[version], ROUTER[version])
            probes: list[Probe] = [Ping(peer, SELF[version]) for peer in peers]
            probes += [Tcp(peer, SELF[version], port) for peer in peers for port in (22, 80)]
            probes += [Udp(peer, SELF[version], 53) for peer in peers]
            for probe in probes:
                yield probe.frame(MAC, GUEST_MAC, number)
        yield Arp(SELF[4], ROUTER[4]).frame(MAC, GUEST_MAC, number)
        yield Neighbour(SELF[6], ROUTER[6]).frame(MAC, GUEST_MAC, number)


def boot(
    name: str, machine: Machine, accelerated: Accelerator, wire: Wire
) -> Iterator[BootedGuest]:
    """Boot a machine with the wire at its card; probes are sent until it shows its prompt."""
    peer = Peer(wire, MAC, GUEST_MAC, [])
    done = threading.Event()

    def send_probes() -> None:
        for frame in probe_frames():
            if done.wait(0.02):
                return
            wire.send(frame)

    with Guest(name, machine, accelerated, LOGS) as guest:
        sender = threading.Thread(target=send_probes, daemon=True)
        sender.start()
        try:
            console = guest.wait_for_prompt()
        finally:
            done.set()
            sender.join()
        peer.addresses.update(ROUTER.values(), RESOLVER.values(), NEIGHBOUR.values())
        time.sleep(0.5)
        yield BootedGuest(guest, wire, peer, console)
