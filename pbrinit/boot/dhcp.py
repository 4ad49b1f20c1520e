"""The process that asks for an address by DHCP.

In: an interface, and the datagrams of anybody.  Out: the lease that it holds, told as `asking`
does.
"""

from __future__ import annotations

import socket

from pbrinit.boot import links
from pbrinit.boot.asking import become_nobody, below, serve
from pbrinit.boot.dhcpclient import Client
from pbrinit.boot.dhcpmessage import MOST
from pbrinit.boot.lease import unpack
from pbrinit.boot.say import seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pbrinit.boot.asking import Identity, Sent

CLIENT_PORT, SERVER_PORT = 68, 67


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
    pipe: socket.socket,
    held: tuple[bytes, float] | None,
    parent: int,
) -> None:
    """Ask without end, and tell what is held, in a process that this becomes; `held` is what an
    earlier one told, and since when it is held.

    Raises OSError where there is no such device, or not any more, or this cannot become nobody.
    """
    mac = bytes.fromhex(links.mac(device).replace(":", ""))
    asking = open_socket(device)
    become_nobody({asking.fileno(), pipe.fileno()}, parent)
    known = (unpack(held[0], identity.taken), held[1]) if held else None
    client = Client(identity, mac, below, seconds(), known)

    def hear() -> Sent:
        return client.receive(asking.recv(MOST), seconds())

    def send(data: bytes, to: str) -> None:
        asking.sendto(data, (to, SERVER_PORT))

    serve(client, asking, pipe, hear=hear, send=send)
