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
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.bind(("", CLIENT_PORT))
    return sock


def receive(client: Client, sock: socket.socket) -> Sent:
    """Have the client take a datagram; what is to be sent then."""
    data, (sender, _) = sock.recvfrom(MAX_SIZE)
    return client.receive(data, socket.inet_aton(sender), seconds())


PROTOCOL = AddressProtocol(
    what="lease",
    open_socket=open_socket,
    client=Client,
    unpack=unpack,
    receive=receive,
    port=SERVER_PORT,
)
