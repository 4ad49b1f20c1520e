"""Cables that come back.

In: the kernel's notifications about links, and what /sys counts.  Out: the devices that have a
carrier again.  A cable may be out and in again before anybody looks: so carriers that came are
counted (sysfs-class-net, carrier_up_count), and the notification only says when to look.
"""

from __future__ import annotations

import contextlib
import socket

from pbrinit.boot.network import links

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

LINK_GROUP = 1
"""The group of notifications about links (RTMGRP_LINK, linux/rtnetlink.h)."""

LONGEST = 1 << 16


class CarrierWatch:
    """The carriers of some devices; it is readable, for select(2), where one may have changed."""

    def __init__(self, devices: Iterable[str]) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self._socket.bind((0, LINK_GROUP))
        self._socket.setblocking(False)
        self._counts = {device: links.carrier_count(device) for device in devices}

    def fileno(self) -> int:
        """The descriptor of the notifications."""
        return self._socket.fileno()

    def returned(self) -> list[str]:
        """The devices that have a carrier again since this was asked last."""
        with contextlib.suppress(OSError):  # none is left, or too many came
            while True:
                self._socket.recv(LONGEST)
        counts = {device: links.carrier_count(device) for device in self._counts}
        returned = [
            device
            for device, count in counts.items()
            if count not in (None, self._counts[device]) and links.carrier(device)
        ]
        self._counts.update({device: counts[device] for device in returned})
        return returned

    def close(self) -> None:
        """Hear no more."""
        self._socket.close()
