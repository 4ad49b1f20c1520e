"""A DHCP and router advertisement server on one side, a client on the other: calls for `lab`.

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
    by_broadcast=False, seconds=120, renew=5, rebind=100, resolvers=(), routes=(),
)  # fmt: skip
clients: list[int] = []


@contextmanager
def dnsmasq(peer: Namespace, folder: Path, *options: str) -> Iterator[None]:
    """Run dnsmasq on the peer's end of the wire, without its DNS."""
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


def dhcp_messages(folder: Path) -> list[str]:
    """The types of DHCP messages that dnsmasq received and sent, in order."""
    path = folder / "dnsmasq.log"
    text = path.read_text() if path.exists() else ""
    return re.findall(r" DHCP([A-Z]+)\(eth0\)", text)


def ra_messages(folder: Path) -> list[str]:
    """The same for router advertisements: ADVERT and SOLICIT."""
    path = folder / "dnsmasq.log"
    return re.findall(r" RTR-([A-Z]+)\(eth0\)", path.read_text() if path.exists() else "")


def start_dhcp_client(
    record: str, held: bool = False, taken: tuple[tuple[int, int], ...] = ()
) -> None:
    """Ask for an address as PID 1 does, and append a line to the file `record` for each change.

    If `held`, the client starts with the lease LEASE.
    """
    identity = Identity(hostname="gate", taken=taken)
    first = (LEASE, seconds()) if held else None
    _start_client(
        record,
        lease_holder.InterfaceClient(address_manager.PROTOCOLS[2], "wan", DEVICE, identity, first),
    )


def start_ra_client(record: str, held: AdvertisedAddress | None = None) -> None:
    """The same for router advertisements."""
    first = (held, seconds()) if held else None
    _start_client(
        record,
        lease_holder.InterfaceClient(
            address_manager.PROTOCOLS[10], "wan", DEVICE, Identity(hostname="gate", taken=()), first
        ),
    )


def _start_client(record: str, asker: lease_holder.InterfaceClient) -> None:
    child = os.fork()
    if child:
        clients.append(child)
        return
    os.setpgid(0, 0)

    def use(found: list[tuple[str, tuple[str, ...]]]) -> None:
        with Path(record).open("a") as file:
            file.write(" ".join(text for text, _ in found) + "\n" if found else "none\n")

    try:
        lease_holder.LeaseHolder([asker], use).run()
    finally:
        os._exit(1)


def reading_process() -> int:
    """The client's process that reads from the wire; 0 if there is none at the moment."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if process_status(int(path.name))["PPid"] == str(clients[-1]):
                return int(path.name)
    return 0


def process_status(process: int) -> dict[str, str]:
    """The fields of /proc/PID/status (proc(5))."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def stop_client() -> None:
    """End the client."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(clients[-1], signal.SIGKILL)
    os.waitpid(clients[-1], 0)


def recorded_leases(folder: Path) -> list[str]:
    """The lines that the client wrote."""
    record = folder / "record"
    return record.read_text().splitlines() if record.exists() else []


def solicit(source: str | None, device: str | None) -> str:
    """Send a router solicitation as root, from a given source or none, bound to a device or not.

    Returns "sent" or the error's name.
    """

    def attempt() -> str:
        with ra.open_socket(device or "") as asking:
            if source is not None:
                asking.bind((source, 0, 0, socket.if_nametoindex(DEVICE)))
            asking.sendto(message.encode(bytes(6)), (client.ALL_ROUTERS, 0))
        return "sent"

    return verdict(attempt)


sockets: list[socket.socket] = []


def open_socket() -> None:
    """Open a socket that receives what the client receives."""
    sockets.append(ra.open_socket(DEVICE))


def received_types() -> set[int]:
    """The ICMPv6 types that the socket received."""
    sockets[-1].settimeout(0.5)
    types = set()
    with contextlib.suppress(TimeoutError):
        while True:
            types.add(sockets[-1].recv(message.MAX_SIZE)[0])
    return types
