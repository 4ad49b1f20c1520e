"""Interfaces: named, brought up as planned, looked at.

In: `LinkPlan` values and a `Kernel`.  Out: interfaces that are up with their addresses and
routes, or a `LinkError` that says at which message it ended.
"""

from __future__ import annotations

import _socket
import os
import struct
import time

from pbrinit.boot import sysctl
from pbrinit.boot.rtnetlink import KernelError, attributes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pbrinit.boot.rtnetlink import Kernel
    from pbrinit.bootfile import LinkPlan

DEVICES = "/sys/class/net"
FAMILIES = (2, 10)
RTM_GETADDR = 22
ADDRESS = struct.Struct("=BBBBI")
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
IFA_F_DADFAILED, IFA_F_TENTATIVE = 0x08, 0x40
IFF_UP = 1
TENTATIVE_SECONDS = 4
"""Duplicate address detection takes one second and a random one before (RFC 4862, 5.4.2)."""


class LinkError(Exception):
    """An interface that could not be made what the plan says; the text says where."""


def devices() -> list[str]:
    """The names of all devices, the policy's and others."""
    return sorted(os.listdir(DEVICES))  # noqa: PTH208  pathlib is not in the image


def is_up(device: str) -> bool:
    """Whether the device is up, as `ip link set up` means it."""
    return bool(int(_told(device, "flags"), 16) & IFF_UP)


def carrier(device: str) -> bool:
    """Whether the device is up and has a cable, or what stands for one."""
    return is_up(device) and _told(device, "carrier") == "1"


def counters(device: str) -> tuple[int, int]:
    """Frames received and sent."""
    statistics = ("statistics/rx_packets", "statistics/tx_packets")
    received, sent = (int(_told(device, name)) for name in statistics)
    return received, sent


def _told(device: str, name: str) -> str:
    with open(f"{DEVICES}/{device}/{name}") as file:  # noqa: PTH123
        return file.read().strip()


def bring_up(kernel: Kernel, link: LinkPlan) -> None:
    """Do all of one link: name, sysctls, up, routes, addresses, in the plan's order.

    Raises LinkError, OSError or SysctlError; the link may then be up, and is filtered.
    """
    if link.rename is not None:
        found = next((d for d in devices() if _told(d, "address") == link.mac), None)
        if found is None:
            raise LinkError(f"no device has the MAC address {link.mac}")
        if found != link.device:
            _send(kernel, (link.rename,), _socket.if_nametoindex(found))
    if link.device not in devices():
        raise LinkError(f"there is no device {link.device}, only {' '.join(devices())}")
    sysctl.write(link.sysctls)
    index = _socket.if_nametoindex(link.device)
    _send(kernel, link.messages, index)
    for text, pieces, size, offset in link.bulks:
        for piece in pieces:
            try:
                kernel.pour(_pointed(piece, size, offset, index))
            except KernelError as error:
                raise LinkError(f"{text}, route {error.index}: {error.reason}") from None


def _pointed(piece: bytes, size: int, offset: int, index: int) -> bytes:
    """The messages of a piece with the interface's index in each, where there is a place for it."""
    if not offset:
        return piece
    data = bytearray(piece)
    for number, byte in enumerate(struct.pack("=I", index)):
        data[offset + number :: size] = bytes([byte]) * (len(piece) // size)
    return bytes(data)


def _send(
    kernel: Kernel, messages: tuple[tuple[str, bytes, tuple[int, ...]], ...], index: int
) -> None:
    ready = []
    for _, message, offsets in messages:
        data = bytearray(message)
        for at in offsets:
            data[at : at + 4] = struct.pack("=I", index)
        ready.append(bytes(data))
    try:
        kernel.apply(ready)
    except KernelError as error:
        raise LinkError(f"{messages[error.index][0]}: {error.reason}") from None


def addresses(kernel: Kernel) -> list[tuple[int, str, int]]:
    """Every address: the device's index, the address with its prefix length, its flags."""
    found = []
    for family in FAMILIES:
        for payload in kernel.dump(RTM_GETADDR, family, ADDRESS.size):
            family_, length, _, _, index = ADDRESS.unpack_from(payload)
            told = dict(attributes(payload, ADDRESS.size))
            text = _socket.inet_ntop(family_, told.get(IFA_LOCAL) or told[IFA_ADDRESS])
            flags = int.from_bytes(told.get(IFA_FLAGS, b"\0"), "little")
            found.append((index, f"{text}/{length}", flags))
    return found


def wait_for_addresses(kernel: Kernel) -> list[str]:
    """Wait until no address is tentative; the ones that somebody else has are returned."""
    end = time.monotonic() + TENTATIVE_SECONDS
    while True:
        found = addresses(kernel)
        if time.monotonic() > end or not any(flags & IFA_F_TENTATIVE for _, _, flags in found):
            return [text for _, text, flags in found if flags & IFA_F_DADFAILED]
        time.sleep(0.05)
