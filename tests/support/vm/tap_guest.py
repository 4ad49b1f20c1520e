"""The image in QEMU, each card a tap in a network namespace of its own, where tools run.

In: the files of an image, addresses for each side.  Out: a `Wired`. Needs root, or a user namespace
in which /dev/net/tun opens.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from factory.vm.qemu import Accelerator, Direct, Machine, Nic, Tap
from tests.support.attack.agent_line import BEGIN, END, Inside
from tests.support.attack.range import agent_archive
from tests.support.mac_addresses import GUEST_MACS
from tests.support.namespaces.lab import Namespace
from tests.support.vm.guest import LOGS, Guest

MEMORY = 128
SECONDS = 600
BEGIN_SECONDS = 10.0
BANNER = b"SSH-2.0-pbrinit_test\r\n"
LISTENS = (("tcp", 80), ("tcp", 443), ("tcp", 8080), ("tcp", 40000),
           ("udp", 53), ("udp", 123), ("udp", 40000))  # fmt: skip
"""Where programs listen and answer, whom nobody may reach."""


@dataclass(frozen=True)
class Side:
    """Who is at a card: addresses on the link, others behind, and the way to what is beyond it."""

    on_link: tuple[str, ...]
    behind: tuple[str, ...] = ()
    routes: tuple[tuple[str, str], ...] = ()


class Judge:
    """A namespace at the other end of a card, and tools that run in it."""

    def __init__(self, namespace: Namespace, tap: str) -> None:
        self.namespace = namespace
        self._tap = tap

    @property
    def lost(self) -> int:
        """Frames that the card did not take in time: of those silence says nothing."""
        return int(self.namespace.run("cat", f"/sys/class/net/{self._tap}/statistics/tx_dropped"))

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a tool; it may fail, as that is what it has to say."""
        return subprocess.run(
            [*self._within, *command],
            check=False, capture_output=True, text=True, errors="replace", timeout=SECONDS,
        )  # fmt: skip

    @contextmanager
    def beside(self, port: int, *command: str) -> Iterator[None]:
        """Have a server run meanwhile, which listens on a port of TCP."""
        quiet = subprocess.DEVNULL
        with subprocess.Popen([*self._within, *command], stdout=quiet, stderr=quiet) as server:
            try:
                give_up = time.monotonic() + BEGIN_SECONDS
                while not self.run("ss", "-Hltn", f"sport = :{port}").stdout:
                    assert time.monotonic() < give_up, f"{command} does not listen"
                yield
            finally:
                server.kill()

    @property
    def _within(self) -> list[str]:
        return ["nsenter", f"--target={self.namespace.pid}", "--net", "--mount"]


@dataclass(frozen=True)
class Wired:
    """The appliance, the program inside it, and the judges at its cards."""

    guest: Guest
    inside: Inside
    judges: tuple[Judge, ...]


@contextmanager
def wired(
    name: str, boots: Direct, accelerated: Accelerator, sides: Sequence[Side]
) -> Iterator[Wired]:
    """Boot the image with the agent's archive beside it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="judges-")))
        beside = folder / "initramfs"
        assert boots.initrd is not None
        beside.write_bytes(boots.initrd.read_bytes() + agent_archive())
        spaces = [_namespace(stack) for _ in sides]
        taps = [f"tap{number}" for number in range(len(sides))]
        for tap in taps:
            spaces[0].run("ip", "tuntap", "add", tap, "mode", "tap")
        inside = stack.enter_context(Inside())
        nics = tuple(Nic(Tap(tap), mac) for tap, mac in zip(taps, GUEST_MACS, strict=False))
        direct = Direct(boots.kernel, beside, f"{boots.cmdline} {BEGIN} {END}")
        within = ("nsenter", f"--target={spaces[0].pid}", "--net")
        machine = Machine(direct, nics, MEMORY)
        guest = stack.enter_context(
            Guest(f"judges-{name}", machine, accelerated, LOGS, inside.options, within=within)
        )
        inside.wait()
        guest.wait_for_prompt()
        for space, tap, side in zip(spaces, taps, sides, strict=True):
            if space is not spaces[0]:
                spaces[0].run("ip", "link", "set", tap, "netns", str(space.pid))
            _place(space, tap, side)
        yield Wired(guest, inside, tuple(map(Judge, spaces, taps)))


def listen(found: Wired) -> None:
    """A banner on port 22, and programs where nobody may reach them."""
    for family in (socket.AF_INET, socket.AF_INET6):
        found.inside.do("serve", "tcp", 22, int(family), BANNER)
        for protocol, port in LISTENS:
            found.inside.do("serve", protocol, port, int(family), b"here")


def _namespace(stack: ExitStack) -> Namespace:
    namespace = Namespace()
    stack.callback(namespace.close)
    namespace.do(len, ())
    return namespace


def _place(space: Namespace, tap: str, side: Side) -> None:
    """Set up one side; who is behind the link asks by ARP as one who is on it."""
    space.run("ip", "link", "set", "lo", "up")
    space.run("sysctl", "-qw", "net/ipv4/conf/all/arp_announce=2")
    for where, addresses in ((tap, side.on_link), ("lo", side.behind)):
        for address in addresses:
            nodad = ("nodad",) if ":" in address else ()
            space.run("ip", "address", "add", address, "dev", where, *nodad)
    space.run("ip", "link", "set", tap, "up")
    for destination, gateway in side.routes:
        space.run("ip", "route", "add", destination, "via", gateway)
