"""The process that asks for an address by router advertisement.

In: an interface, and the ICMPv6 messages of anybody.  Out: what a router gives, told as `asking`
does.

The kernel makes nothing of advertisements by itself (accept_ra is 0): what they say is read here.
"""

from __future__ import annotations

import socket
import struct

from pbrinit.boot.autoconf.client_process import AddressProtocol
from pbrinit.boot.system.log import seconds
from pbrinit.wire.ndp.address import unpack
from pbrinit.wire.ndp.client import Client
from pbrinit.wire.ndp.message import ADVERTISEMENT, HOP_LIMIT, MAX_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pbrinit.wire.assignment import Sent

ICMP6_FILTER = 1
FILTER = bytearray(b"\xff" * 32)
FILTER[ADVERTISEMENT // 8] &= ~(1 << ADVERTISEMENT % 8)
"""A bit for each type that is not heard (RFC 3542, section 3.2; ICMP6_FILTER, linux/icmpv6.h), in
words of 32 in the machine's order, which on x86-64 is that of the bytes."""

NUMBER = struct.Struct("=i")


def open_socket(device: str) -> socket.socket:
    """A socket that hears advertisements alone, and asks, on one device alone.

    Raises OSError.
    """
    sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    sock.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, bytes(FILTER))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOP_LIMIT)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    return sock


def receive_message(sock: socket.socket) -> tuple[bytes, bytes, int]:
    """A message, its source and how many hops it had left, 0 where the kernel does not say."""
    data, ancillary, _, sender = sock.recvmsg(MAX_SIZE, socket.CMSG_SPACE(NUMBER.size))
    source = socket.inet_pton(socket.AF_INET6, sender[0].partition("%")[0])
    kind = (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT)
    hops = [NUMBER.unpack(value)[0] for *of, value in ancillary if tuple(of) == kind]
    return data, source, hops[0] if hops else 0


def receive(client: Client, sock: socket.socket) -> Sent:
    """Have the client take a message; what is to be sent then."""
    return client.receive(*receive_message(sock), seconds())


PROTOCOL = AddressProtocol(
    what="advertisement",
    open_socket=open_socket,
    client=Client,
    unpack=unpack,
    receive=receive,
    port=0,
)
