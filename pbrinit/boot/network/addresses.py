"""Addresses, and the routes that the kernel makes of them by itself.

In: the links of the plan that are up, a `Kernel`, and what it told of its own routes.  Out: how
addresses and these routes differ from the plan, each with the messages that make it right.
Source: fib_add_ifaddr in net/ipv4/fib_frontend.c; addrconf.c and addrconf_f6i_alloc in net/ipv6.
"""

from __future__ import annotations

import _socket
import struct

from pbrinit.boot.network import routes
from pbrinit.boot.network.repair import EXTRA, MISSING, OF_ADDRESS, OF_OWN_ROUTE, Repair
from pbrinit.wire.netlink import route_dump
from pbrinit.wire.netlink.constants import NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST
from pbrinit.wire.netlink.socket import ATTRIBUTE, HEADER, attributes, removal, with_index
from pbrinit.wire.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pbrinit.boot.network.routes import Link
    from pbrinit.wire.netlink.socket import Kernel

    KernelRoute = tuple[int, int, int, bytes, int]

FAMILIES = (2, 10)
V4, V6 = FAMILIES
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
ADDRESS = struct.Struct("=BBBBI")
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
IFA_F_NODAD, IFA_F_DADFAILED, IFA_F_TENTATIVE = 0x02, 0x08, 0x40
ADD = NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE
UNICAST, LOCAL, BROADCAST, ANYCAST, MULTICAST = 1, 2, 3, 4, 5
MAIN_TABLE, LOCAL_TABLE = 254, 255
LINK_LOCAL = bytes.fromhex("fe80") + bytes(14)
GROUPS = bytes.fromhex("ff") + bytes(15)
LOOPBACK4, LOOPBACK6 = bytes((127, 0, 0, 1)), bytes(15) + b"\1"
LOOPBACK_LENGTH, ALL4, ALL6, HALF6 = 8, 32, 128, 64


class Addresses:
    """The addresses that there are: by family, device and bytes, with prefix length and flags."""

    def __init__(self, kernel: Kernel) -> None:
        self.by_key: dict[tuple[int, int, bytes], tuple[int, int, bytes]] = {}
        for family in FAMILIES:
            for payload in kernel.dump(RTM_GETADDR, family, ADDRESS.size):
                family_, length, flags, _, index = ADDRESS.unpack_from(payload)
                values = dict(attributes(payload, ADDRESS.size))
                flags = int.from_bytes(values.get(IFA_FLAGS, bytes([flags])), "little")
                own = values.get(IFA_LOCAL) or values[IFA_ADDRESS]
                self.by_key[family_, index, own] = (length, flags, payload)

    def as_list(self) -> list[tuple[int, str, int]]:
        """Every address: the device's index, the address with its prefix length, its flags."""
        return [
            (index, f"{_socket.inet_ntop(family, own)}/{length}", flags)
            for (family, index, own), (length, flags, _) in self.by_key.items()
        ]


def removals(kernel: Kernel, device: int) -> list[bytes]:
    """The messages that take all addresses from the device with this index."""
    held = Addresses(kernel).by_key.items()
    payloads = (payload for (_, index, _), (_, _, payload) in held if index == device)
    return [removal(RTM_DELADDR, payload) for payload in payloads]


def differences(links: Iterable[Link], loopback: int, book: Addresses) -> Iterator[Repair]:
    """Addresses that are missing, and those that nobody planned."""
    planned = {(V4, loopback, LOOPBACK4): 8, (V6, loopback, LOOPBACK6): ALL6}
    for link, index in links:
        for text, message, offsets in link.messages:
            address = _parse_address(message)
            if address is not None:
                family, length, own = address
                planned[family, index, own] = length
                held = book.by_key.get((family, index, own))
                if held is None or held[0] != length:
                    wrong = () if held is None else (removal(RTM_DELADDR, held[2]),)
                    messages = (*wrong, with_index(message, offsets, index))
                    yield Repair(OF_ADDRESS, MISSING, text, messages)
    for (family, index, own), (length, _, payload) in book.by_key.items():
        link_local = family == V6 and own[:8] == LINK_LOCAL[:8]
        if (family, index, own) not in planned and not link_local:
            thing = (family, own, length, index)
            yield Repair(OF_ADDRESS, EXTRA, thing, (removal(RTM_DELADDR, payload),))


class Refused(Record):
    """An address that the kernel does not use, since another host says that it is his: the address
    in text, and the messages that remove it, set it again, and set it without trying it.
    """

    index: int
    own: bytes
    text: str
    removal: bytes
    again: bytes
    untried: bytes


def refused(links: Iterable[Link], book: Addresses) -> Iterator[Refused]:
    """Each planned address, and each link-local one, for which duplicate address detection has
    failed.
    """
    indexes = {index for _, index in links}
    for (family, index, own), (length, flags, payload) in book.by_key.items():
        if flags & IFA_F_DADFAILED and index in indexes:
            yield Refused(
                index=index,
                own=own,
                text=f"{_socket.inet_ntop(family, own)}/{length}",
                removal=removal(RTM_DELADDR, payload),
                again=_addition(length, own, index, 0),
                untried=_addition(length, own, index, IFA_F_NODAD),
            )


