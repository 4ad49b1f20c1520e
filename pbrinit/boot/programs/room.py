"""A room: a network namespace with the machine's own addresses, behind a veth.

In: the `RoomPlan` of a program and the link that leads there.  Out: this process inside of it, or
an error that says at which message it ended.  docs/rooms.md has a drawing.
"""

from __future__ import annotations

import os

from pbrinit.boot.network import links
from pbrinit.boot.system import syscalls, sysctl
from pbrinit.wire.netlink.socket import Kernel, with_index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pbrinit.wire.bootplan import LinkPlan, RoomPlan

NETWORK = "/proc/self/ns/net"
END = "eth0"


def enter(room: RoomPlan, link: LinkPlan) -> None:
    """Make the room and go in; the machine's end of its veth first, as planned and marked.

    What is left of the last one is taken away. Raises LinkError, KernelError, OSError or
    SysctlError; then the room goes with this process.
    """
    outside = os.open(NETWORK, os.O_RDONLY | os.O_CLOEXEC)
    with Kernel() as machine:
        syscalls.unshare(syscalls.CLONE_NEWNET)
        inside = os.open(NETWORK, os.O_RDONLY | os.O_CLOEXEC)
        sysctl.write(room.sysctls)
        machine.attempt([room.removal])
        _, veth, offsets = room.veth
        machine.apply([with_index(veth, offsets, inside)])
        syscalls.setns(outside, syscalls.CLONE_NEWNET)
        links.bring_up(machine, link)
        syscalls.setns(inside, syscalls.CLONE_NEWNET)
    with Kernel() as within:
        links.send(within, room.messages, links.index(END))
    os.close(outside)
    os.close(inside)


def unmake(room: RoomPlan) -> None:
    """Take away its veth, both ends at once; one that is gone already is no error.

    Raises KernelError where the kernel does not answer.
    """
    with Kernel() as kernel:
        kernel.attempt([room.removal])
