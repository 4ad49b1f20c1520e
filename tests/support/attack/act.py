"""System calls of a program on the guest, as data, and the numbers that they need.

In: nothing (values only).  Out: `Act`, one a line in tests/adversary/tables.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

UPDATER, NOBODY, ROOT = 1001, 65534, 0
DEVICE, INDEX = b"eth0\0", 2
SOCKET_LEVEL, IP_LEVEL, IPV6_LEVEL = socket.SOL_SOCKET, socket.IPPROTO_IP, socket.IPPROTO_IPV6
STREAM, DGRAM, RAW = int(socket.SOCK_STREAM), int(socket.SOCK_DGRAM), int(socket.SOCK_RAW)
INET, INET6 = int(socket.AF_INET), int(socket.AF_INET6)
FAMILY = {4: INET, 6: INET6}
BINDTODEVICE, BINDTOIFINDEX, DONTROUTE, MARK, BROADCAST, PRIORITY = 25, 62, 5, 36, 6, 12
"""Of SOL_SOCKET (include/uapi/asm-generic/socket.h)."""

FREEBIND = {4: (int(IP_LEVEL), 15), 6: (int(IPV6_LEVEL), 78)}
TRANSPARENT = {4: (int(IP_LEVEL), 19), 6: (int(IPV6_LEVEL), 75)}
UNICAST_IF = {4: (int(IP_LEVEL), 50), 6: (int(IPV6_LEVEL), 76)}
PKTINFO = {4: (int(IP_LEVEL), 8), 6: (int(IPV6_LEVEL), 50)}
MULTICAST_IF = {4: (int(IP_LEVEL), 32), 6: (int(IPV6_LEVEL), 17)}
"""Level and number of options (include/uapi/linux/in.h, in6.h)."""

MSG_DONTROUTE, MSG_FASTOPEN = 4, 0x20000000
USERS = (UPDATER, NOBODY, ROOT)
UNLISTED_PORT = 123
Step = tuple[Any, ...]


@dataclass(frozen=True)
class Act:
    """Calls of one user. `leaves` is what the card sends, as `observation.frame_words` writes it.

    `result` is what the calls return. None accepts every result: what counts is that nothing is
    sent (the packet of a socket that is bound to the device is dropped after the call succeeds).
    """

    kind: str
    what: str
    uid: int
    steps: tuple[Step, ...]
    result: str | None = None
    leaves: str = ""

    @property
    def user(self) -> str:
        """The name of the user who makes the calls."""
        return {UPDATER: "updater", NOBODY: "nobody", ROOT: "root"}[self.uid]
