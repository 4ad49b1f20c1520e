"""Addresses, and the routes that the kernel makes of them by itself.

In: the links of the plan that are up, a `Kernel`, and what it told of its own routes.  Out: how
addresses and these routes differ from the plan, each with the messages that make it right.
Source: fib_add_ifaddr in net/ipv4/fib_frontend.c; addrconf.c and addrconf_f6i_alloc in net/ipv6.
"""

from __future__ import annotations

import _socket
import struct

from pbrinit.boot.network import routes
from pbrinit.wire.netlink import route_dump
from pbrinit.wire.netlink.socket import HEADER, attributes, removal, with_index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pbrinit.boot.network.routes import Link, Repair
    from pbrinit.wire.netlink.socket import Kernel

    Own = tuple[int, int, int, bytes, int]

FAMILIES = (2, 10)
V4, V6 = FAMILIES
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
ADDRESS = struct.Struct("=BBBBI")
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
IFA_F_DADFAILED, IFA_F_TENTATIVE = 0x08, 0x40
UNICAST, LOCAL, BROADCAST, ANYCAST, MULTICAST = 1, 2, 3, 4, 5
MAIN, OWN = 254, 255
LINK_LOCAL = bytes.fromhex("fe80") + bytes(14)
GROUPS = bytes.fromhex("ff") + bytes(15)
LOOPBACK4, LOOPBACK6 = bytes((127, 0, 0, 1)), bytes(15) + b"\1"
LOOPBACK_LENGTH, ALL4, ALL6, HALF6 = 8, 32, 128, 64


class Book:
    """The addresses that there are: by family, device and bytes, with prefix length and flags."""

    def __init__(self, kernel: Kernel) -> None:
        self.held: dict[tuple[int, int, bytes], tuple[int, int, bytes]] = {}
        for family in FAMILIES:
            for payload in kernel.dump(RTM_GETADDR, family, ADDRESS.size):
                family_, length, flags, _, index = ADDRESS.unpack_from(payload)
                told = dict(attributes(payload, ADDRESS.size))
                flags = int.from_bytes(told.get(IFA_FLAGS, bytes([flags])), "little")
                own = told.get(IFA_LOCAL) or told[IFA_ADDRESS]
                self.held[family_, index, own] = (length, flags, payload)

    def listed(self) -> list[tuple[int, str, int]]:
        """Every address: the device's index, the address with its prefix length, its flags."""
        return [
            (index, f"{_socket.inet_ntop(family, own)}/{length}", flags)
            for (family, index, own), (length, flags, _) in self.held.items()
        ]


def removals(kernel: Kernel, device: int) -> list[bytes]:
    """The messages that take all addresses from the device with this index."""
    held = Book(kernel).held.items()
    payloads = (payload for (_, index, _), (_, _, payload) in held if index == device)
    return [removal(RTM_DELADDR, payload) for payload in payloads]


def differences(links: Iterable[Link], loopback: int, book: Book) -> Iterator[Repair]:
    """Addresses that are missing, and those that nobody planned."""
    planned = {(V4, loopback, LOOPBACK4): 8, (V6, loopback, LOOPBACK6): ALL6}
    for link, index in links:
        for text, message, offsets in link.messages:
            address = _address(message)
            if address is not None:
                family, length, own = address
                planned[family, index, own] = length
                held = book.held.get((family, index, own))
                if held is None or held[0] != length:
                    wrong = () if held is None else (removal(RTM_DELADDR, held[2]),)
                    yield f"missing: {text}", (*wrong, with_index(message, offsets, index))
    for (family, index, own), (length, _, payload) in book.held.items():
        link_local = family == V6 and own[:8] == LINK_LOCAL[:8]
        if (family, index, own) not in planned and not link_local:
            yield (
                f"not in the plan: address {_socket.inet_ntop(family, own)}/{length}",
                (removal(RTM_DELADDR, payload),),
            )


