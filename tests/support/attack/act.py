"""Calls of a program inside as data, and the numbers that they need.

In: nothing (values only).  Out: `Act`, one a line in the tables of this folder.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

UPDATER, NOBODY, ROOT = 1001, 65534, 0
DEVICE, INDEX = b"eth0\0", 2
SOL, IP_LEVEL, SIX = socket.SOL_SOCKET, socket.IPPROTO_IP, socket.IPPROTO_IPV6
STREAM, DGRAM, RAW = int(socket.SOCK_STREAM), int(socket.SOCK_DGRAM), int(socket.SOCK_RAW)
FOUR_FAMILY, SIX_FAMILY = int(socket.AF_INET), int(socket.AF_INET6)
FAMILY = {4: FOUR_FAMILY, 6: SIX_FAMILY}
BINDTODEVICE, BINDTOIFINDEX, DONTROUTE, MARK, BROADCAST, PRIORITY = 25, 62, 5, 36, 6, 12
"""Of SOL_SOCKET (include/uapi/asm-generic/socket.h)."""

FREEBIND = {4: (int(IP_LEVEL), 15), 6: (int(SIX), 78)}
TRANSPARENT = {4: (int(IP_LEVEL), 19), 6: (int(SIX), 75)}
UNICAST_IF = {4: (int(IP_LEVEL), 50), 6: (int(SIX), 76)}
PKTINFO = {4: (int(IP_LEVEL), 8), 6: (int(SIX), 50)}
MULTICAST_IF = {4: (int(IP_LEVEL), 32), 6: (int(SIX), 17)}
"""Level and number of options (include/uapi/linux/in.h, in6.h)."""

MSG_DONTROUTE, MSG_FASTOPEN = 4, 0x20000000
HERE = (UPDATER, NOBODY, ROOT)
NOT_ALLOWED = 123
Step = tuple[Any, ...]


@dataclass(frozen=True)
class Act:
    """Calls of one user; `leaves`: what goes out of the card, in the words of `seen.words`.

    `told` is what the program is told; where it is None whatever it is told will do, as
    nothing leaves (a socket bound to the device is turned back, which it takes for sent).
    """

    kind: str
    what: str
    uid: int
    steps: tuple[Step, ...]
    told: str | None = None
    leaves: str = ""

    @property
    def user(self) -> str:
        """Who acts."""
        return {UPDATER: "updater", NOBODY: "nobody", ROOT: "root"}[self.uid]
