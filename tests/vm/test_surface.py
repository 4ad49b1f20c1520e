"""What the kernel is said not to have or give, tried from user space in the booted image."""

from __future__ import annotations

import pytest

from tests.support.vm.booted import BootedGuest

CLOSED = """\
bpf()
init_module()
io_uring_setup()
kexec_load()
kexec_file_load()
userfaultfd()
iopl()
ioperm()
modify_ldt()
add_key()
process_vm_readv()
shmget()
fanotify_init()
a netlink socket: netfilter
a netlink socket: XFRM
sockets of packet
sockets of crypto (AF_ALG)
sockets of SCTP
iptables
/proc/kcore
/proc/kallsyms
/proc/modules
/dev/mem
/dev/port
/dev/net/tun
/sys/kernel/debug
/sys/power/disk
file system debugfs
file system fuse
file system overlay
file system binfmt_misc
a 32-bit program
an a.out program
ptrace() of a child, by root
a user namespace, by a program
a raw socket, by a user
a ping socket, by a user
a network namespace, by a user
the kernel's log, by a user
perf_event_open(), by a user
""".splitlines()
"""What the project promises by name; there is more."""


@pytest.fixture(scope="module")
def told(host: BootedGuest) -> list[str]:
    """What `absent` says, a line each."""
    return host.guest.run("absent").splitlines()


def test_nothing_of_it_is_there_or_given(told: list[str]) -> None:
    absent = [line for line in told if line.startswith("absent ")]
    assert len(absent) > 100
    assert [line for line in told if line.startswith("PRESENT")] == []


@pytest.mark.parametrize("name", CLOSED)
def test_it_was_tried(told: list[str], name: str) -> None:
    assert len([line for line in told if line.startswith(f"absent   {name} (")]) == 1


def test_what_is_there_is_found_by_the_same_means(told: list[str]) -> None:
    """A search that finds nothing at all would call everything absent."""
    there = [line for line in told if line.startswith("there ")]
    assert len(there) == 6
    assert [line for line in told if line.startswith("MISSING")] == []
