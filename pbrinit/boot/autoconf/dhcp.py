"""The process that asks for an address by DHCP.

In: an interface, and the datagrams of anybody.  Out: the lease that it holds, told as `asking`
does.
"""

from __future__ import annotations

import socket

from pbrinit.boot.autoconf.client_process import AddressProtocol
from pbrinit.boot.system.log import seconds
from pbrinit.wire.dhcp.client import Client
from pbrinit.wire.dhcp.lease import unpack
from pbrinit.wire.dhcp.message import MAX_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pbrinit.wire.assignment import Sent

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


def hear(client: Client, asking: socket.socket) -> Sent:
    """Have the client take a datagram; what is to be sent then."""
    return client.receive(asking.recv(MAX_SIZE), seconds())


PROTOCOL = AddressProtocol(
    what="lease", open_socket=open_socket, client=Client, unpack=unpack, hear=hear, port=SERVER_PORT
)
