"""The process that asks for an address: it has one socket, one pipe, and nothing else.

In: an interface, and the datagrams of anybody.  Out: what it holds, told to the process that may
use it: a lease as `lease.pack` makes it, `NOTHING`, or `REFUSED` and why.

It reads what strangers send, so it is no longer root by then, and sees no files. Its socket was
opened as root: that is whose packets the kernel takes them for (sk_uid, net/socket.c).
"""

from __future__ import annotations

import os
import resource
import select
import signal
import socket

from pbrinit.boot import calls, links
from pbrinit.boot.dhcpclient import Client
from pbrinit.boot.dhcpmessage import MOST
from pbrinit.boot.lease import pack
from pbrinit.boot.say import seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pbrinit.boot.dhcpclient import Identity
    from pbrinit.boot.lease import Lease

CLIENT_PORT, SERVER_PORT = 68, 67
NOBODY = 65533
"""The user that it is: no policy's, but one that a user namespace has."""

EMPTY = "/run/empty"
"""All the files that it sees: none."""

NOTHING = b"-"
REFUSED = b"!"
LONGEST_REASON = 200
LONGEST_WAIT = 3600.0
ENODEV = 19


def open_socket(device: str) -> socket.socket:
    """A socket that hears and asks on one device alone.

    Raises OSError.
    """
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    found.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    found.bind(("", CLIENT_PORT))
    return found


def ask(
    identity: Identity,
    device: str,
    told: socket.socket,
    held: tuple[Lease, float] | None,
    parent: int,
) -> None:
    """Ask without end, and tell what is held, in a process that this becomes.

    Raises OSError where there is no such device, or not any more, or this cannot become nobody.
    """
    mac = bytes.fromhex(links.mac(device).replace(":", ""))
    asking = open_socket(device)
    _become_nobody({asking.fileno(), told.fileno()}, parent)
    serve(Client(identity, mac, _below, seconds(), held), asking, told)


def serve(client: Client, asking: socket.socket, told: socket.socket) -> None:
    """Do what is due and hear what comes, without end. Raises OSError where the device is gone."""
    before, refused = client.held, ""
    while True:
        _send(asking, client.tick(seconds()))
        if client.held != before:
            before = client.held
            told.send(pack(before[0]) if before else NOTHING)
        if client.refused != refused:
            refused = client.refused
            told.send(REFUSED + refused.encode()[:LONGEST_REASON])
        wait = max(0.0, min(client.due - seconds(), LONGEST_WAIT))
        if select.select([asking], [], [], wait)[0]:
            _send(asking, client.receive(asking.recv(MOST), seconds()))


def _below(number: int) -> int:
    """A number below another one that nobody can guess."""
    return int.from_bytes(os.urandom(8), "big") % number


def _send(asking: socket.socket, datagrams: list[tuple[bytes, str]]) -> None:
    """Send them; one that cannot leave now is sent again in time. Raises OSError where the device
    is gone: another of its name is not this socket's.
    """
    for data, to in datagrams:
        try:
            asking.sendto(data, (to, SERVER_PORT))
        except OSError as error:
            if error.errno == ENODEV:
                raise


def _become_nobody(kept: set[int], parent: int) -> None:
    """Let go of everything but these descriptors; end with the parent."""
    os.makedirs(EMPTY, exist_ok=True)  # noqa: PTH103  pathlib is not in the image
    os.chroot(EMPTY)
    os.chdir("/")
    calls.close_all_but(kept, first=0)
    calls.become(NOBODY)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    calls.die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