def own_differences(
    links: Iterable[Link], loopback: int, book: Book, own: Iterable[bytes], known: set[int]
) -> Iterator[Repair]:
    """Of the routes that the kernel makes by itself, those that no planned address explains, and
    those of planned addresses that are not there.

    `known` are the indexes of the devices whose routes are looked at.
    """
    allowed, needed = _loopbacks(loopback), {}
    for link, index in links:
        for text, message, offsets in link.messages:
            address = _address(message)
            if address is None:
                continue
            family, length, value = address
            made = _made(family, length, value, index)
            allowed |= made
            held = book.held.get((family, index, value))
            if held is not None and not held[1] & (IFA_F_TENTATIVE | IFA_F_DADFAILED):
                again = (removal(RTM_DELADDR, held[2]), with_index(message, offsets, index))
                bits = ALL4 if family == V4 else ALL6
                needed[family, LOCAL, OWN, bytes([bits]) + value, index] = (text, again)
    for payload in own:
        told = _own(payload)
        needed.pop(told, None)
        if told[4] and told[4] not in known:
            continue
        if told not in allowed and not _of_link_local(told, {index for _, index in links}):
            text = f"not in the plan: route {routes.describe(payload)}"
            yield text, (removal(routes.RTM_DELROUTE, payload),)
    for text, again in needed.values():
        yield f"missing: the kernel's own route after {text}", again


def _made(family: int, length: int, value: bytes, index: int) -> set[Own]:
    """The routes that come with an address."""
    bits = len(value) * 8
    number = int.from_bytes(value, "big")
    mask = (1 << bits) - (1 << (bits - length))
    network = (number & mask).to_bytes(bits // 8, "big")
    last = (number | ((1 << bits) - 1 - mask)).to_bytes(bits // 8, "big")
    found = {
        (family, LOCAL, OWN, bytes([bits]) + value, index),
        (family, UNICAST, MAIN, bytes([length]) + network, index),
    }
    if family == V4:
        return found | {(family, BROADCAST, OWN, bytes([bits]) + end, index)
                        for end in (network, last)}  # fmt: skip
    return found | {(family, ANYCAST, OWN, bytes([bits]) + network, index)}


def _loopbacks(index: int) -> set[Own]:
    found = _made(V4, LOOPBACK_LENGTH, LOOPBACK4, index) | _made(V6, ALL6, LOOPBACK6, index)
    return found | {(V4, LOCAL, OWN, bytes([LOOPBACK_LENGTH, 127, 0, 0, 0]), index)}


def _of_link_local(told: Own, indexes: set[int]) -> bool:
    """Whether IPv6 makes it for every device that is up."""
    family, kind, table, prefix, index = told
    if family != V6 or index not in indexes:
        return False
    length, value = prefix[0], prefix[1:]
    return (
        (kind == MULTICAST and table == OWN and value == GROUPS)
        or (kind == UNICAST and table == MAIN and length == HALF6 and value == LINK_LOCAL)
        or (kind in (LOCAL, ANYCAST) and table == OWN and length == ALL6
            and value[:8] == LINK_LOCAL[:8])
    )  # fmt: skip


def _own(payload: bytes) -> Own:
    family, length, _, _, table, _, _, kind, _ = route_dump.ROUTE.unpack_from(payload)
    told = dict(attributes(payload, route_dump.ROUTE.size))
    number = int.from_bytes(told.get(route_dump.RTA_TABLE, bytes([table])), "little")
    index = int.from_bytes(told.get(route_dump.RTA_OIF, b"\0"), "little")
    value = told.get(route_dump.RTA_DST, bytes(route_dump.SIZES[family]))
    return family, kind, number, bytes([length]) + value, index


def _address(message: bytes) -> tuple[int, int, bytes] | None:
    """Family, prefix length and bytes, of a message that adds an address."""
    if struct.unpack_from("=H", message, 4)[0] != RTM_NEWADDR:
        return None
    family, length, _, _, _ = ADDRESS.unpack_from(message, HEADER.size)
    told = dict(attributes(message[HEADER.size :], ADDRESS.size))
    return family, length, told[IFA_LOCAL]
