"""A cable from a guest's card to a kernel, for real clients and servers.

In: the two sockets of a QEMU `dgram` network.  Out: a device in the namespace with the guest at its
other end; what is sent by it is a frame for the guest, and the other way round.
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


def plug(device: str, guest: str, far: str) -> None:
    """Make `device`, and pass on frames from and to the sockets at these paths from now on."""
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TAP | IFF_NO_PI))
    wire = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    wire.bind(far)

    def inward() -> None:
        while True:
            # A guest that is not there, or is down, hears nothing; nor does a device that is.
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


def plugged(netdev: Dgram, *addresses: str) -> Namespace:
    """A machine with these addresses at the other end of a guest's card, where it is eth0; those
    without a prefix length are behind it.
    """
    machine = Namespace()
    machine.do(plug, "eth0", str(netdev.local), str(netdev.remote))
    for key in ("arp_announce=2", "arp_ignore=1"):
        machine.run("sysctl", "-qw", f"net/ipv4/conf/all/{key}")
    machine.run("ip", "link", "set", "lo", "up")
    machine.run("ip", "link", "set", "eth0", "up")
    for address in addresses:
        nodad = ("nodad",) if ":" in address else ()
        where = "eth0" if "/" in address else "lo"
        machine.run("ip", "address", "add", address, "dev", where, *nodad)
    return machine
