"""A guest whose address is assigned on its link, and the network on that link.

In: a policy with a dynamic address; a program that serves a page from a room is added to it.
Out: an `Appliance`.
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
from tests.support.namespaces.in_namespace import Probe
from tests.support.vm.built_image import direct, with_files
from tests.support.vm.guest import LOGS, Guest
from tests.support.vm.network import Network
from tests.support.vm.wire import Wire

MORE_MEMORY = 112
"""Megabytes. The compiler runs on the machine, beside PID 1, the address client and the Python
that serves the page.
"""

SERVER_OF_PAGE = """
import socket
server = socket.create_server(("::", 80), family=socket.AF_INET6, dualstack_ipv6=True)
print("serving")
while True:
    server.accept()[0].send(b"hello")
"""
PAGE_ENTRIES = f"""
[run.page]
command = ["/usr/bin/python3", "-ISBuc", {json.dumps(SERVER_OF_PAGE)}]
user = "page"
[[input]]
on = "wan"
from = "mgmt"
service = "page"
run = "page"
"""
PAGE_NAMES = {"[service]": 'page = "tcp/80"', "[user]": "page = 1002"}

OTHER_PORT = 2222
UNREACHED = {"mgmt": "silence", "stranger": "silence", "server": "silence"}
PAGE_ALLOWED = {"mgmt": "answered", "stranger": "silence", "server": "silence"}
SSH_ALLOWED = {"mgmt": "ECONNREFUSED", "stranger": "silence", "server": "silence"}
SERVER = {4: "192.0.2.1", 6: "2001:db8::1"}
MGMT = {4: "198.51.100.9", 6: "2001:db8:5::9"}
STRANGER = {4: "203.0.113.7", 6: "2001:db8:7::7"}
"""The sources of the probes: two hosts behind the link, and the server that assigns addresses."""


@dataclass
class Appliance:
    """A guest with a dynamic address, and the network on its link."""

    guest: Guest
    wire: Wire
    network: Network
    folder: Path

    def probe_results(self, address: str, port: int = 22) -> dict[str, str]:
        """The results of a TCP probe to a port from each source. No program listens on port 22:
        TCP refuses an allowed probe.
        """
        ask = partial(Probe, "tcp", address, port)
        version = 6 if ":" in address else 4
        return {
            name: self.network.namespace.do(
                in_namespace.send_probe, ask(source=(sources[version], 0))
            )
            for name, sources in (("mgmt", MGMT), ("stranger", STRANGER), ("server", SERVER))
        }

    def page_results(self, address: str) -> dict[str, str]:
        """The same for the page, as soon as its room has the address, or after a time limit."""
        return self._wait_for_results(address, 80, PAGE_ALLOWED)

    def ssh_results(self, address: str) -> dict[str, str]:
        """The same for ssh, once duplicate address detection is done (RFC 4862, section 5.4)."""
        return self._wait_for_results(address, 22, SSH_ALLOWED)

    def _wait_for_results(
        self, address: str, port: int, expected: dict[str, str]
    ) -> dict[str, str]:
        end = time.monotonic() + 20
        while (results := self.probe_results(address, port)) != expected and time.monotonic() < end:
            time.sleep(0.5)
        return results

    def is_page_served(self, address: str) -> bool:
        """Whether any source gets the page."""
        return "answered" in self.probe_results(address, 80).values()

    def sent_packets(self, since: float, predicate: Callable[[Layer], bool]) -> list[Layer]:
        """The packets that the guest sent and that the predicate accepts."""
        packets = (frame.packet for frame in self.wire.frames(since))
        return [packet for packet in packets if predicate(packet)]


def with_page_room(policy: Path) -> str:
    """The policy's text, with a program that serves a page from a room."""
    text = policy.read_text()
    for section, name in PAGE_NAMES.items():
        text = text.replace(section, f"{section}\n{name}")
    return text + PAGE_ENTRIES


@contextmanager
def boot_appliance(
    policy: Path, artefacts: Artefacts, accelerated: Accelerator, folder: Path, on_link: list[str]
) -> Iterator[Appliance]:
    """The machine at its prompt, and a network with these addresses, which assigns none yet. The
    policy /policies/other.toml on the machine allows ssh on port OTHER_PORT.
    """
    name = policy.stem
    written = folder / "policy.toml"
    written.write_text(with_page_room(policy))
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


def assert_in_order(sent: list[Layer], *predicates: Callable[[Layer], bool]) -> None:
    """Assert that the frames match the predicates in order, one or more frames each."""
    at = 0
    for accepts in predicates:
        first = at
        while at < len(sent) and accepts(sent[at]):
            at += 1
        assert at > first, sent[at].show(dump=True)
    assert at == len(sent), sent[at].show(dump=True)
