"""The image in QEMU, each card a tap in a network namespace of its own, in which tools run.

In: the files of an image, addresses for each side.  Out: a `TapGuest`. Needs root, or a user
namespace in which /dev/net/tun can be opened.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from factory.vm.qemu import Accelerator, Direct, Machine, Nic, Tap
from tests.support.attack.agent_line import AgentLine
from tests.support.attack.range import agent_archive
from tests.support.mac_addresses import GUEST_MACS
from tests.support.namespaces.lab import Namespace
from tests.support.vm.guest import LOGS, Guest

MEMORY = 128
SECONDS = 600
BEGIN_SECONDS = 10.0
BANNER = b"SSH-2.0-pbrinit_test\r\n"
SERVED_PORTS = (("tcp", 80), ("tcp", 443), ("tcp", 8080), ("tcp", 40000),
           ("udp", 53), ("udp", 123), ("udp", 40000))  # fmt: skip
"""Ports on which programs listen although no entry of the policy allows them."""


@dataclass(frozen=True)
class LinkSide:
    """The network at a card: addresses on the link, addresses behind it, and routes."""

    on_link: tuple[str, ...]
    behind: tuple[str, ...] = ()
    routes: tuple[tuple[str, str], ...] = ()


class ToolNamespace:
    """A namespace at the other end of a card, in which tools run."""

    def __init__(self, namespace: Namespace, tap: str) -> None:
        self.namespace = namespace
        self._tap = tap

    @property
    def dropped_frames(self) -> int:
        """Frames that the card did not accept in time; if there are any, silence proves nothing."""
        return int(self.namespace.run("cat", f"/sys/class/net/{self._tap}/statistics/tx_dropped"))

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a tool; its exit status is part of the result."""
        return subprocess.run(
            [*self._enter, *command],
            check=False, capture_output=True, text=True, errors="replace", timeout=SECONDS,
        )  # fmt: skip

    @contextmanager
    def running_server(self, port: int, *command: str) -> Iterator[None]:
        """Run a server meanwhile, and wait until it listens on a TCP port, where others may too."""
        quiet = subprocess.DEVNULL
        with subprocess.Popen([*self._enter, *command], stdout=quiet, stderr=quiet) as server:
            try:
                give_up = time.monotonic() + BEGIN_SECONDS
                listening = f"pid={server.pid},"
                while listening not in self.run("ss", "-Hltnp", f"sport = :{port}").stdout:
                    assert time.monotonic() < give_up, f"{command} does not listen"
                yield
            finally:
                server.kill()

    @property
    def _enter(self) -> list[str]:
        return ["nsenter", f"--target={self.namespace.pid}", "--net", "--mount"]


@dataclass(frozen=True)
class TapGuest:
    """The appliance, the agent in it, and the namespaces at its cards."""

    guest: Guest
    agent: AgentLine
    sides: tuple[ToolNamespace, ...]


@contextmanager
def boot_on_taps(
    name: str, image: Direct, accelerated: Accelerator, sides: Sequence[LinkSide]
) -> Iterator[TapGuest]:
    """Boot the image with the agent's archive after it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="tools-")))
        initramfs = folder / "initramfs"
        assert image.initrd is not None
        initramfs.write_bytes(image.initrd.read_bytes() + agent_archive())
        namespaces = [_namespace(stack) for _ in sides]
        taps = [f"tap{number}" for number in range(len(sides))]
        for tap in taps:
            namespaces[0].run("ip", "tuntap", "add", tap, "mode", "tap")
        agent = stack.enter_context(AgentLine())
        nics = tuple(Nic(Tap(tap), mac) for tap, mac in zip(taps, GUEST_MACS, strict=False))
        prefix = ("nsenter", f"--target={namespaces[0].pid}", "--net")
        machine = Machine(replace(image, initrd=initramfs), nics, MEMORY)
        guest = stack.enter_context(
            Guest(f"tools-{name}", machine, accelerated, LOGS, agent.options, prefix=prefix)
        )
        agent.wait()
        guest.wait_for_prompt()
        for namespace, tap, side in zip(namespaces, taps, sides, strict=True):
            if namespace is not namespaces[0]:
                namespaces[0].run("ip", "link", "set", tap, "netns", str(namespace.pid))
            _set_up(namespace, tap, side)
        yield TapGuest(guest, agent, tuple(map(ToolNamespace, namespaces, taps)))


def start_servers(tap_guest: TapGuest) -> None:
    """Serve a banner on port 22, and data on ports that the policy does not allow."""
    for family in (socket.AF_INET, socket.AF_INET6):
        tap_guest.agent.do("serve", "tcp", 22, int(family), BANNER)
        for protocol, port in SERVED_PORTS:
            tap_guest.agent.do("serve", protocol, port, int(family), b"here")


def _namespace(stack: ExitStack) -> Namespace:
    namespace = Namespace()
    stack.callback(namespace.close)
    namespace.do(len, ())
    return namespace


def _set_up(space: Namespace, tap: str, side: LinkSide) -> None:
    """Set up one side; for addresses behind the link, ARP requests have a source on the link."""
    space.run("ip", "link", "set", "lo", "up")
    space.run("sysctl", "-qw", "net/ipv4/conf/all/arp_announce=2")
    for where, addresses in ((tap, side.on_link), ("lo", side.behind)):
        for address in addresses:
            nodad = ("nodad",) if ":" in address else ()
            space.run("ip", "address", "add", address, "dev", where, *nodad)
    space.run("ip", "link", "set", tap, "up")
    for destination, gateway in side.routes:
        space.run("ip", "route", "add", destination, "via", gateway)
