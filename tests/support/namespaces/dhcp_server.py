"""A server of addresses on one side, and a machine that asks on the other: acts of `lab`.

In: plain values.  Out: plain values.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pbrinit.boot.autoconf import address_manager, lease_holder, ra
from pbrinit.boot.system.log import seconds
from pbrinit.wire.assignment import Identity
from pbrinit.wire.dhcp.lease import Lease
from pbrinit.wire.ndp import client, message
from pbrinit.wire.ndp.address import AdvertisedAddress
from tests.support.namespaces.in_namespace import verdict
from tests.support.namespaces.lab import Namespace

SERVER = "192.0.2.1"
DEVICE = "eth0"
LEASE = Lease(
    address="192.0.2.77", length=24, gateway=SERVER, server=SERVER,
    seconds=120, renew=5, rebind=100, resolvers=(), routes=(),
)  # fmt: skip
tenants: list[int] = []


@contextmanager
def served(peer: Namespace, folder: Path, *options: str) -> Iterator[None]:
    """A real dnsmasq on the peer's end of the wire, without its DNS."""
    command = [
        "nsenter", f"--target={peer.pid}", "--net", "--mount",
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=", "--port=0",
        "--interface=eth0", "--no-ping", "--log-dhcp", "--dhcp-authoritative", "--pid-file=",
        f"--log-facility={folder / 'dnsmasq.log'}", f"--dhcp-leasefile={folder / 'leases'}",
        f"--dhcp-option=option:router,{SERVER}", *options,
    ]  # fmt: skip
    server = subprocess.Popen(command)
    try:
        yield
    finally:
        server.kill()
        server.wait()


def log(folder: Path) -> list[str]:
    """The kinds of messages that dnsmasq heard and said, in order."""
    path = folder / "dnsmasq.log"
    text = path.read_text() if path.exists() else ""
    return re.findall(r" DHCP([A-Z]+)\(eth0\)", text)


def advertisements(folder: Path) -> list[str]:
    """The same of routers' advertisements: ADVERT and SOLICIT."""
    path = folder / "dnsmasq.log"
    return re.findall(r" RTR-([A-Z]+)\(eth0\)", path.read_text() if path.exists() else "")


def ask(told: str, held: bool = False, taken: tuple[tuple[int, int], ...] = ()) -> None:
    """Ask for an address as PID 1 does, and write down what is held, a line each; `held` goes on
    with the lease of LEASE.
    """
    identity = Identity(hostname="gate", taken=taken)
    first = (LEASE, seconds()) if held else None
    _ask(
        told,
        lease_holder.InterfaceClient(address_manager.PROTOCOLS[2], "wan", DEVICE, identity, first),
    )


def ask_routers(told: str, held: AdvertisedAddress | None = None) -> None:
    """The same by router advertisement."""
    first = (held, seconds()) if held else None
    _ask(
        told,
        lease_holder.InterfaceClient(
            address_manager.PROTOCOLS[10], "wan", DEVICE, Identity(hostname="gate", taken=()), first
        ),
    )


def _ask(told: str, asker: lease_holder.InterfaceClient) -> None:
    child = os.fork()
    if child:
        tenants.append(child)
        return
    os.setpgid(0, 0)

    def use(found: list[tuple[str, tuple[str, ...]]]) -> None:
        with Path(told).open("a") as file:
            file.write(" ".join(text for text, _ in found) + "\n" if found else "none\n")

    try:
        lease_holder.LeaseHolder([asker], use).keep()
    finally:
        os._exit(1)


def asker() -> int:
    """The process that reads what comes from the wire; 0 where there is none at the moment."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if status(int(path.name))["PPid"] == str(tenants[-1]):
                return int(path.name)
    return 0


def status(process: int) -> dict[str, str]:
    """What proc(5) tells of a process, in /proc/PID/status."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def stop_asking() -> None:
    """End it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(tenants[-1], signal.SIGKILL)
    os.waitpid(tenants[-1], 0)


def leases(folder: Path) -> list[str]:
    """What was written down."""
    told = folder / "told"
    return told.read_text().splitlines() if told.exists() else []


def solicit(source: str | None, device: str | None) -> str:
    """Ask all routers as root does, from a source that is chosen or not, bound to a device or not;
    what came of it.
    """

    def attempt() -> str:
        with ra.open_socket(device or "") as asking:
            if source is not None:
                asking.bind((source, 0, 0, socket.if_nametoindex(DEVICE)))
            asking.sendto(message.encode(bytes(6)), (client.ALL_ROUTERS, 0))
        return "sent"

    return verdict(attempt)


ears: list[socket.socket] = []


def listen() -> None:
    """Hear what the process that asks would hear."""
    ears.append(ra.open_socket(DEVICE))


def types_heard() -> set[int]:
    """The types of ICMPv6 that came."""
    ears[-1].settimeout(0.5)
    found = set()
    with contextlib.suppress(TimeoutError):
        while True:
            found.add(ears[-1].recv(message.MAX_SIZE)[0])
    return found