def _addition(length: int, own: bytes, index: int, flags: int) -> bytes:
    """The message that adds an IPv6 address."""
    body = ADDRESS.pack(V6, length, flags, 0, index)
    for kind in (IFA_LOCAL, IFA_ADDRESS):
        body += ATTRIBUTE.pack(ATTRIBUTE.size + len(own), kind) + own
    return HEADER.pack(HEADER.size + len(body), RTM_NEWADDR, ADD, 0, 0) + body


def own_differences(
    links: Iterable[Link], loopback: int, book: Addresses, own: Iterable[bytes], indexes: set[int]
) -> Iterator[Repair]:
    """Of the routes that the kernel makes by itself, those that no planned address explains, and
    those of planned addresses that are not there.

    `known` are the indexes of the devices whose routes are looked at.
    """
    allowed, needed = _loopback_routes(loopback), {}
    for link, index in links:
        for text, message, offsets in link.messages:
            address = _parse_address(message)
            if address is None:
                continue
            family, length, value = address
            allowed |= _kernel_routes(family, length, value, index)
            held = book.by_key.get((family, index, value))
            if held is not None and not held[1] & (IFA_F_TENTATIVE | IFA_F_DADFAILED):
                again = (removal(RTM_DELADDR, held[2]), with_index(message, offsets, index))
                bits = ALL4 if family == V4 else ALL6
                needed[family, LOCAL, LOCAL_TABLE, bytes([bits]) + value, index] = (text, again)
    for payload in own:
        route = _parse_route(payload)
        needed.pop(route, None)
        if route[4] and route[4] not in indexes:
            continue
        if route not in allowed and not _is_link_local_route(route, {index for _, index in links}):
            yield Repair(OF_OWN_ROUTE, EXTRA, route, (removal(routes.RTM_DELROUTE, payload),))
    for text, again in needed.values():
        yield Repair(OF_OWN_ROUTE, MISSING, text, again)


def name(thing: str | tuple[int, bytes, int, int]) -> str:
    """What a repair of `differences` is about, for a person: an address that is missing as the
    plan's command.
    """
    if isinstance(thing, str):
        return thing
    family, own, length, _ = thing
    return f"address {_socket.inet_ntop(family, own)}/{length}"


def name_own(thing: str | KernelRoute) -> str:
    """What a repair of `own_differences` is about, for a person."""
    if isinstance(thing, str):
        return f"the kernel's own route after {thing}"
    family, kind, table, prefix, _ = thing
    return f"route {routes.in_short(family, prefix[1:], prefix[0], kind, table)}"


def _kernel_routes(family: int, length: int, value: bytes, index: int) -> set[KernelRoute]:
    """The routes that come with an address."""
    bits = len(value) * 8
    number = int.from_bytes(value, "big")
    mask = (1 << bits) - (1 << (bits - length))
    network = (number & mask).to_bytes(bits // 8, "big")
    last = (number | ((1 << bits) - 1 - mask)).to_bytes(bits // 8, "big")
    routes = {
        (family, LOCAL, LOCAL_TABLE, bytes([bits]) + value, index),
        (family, UNICAST, MAIN_TABLE, bytes([length]) + network, index),
    }
    if family == V4:
        return routes | {(family, BROADCAST, LOCAL_TABLE, bytes([bits]) + end, index)
                        for end in (network, last)}  # fmt: skip
    return routes | {(family, ANYCAST, LOCAL_TABLE, bytes([bits]) + network, index)}


def _loopback_routes(index: int) -> set[KernelRoute]:
    routes = _kernel_routes(V4, LOOPBACK_LENGTH, LOOPBACK4, index) | _kernel_routes(
        V6, ALL6, LOOPBACK6, index
    )
    return routes | {(V4, LOCAL, LOCAL_TABLE, bytes([LOOPBACK_LENGTH, 127, 0, 0, 0]), index)}


def _is_link_local_route(route: KernelRoute, indexes: set[int]) -> bool:
    """Whether IPv6 makes it for every device that is up."""
    family, kind, table, prefix, index = route
    if family != V6 or index not in indexes:
        return False
    length, value = prefix[0], prefix[1:]
    return (
        (kind == MULTICAST and table == LOCAL_TABLE and value == GROUPS)
        or (kind == UNICAST and table == MAIN_TABLE and length == HALF6 and value == LINK_LOCAL)
        or (kind in (LOCAL, ANYCAST) and table == LOCAL_TABLE and length == ALL6
            and value[:8] == LINK_LOCAL[:8])
    )  # fmt: skip


def _parse_route(payload: bytes) -> KernelRoute:
    family, length, _, _, table, _, _, kind, _ = route_dump.ROUTE.unpack_from(payload)
    values = dict(attributes(payload, route_dump.ROUTE.size))
    number = int.from_bytes(values.get(route_dump.RTA_TABLE, bytes([table])), "little")
    index = int.from_bytes(values.get(route_dump.RTA_OIF, b"\0"), "little")
    value = values.get(route_dump.RTA_DST, bytes(route_dump.SIZES[family]))
    return family, kind, number, bytes([length]) + value, index


def _parse_address(message: bytes) -> tuple[int, int, bytes] | None:
    """Family, prefix length and bytes, of a message that adds an address."""
    if struct.unpack_from("=H", message, 4)[0] != RTM_NEWADDR:
        return None
    family, length, _, _, _ = ADDRESS.unpack_from(message, HEADER.size)
    values = dict(attributes(message[HEADER.size :], ADDRESS.size))
    return family, length, values[IFA_LOCAL]
