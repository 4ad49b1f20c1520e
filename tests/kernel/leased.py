"""A DHCP server on one side, and a machine that asks on the other: acts of `tests.kernel.lab`.

In: plain values.  Out: plain values.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pbrinit.boot import tenant
from pbrinit.boot.dhcpclient import Identity
from pbrinit.boot.lease import Lease
from pbrinit.boot.say import seconds
from tests.kernel.lab import Namespace

SERVER = "192.0.2.1"
DEVICE = "eth0"
LEASE = Lease(
    address="192.0.2.77", length=24, gateway=SERVER, server=SERVER,
    seconds=120, renew=5, rebind=100, resolvers=(),
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


def ask(told: str, held: bool = False, taken: tuple[tuple[int, int], ...] = ()) -> None:
    """Ask for an address as PID 1 does, and write down each lease, a line each; `held` goes on
    with the lease of LEASE.
    """
    child = os.fork()
    if child:
        tenants.append(child)
        return
    os.setpgid(0, 0)

    def use(lease: Lease | None, anyone: bool) -> None:
        with Path(told).open("a") as file:
            said = f"{lease.address}/{lease.length} {lease.gateway}" if lease else "none"
            file.write(f"{said}{' anyone' if anyone else ''}\n")

    try:
        identity = Identity(hostname="gate", taken=taken)
        asking = tenant.Tenant("wan", DEVICE, identity, use)
        asking.keep((LEASE, seconds()) if held else None)
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
