"""A room: a network namespace with the machine's own addresses, behind a veth, that belongs to a
user namespace of the room's.

In: the `RoomPlan` of a program and the link that leads there.  Out: this process inside of it, or
an error that says at which message it ended.  docs/rooms.md has a drawing.
"""

from __future__ import annotations

import os

from pbrinit.boot.network import links, room_devices
from pbrinit.boot.programs import user_namespace
from pbrinit.boot.system import syscalls, sysctl
from pbrinit.wire.netlink.socket import Kernel, with_index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pbrinit.wire.bootplan import LinkPlan, RoomPlan

NETWORK = "/proc/self/ns/net"
END = "eth0"


def enter(room: RoomPlan, link: LinkPlan, processes: int) -> int:
    """Make the room and go into its network; the machine's end of its veth first, as planned and
    marked.  The room's user namespace, as an open file: this process is still in the machine's,
    and may still do there what is left to do.

    What is left of the last room is taken away. Raises LinkError, KernelError, OSError or
    SysctlError; then the room goes with this process.
    """
    users, inside = user_namespace.make(room.ids, processes)
    outside = os.open(NETWORK, os.O_RDONLY | os.O_CLOEXEC)
    with Kernel() as machine:
        syscalls.setns(inside, syscalls.CLONE_NEWNET)
        sysctl.write(room.sysctls)
        syscalls.setns(outside, syscalls.CLONE_NEWNET)
        machine.attempt([room.removal])
        _, veth, offsets = room.veth
        machine.apply([with_index(veth, offsets, inside)])
        room_devices.remember(machine, link.device)
        links.bring_up(machine, link)
        syscalls.setns(inside, syscalls.CLONE_NEWNET)
    with Kernel() as within:
        links.send(within, room.messages, links.index(END))
    os.close(outside)
    os.close(inside)
    return users
