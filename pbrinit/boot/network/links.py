"""Interfaces: named, brought up as planned, looked at.

In: `LinkPlan` values and a `Kernel`.  Out: interfaces that are up with their addresses and
routes, or a `LinkError` that says at which message it ended.
"""

from __future__ import annotations

import _socket
import contextlib
import os
import struct
import time

from pbrinit.boot.network import commands, room_devices
from pbrinit.boot.system import sysctl
from pbrinit.wire.bootplan import ROOM_READY_GROUP
from pbrinit.wire.netlink.socket import KernelError, with_index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pbrinit.wire.bootplan import LinkPlan
    from pbrinit.wire.netlink.socket import Kernel

DEVICES = "/sys/class/net"
IFF_UP = 1
EEXIST = 17
GONE_ERRORS = (2, 19, 22)
"""What /sys says of a device that is gone or about to be: ENOENT, ENODEV, EINVAL
(netdev_show, net/core/net-sysfs.c)."""

LOSS_COUNTERS = ("rx_errors", "tx_errors", "rx_dropped", "tx_dropped")
COUNTERS = ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes", *LOSS_COUNTERS)
"""Files below /sys/class/net/DEVICE/statistics (sysfs-class-net-statistics)."""

TENTATIVE_SECONDS = 4
"""Duplicate address detection takes one second and a random one before (RFC 4862, 5.4.2)."""


class LinkError(Exception):
    """An interface that could not be made what the plan says; the text says where."""


def devices() -> list[str]:
    """The names of all devices, the policy's and others."""
    return sorted(os.listdir(DEVICES))  # noqa: PTH208  pathlib is not in the image


def is_up(device: str) -> bool:
    """Whether the device is up, as `ip link set up` means it. One that is just going is not."""
    try:
        return bool(int(_read(device, "flags"), 16) & IFF_UP)
    except OSError as error:
        if error.errno in GONE_ERRORS:
            return False
        raise


def is_ready(link: LinkPlan) -> bool:
    """Whether it is as planned once it is up: one that leads into a room is made by the one who
    makes the room, who marks it in the end; another one of its name is none.
    """
    if not link.room:
        return True
    try:
        is_marked = _read(link.device, "netdev_group") == str(ROOM_READY_GROUP)
        return is_marked and room_devices.is_remembered(link.device)
    except OSError as error:
        if error.errno in GONE_ERRORS:
            return False
        raise


def carrier(device: str) -> bool:
    """Whether the device is up and has a cable, or what stands for one."""
    try:
        return is_up(device) and _read(device, "carrier") == "1"
    except OSError as error:
        if error.errno in GONE_ERRORS:
            return False
        raise


def carrier_count(device: str) -> int | None:
    """How often the device's carrier has come; None where the device is not there."""
    try:
        return int(_read(device, "carrier_up_count"))
    except OSError as error:
        if error.errno in GONE_ERRORS:
            return None
        raise


def counters(device: str) -> dict[str, int]:
    """Frames and bytes received and sent, and what was lost; none where the device is just gone."""
    try:
        return {name: int(_read(device, f"statistics/{name}")) for name in COUNTERS}
    except OSError as error:
        if error.errno in GONE_ERRORS:
            return dict.fromkeys(COUNTERS, 0)
        raise


def _read(device: str, name: str) -> str:
    with open(f"{DEVICES}/{device}/{name}") as file:  # noqa: PTH123
        return file.read().strip()


def mac(device: str) -> str:
    """The device's hardware address. Raises OSError where it is not there."""
    return _read(device, "address")


def of_mac(mac: str | None) -> list[str]:
    """The devices that have this hardware address."""
    found = []
    for device in devices():
        with contextlib.suppress(OSError):  # it is just gone
            if _read(device, "address") == mac:
                found.append(device)
    return found


def index(device: str) -> int:
    """The number that netlink has for the device."""
    return _socket.if_nametoindex(device)


def is_same(device: str, number: int) -> bool:
    """Whether the device is still there that had this number, and not another one of its name."""
    try:
        return index(device) == number
    except OSError:
        return False


def bring_up(kernel: Kernel, link: LinkPlan, *, again: bool = False) -> None:
    """Do all of one link: name, sysctls, up, routes, addresses, in the plan's order.

    `again` is for a link whose routes may be there in part: what is there already is no error
    then, and the routes that come in great numbers are left to the audit, which knows which.

    Raises LinkError, OSError or SysctlError; the link may then be up, and is filtered.
    """
    if link.rename is not None:
        from pbrinit.boot.network import device_names  # noqa: PLC0415  it needs this module

        device_names.give_name(kernel, link)
    if link.device not in devices():
        raise LinkError(f"there is no device {link.device}, only {' '.join(devices())}")
    sysctl.write(link.sysctls)
    number = index(link.device)
    send(kernel, link.messages, number, again=again)
    for bulk in () if again else link.bulks:
        add_bulk_routes(kernel, bulk, number)


def add_bulk_routes(
    kernel: Kernel, bulk: tuple[str, tuple[bytes, ...], int, int], number: int
) -> None:
    """Many routes of one form, by the interface with this index; none of them may be there.

    Raises LinkError.
    """
    text, pieces, size, offset = bulk
    for piece in pieces:
        try:
            kernel.apply_bulk(_with_index(piece, size, offset, number))
        except KernelError as error:
            about = commands.command(text, piece[:size])
            raise LinkError(f"{about}, route {error.index}: {error.reason}") from None


def _with_index(piece: bytes, size: int, offset: int, index: int) -> bytes:
    """The messages of a piece with the interface's index in each, where there is a place for it."""
    if not offset:
        return piece
    data = bytearray(piece)
    for number, byte in enumerate(struct.pack("=I", index)):
        data[offset + number :: size] = bytes([byte]) * (len(piece) // size)
    return bytes(data)


def send(
    kernel: Kernel,
    messages: tuple[tuple[str, bytes, tuple[int, ...]], ...],
    number: int,
    *,
    again: bool = False,
) -> None:
    """Send messages about the device with this index. Raises LinkError."""
    ready = [with_index(message, offsets, number) for _, message, offsets in messages]
    if again:
        for (text, message, _), error in zip(messages, kernel.attempt(ready), strict=True):
            if error not in (0, EEXIST):
                raise LinkError(f"{commands.command(text, message)}: {os.strerror(error)}")
        return
    try:
        kernel.apply(ready)
    except KernelError as error:
        text, message, _ = messages[error.index]
        raise LinkError(f"{commands.command(text, message)}: {error.reason}") from None


def take_down(device: str) -> None:
    """Set the device down, without netlink: the way that works when that one does not. One that is
    gone is down.

    Raises OSError.  Source: flags_store, net/core/net-sysfs.c.
    """
    try:
        flags = int(_read(device, "flags"), 16) & ~IFF_UP
        with open(f"{DEVICES}/{device}/flags", "w") as file:  # noqa: PTH123
            file.write(hex(flags))
    except OSError as error:
        if error.errno not in GONE_ERRORS:
            raise


def wait_for_addresses(kernel: Kernel) -> list[str]:
    """Wait until no address is tentative; the ones that somebody else has are returned."""
    from pbrinit.boot.network import addresses  # noqa: PLC0415  not before the rules

    end = time.monotonic() + TENTATIVE_SECONDS
    while True:
        addresses_now = addresses.Addresses(kernel).as_list()
        if time.monotonic() > end or not any(
            flags & addresses.IFA_F_TENTATIVE for _, _, flags in addresses_now
        ):
            return [text for _, text, flags in addresses_now if flags & addresses.IFA_F_DADFAILED]
        time.sleep(0.05)
