"""Which device leads into a room: the one that was made for it, and no other of the same name.

In: the name of a device.  Out: what the kernel knows it by, remembered in a file when it is made,
before it is up; and whether the one that is there now is another.
"""

from __future__ import annotations

import os
import struct

from pbrinit.boot.system.atomic_file import atomic_write
from pbrinit.wire.netlink.socket import ATTRIBUTE, HEADER, Kernel, attributes

FOLDER = "/run/rooms"
GET_LINK, DELETE_LINK, ACK, REQUEST = 18, 17, 5, 1
LINK = struct.Struct("=BBHiII")
IFF_UP = 1
NAME, PEER, FILTER, NAMESPACE = 3, 5, 29, 37
WITHOUT_COUNTERS = 8
"""Of linux/rtnetlink.h and if_link.h; PEER is IFLA_LINK, NAMESPACE is IFLA_LINK_NETNSID."""

HERE, GOING = "-", "-1"
"""In the place of a namespace: it is the device's own, or one that is being taken down, which loses
its number before its devices go (cleanup_net, net/core/net_namespace.c)."""


def identity(kernel: Kernel, device: str) -> tuple[str, bool]:
    """Its index, the index of its other end, and the namespace where that is; empty where there is
    no such device. No two devices have the same at a time. And whether it is up.

    Raises KernelError.
    """
    name = device.encode() + b"\0"
    body = LINK.pack(0, 0, 0, 0, 0, 0) + _attribute(NAME, name)
    body += _attribute(FILTER, struct.pack("=I", WITHOUT_COUNTERS))
    error, answer = kernel.request(HEADER.pack(16 + len(body), GET_LINK, REQUEST, 0, 0) + body)
    if error:
        return "", False
    _, _, _, index, flags, _ = LINK.unpack_from(answer)
    found = dict(attributes(answer, LINK.size))
    ends = [str(struct.unpack("=i", found[kind])[0]) if kind in found else HERE
            for kind in (PEER, NAMESPACE)]  # fmt: skip
    return f"{index} {ends[0]} {ends[1]}", bool(flags & IFF_UP)


def remember(kernel: Kernel, device: str) -> None:
    """Write down which one it is, before it is up. Raises OSError, KernelError."""
    os.makedirs(FOLDER, 0o700, exist_ok=True)  # noqa: PTH103  pathlib is not in the image
    atomic_write(f"{FOLDER}/{device}", identity(kernel, device)[0].encode())


def is_remembered(device: str) -> bool:
    """Whether the device is the one that was made. Raises OSError, KernelError."""
    with Kernel() as kernel:
        return identity(kernel, device)[0] == _remembered(device) != ""


def remove_forged(kernel: Kernel, device: str) -> bool:
    """Take the device away where it is up and is not the one that was made, and say whether.

    One that is being made is remembered before it is up, and what is remembered is read after the
    device was seen up. One whose room has ended is still up for a moment, and goes by itself.
    Raises OSError, KernelError.
    """
    found, is_up = identity(kernel, device)
    remembered = _remembered(device)
    if not is_up or found in (remembered, _going(remembered)):
        return False
    number = int(found.split()[0])
    body = LINK.pack(0, 0, 0, number, 0, 0)
    kernel.attempt([HEADER.pack(16 + len(body), DELETE_LINK, ACK, 0, 0) + body])
    return True


def _going(remembered: str) -> str:
    """What a device that was remembered is found to be while its room is taken down."""
    ends, _, _ = remembered.rpartition(" ")
    return f"{ends} {GOING}" if ends else ""


def _remembered(device: str) -> str:
    try:
        with open(f"{FOLDER}/{device}") as file:  # noqa: PTH123
            return file.read()
    except FileNotFoundError:
        return ""


def _attribute(kind: int, value: bytes) -> bytes:
    size = ATTRIBUTE.size + len(value)
    return ATTRIBUTE.pack(size, kind) + value + bytes(-size % 4)
