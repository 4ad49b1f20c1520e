"""A room's user namespace: its users are not the machine's, its capabilities hold in it alone.

In: the numbers that its users have on the machine.  Out: it, and the network namespace that it
owns, which whoever has a capability there may change, and no other.  Source: user_namespaces(7).
"""

from __future__ import annotations

import os
import resource

from pbrinit.boot.system import privileges, syscalls, sysctl

MOST = "user/max_user_namespaces"
"""How many more may be made in this one, by whom it may be (set_permissions, kernel/ucount.c)."""


def make(ids: tuple[int, int], processes: int) -> tuple[int, int]:
    """The user namespace and the network namespace, as open files.

    A child makes both, as user 0 of the room, and is gone afterwards.  That user is then the owner,
    so that all processes, signals and locked memory of the room count as his, and no more
    processes than `processes` can be there, whatever users they have (inc_rlimit_get_ucounts,
    kernel/ucount.c).  Raises OSError.
    """
    told, tell = os.pipe2(os.O_CLOEXEC)
    held, hold = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        os.close(hold)
        _become_first(ids[0], processes, tell, held)
    os.close(tell)
    os.close(held)
    try:
        answer = os.read(told, 256).decode()
        if not answer.isdigit():
            raise OSError(f"no user namespace: {answer}")
        place = f"/proc/{answer}"
        for kind in ("uid_map", "gid_map"):
            with open(f"{place}/{kind}", "w") as file:  # noqa: PTH123  pathlib is not in the image
                file.write(f"0 {ids[0]} {ids[1]}")
        user, network = (
            os.open(f"{place}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in ("user", "net")
        )
        return user, network
    finally:
        os.close(told)
        os.close(hold)
        os.waitpid(child, 0)


def _become_first(first: int, processes: int, tell: int, held: int) -> None:
    """Make them, tell the number that this process has in the machine's /proc, and wait until
    somebody has opened them.
    """
    try:
        resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
        privileges.change_user_only(first)
        syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNET)
        sysctl.write([(MOST, "0")])
        os.write(tell, os.readlink("/proc/self").encode())  # noqa: PTH115
        os.read(held, 1)
    except BaseException as error:
        os.write(tell, f"{error!r}".encode())
    finally:
        os._exit(0)
