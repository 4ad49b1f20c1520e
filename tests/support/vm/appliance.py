"""A guest to which its link gives addresses, and that link; a page is served in a room of it.

In: a policy that asks for addresses.  Out: an `Appliance`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scapy.packet import Packet as Layer

from factory.image.build import Artefacts, archive
from factory.vm.qemu import Accelerator, Machine, Nic
from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from pbrinit.wire import bootplan
from tests.support.mac_addresses import GUEST_MAC
from tests.support.namespaces import in_namespace
from tests.support.namespaces.in_namespace import Question
from tests.support.vm.built_image import direct, with_files
from tests.support.vm.guest import LOGS, Guest
from tests.support.vm.network import Network
from tests.support.vm.wire import Wire

MORE_MEMORY = 112
"""Megabytes. The compiler runs on the machine, beside PID 1, what asks for the addresses, and the
Python that serves the page.
"""

SERVER_OF_PAGE = """
import socket
one = socket.create_server(("::", 80), family=socket.AF_INET6, dualstack_ipv6=True)
print("serving")
while True:
    one.accept()[0].send(b"hello")
"""
ROOM = f"""
[run.page]
command = ["/usr/bin/python3", "-ISBuc", {json.dumps(SERVER_OF_PAGE)}]
user = "page"
[[input]]
on = "wan"
from = "mgmt"
service = "page"
run = "page"
"""
NAMES = {"[service]": 'page = "tcp/80"', "[user]": "page = 1002"}

OTHER_PORT = 2222
NOBODY = {"mgmt": "silence", "stranger": "silence", "server": "silence"}
SERVED = {"mgmt": "answered", "stranger": "silence", "server": "silence"}
AS_WRITTEN = {"mgmt": "ECONNREFUSED", "stranger": "silence", "server": "silence"}
SERVER = {4: "192.0.2.1", 6: "2001:db8::1"}
MGMT = {4: "198.51.100.9", 6: "2001:db8:5::9"}
STRANGER = {4: "203.0.113.7", 6: "2001:db8:7::7"}
"""Who asks: two from beyond the link, and whoever gives addresses on it."""


@dataclass
class Appliance:
    """A guest that wants addresses, and the network that it is on."""

    guest: Guest
    wire: Wire
    network: Network
    folder: Path

    def reached(self, address: str, port: int = 22) -> dict[str, str]:
        """What becomes of those who ask the machine there for ssh: nobody listens, so that who may
        is refused by TCP.
        """
        ask = partial(Question, "tcp", address, port)
        version = 6 if ":" in address else 4
        return {
            name: self.network.inside.do(in_namespace.ask, ask(source=(who[version], 0)))
            for name, who in (("mgmt", MGMT), ("stranger", STRANGER), ("server", SERVER))
        }

    def page(self, address: str) -> dict[str, str]:
        """The same of the page, as soon as its room has the address, or some seconds later."""
        return self._soon(address, 80, SERVED)

    def ssh(self, address: str) -> dict[str, str]:
        """The same of ssh, as soon as the address has been tried (RFC 4862, section 5.4)."""
        return self._soon(address, 22, AS_WRITTEN)

    def _soon(self, address: str, port: int, wanted: dict[str, str]) -> dict[str, str]:
        end = time.monotonic() + 20
        while (told := self.reached(address, port)) != wanted and time.monotonic() < end:
            time.sleep(0.5)
        return told

    def serves(self, address: str) -> bool:
        """Whether anybody gets the page there."""
        return "answered" in self.reached(address, 80).values()

    def sent(self, since: float, wanted: Callable[[Layer], bool]) -> list[Layer]:
        """What the guest sent that is looked for."""
        packets = (frame.packet for frame in self.wire.frames(since))
        return [packet for packet in packets if wanted(packet)]


def with_a_room(policy: Path) -> str:
    """The policy's text, with a program that serves in a room."""
    text = policy.read_text()
    for section, name in NAMES.items():
        text = text.replace(section, f"{section}\n{name}")
    return text + ROOM


@contextmanager
def booted(
    policy: Path, artefacts: Artefacts, accelerated: Accelerator, folder: Path, on_link: list[str]
) -> Iterator[Appliance]:
    """The machine at its prompt, and a network with these addresses on it, which gives none yet. In
    /policies it has one, other.toml, that serves ssh on port OTHER_PORT.
    """
    name = policy.stem
    written = folder / "policy.toml"
    written.write_text(with_a_room(policy))
    plan = bootplan.pack(encode(load(written), name))
    files = archive("etc/pbrinit", {"plan": plan, "policy.toml": written.read_bytes()})
    other = written.read_text().replace('"tcp/22"', f'"tcp/{OTHER_PORT}"')
    files += archive("policies", {"other.toml": other.encode()})
    machine = direct(artefacts, with_files(artefacts, folder, files))
    behind = [*MGMT.values(), *STRANGER.values()]
    with (
        Wire(LOGS / f"boot-{name}.pcap") as wire,
        Network(wire, folder, on_link, behind) as network,
        Guest(name, Machine(machine, (Nic(wire.netdev, GUEST_MAC),), MORE_MEMORY), accelerated,
              LOGS) as guest,
    ):  # fmt: skip
        guest.wait_for_prompt()
        yield Appliance(guest, wire, network, folder)


def in_order(sent: list[Layer], *allowed: Callable[[Layer], bool]) -> None:
    """Each frame is one that the first allows, then the second, and so on; each allows some."""
    at = 0
    for may in allowed:
        first = at
        while at < len(sent) and may(sent[at]):
            at += 1
        assert at > first, sent[at].show(dump=True)
    assert at == len(sent), sent[at].show(dump=True)
