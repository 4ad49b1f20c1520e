"""A cable from a guest's card to a network namespace, for real clients and servers.

In: the two sockets of a QEMU `dgram` network.  Out: a tap device in the namespace, connected to the
guest's card.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import threading

from factory.vm.qemu import Dgram
from tests.support.namespaces.lab import Namespace

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x2, 0x1000
LONGEST = 65536


def carry_frames(device: str, guest: str, far: str) -> None:
    """Make the tap `device`, and carry frames between it and the sockets at these paths."""
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TAP | IFF_NO_PI))
    wire = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    wire.bind(far)

    def inward() -> None:
        while True:
            # Frames to a guest that does not run, or to a device that is down, are dropped.
            frame = os.read(tap, LONGEST)
            with contextlib.suppress(OSError):
                wire.sendto(frame, guest)

    def outward() -> None:
        while True:
            frame = wire.recv(LONGEST)
            with contextlib.suppress(OSError):
                os.write(tap, frame)

    for work in (inward, outward):
        threading.Thread(target=work, daemon=True).start()


def namespace_at(netdev: Dgram, *addresses: str) -> Namespace:
    """A namespace with these addresses at the other end of a guest's card; its device is eth0.

    Addresses without a prefix length are behind it: it does not answer ARP for them.
    """
    machine = Namespace()
    machine.do(carry_frames, "eth0", str(netdev.local), str(netdev.remote))
    for key in ("arp_announce=2", "arp_ignore=1"):
        machine.run("sysctl", "-qw", f"net/ipv4/conf/all/{key}")
    machine.run("ip", "link", "set", "lo", "up")
    machine.run("ip", "link", "set", "eth0", "up")
    for address in addresses:
        nodad = ("nodad",) if ":" in address else ()
        where = "eth0" if "/" in address else "lo"
        machine.run("ip", "address", "add", address, "dev", where, *nodad)
    return machine
