"""What a program may do: as its user, with the capabilities that it keeps, and no way to more.

In: a user's number and capabilities.  Out: this process with nothing else, for good.
Source: capabilities(7), "Effect of user ID changes", "The securebits flags", "Ambient".
"""

from __future__ import annotations

import errno
import os
import signal

from pbrinit.boot.system import landlock, syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

PR_CAPBSET_DROP, PR_SET_SECUREBITS = 24, 28
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
NOROOT, NO_FIXUP, KEEP_CAPS = 0b11, 0b1 << 2, 0b1 << 4
"""Root is a user like others, which cannot be taken back; and a change of user keeps what there is
until a program is started."""

HIGHEST = 63
NET_ADMIN, AF_NETLINK = 12, 16


def give_up(uid: int, kept: int, places: Iterable[tuple[str, int]] = landlock.PLACES) -> None:
    """Become the user `uid`, in the group of the same number and no other, with the capabilities
    `kept`, a bit each, which what it starts inherits, and no files but in these places. It can make
    no namespace and, where it may not change a network either, asks the kernel nothing by netlink:
    what it leaves unread there is memory that does not count as its own (netlink_alloc_large_skb,
    net/netlink/af_netlink.c).

    Raises OSError.
    """
    for number in range(HIGHEST + 1):
        if not kept >> number & 1:
            try:
                syscalls.prctl(PR_CAPBSET_DROP, number)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                break  # the kernel knows no more of them
    syscalls.prctl(PR_SET_SECUREBITS, NOROOT | KEEP_CAPS)
    syscalls.setresuid_setgroups(uid)
    syscalls.capset(kept)
    for number in range(HIGHEST + 1):
        if kept >> number & 1:
            syscalls.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number)
    landlock.restrict(places)
    syscalls.deny_syscalls((), () if kept >> NET_ADMIN & 1 else (AF_NETLINK,))
    syscalls.set_parent_death_signal(signal.SIGKILL)


def change_user_only(uid: int) -> None:
    """Become the user `uid` with all the capabilities that there are. Raises OSError."""
    syscalls.prctl(PR_SET_SECUREBITS, NO_FIXUP)
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


OOM_SCORE = "/proc/self/oom_score_adj"


FIRST_TO_GO = "500"
"""Where memory runs out for PID 1 or the kernel, a program is ended, and not what guards the
machine. Any other process that asks for the last memory is ended itself, whatever this is: see
vm.oom_kill_allocating_task in `hardening` (out_of_memory, mm/oom_kill.c)."""


def go_first() -> None:
    """Have this process, and all that it starts, ended before others. Raises OSError."""
    with open(OOM_SCORE, "w") as file:  # noqa: PTH123  pathlib is not in the image
        file.write(FIRST_TO_GO)
