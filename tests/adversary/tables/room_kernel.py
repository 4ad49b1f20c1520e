"""What root of a room asks the kernel for: its own network changed, and ways out of the room.

In: nothing.  Out: acts that change its network, which are granted; `IN_A_ROOM`, which are refused.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from pbrinit.wire.bootplan import ROOM_READY_GROUP
from tests.support.attack.act import INDEX, INET, INET6, RAW, ROOT, Act, Step
from tests.support.host_example import MGMT, NEIGHBOUR, SELF, STRANGER

NETLINK, ROUTE = 16, 0
NEW_LINK, NEW_ADDRESS, NEW_ROUTE, NEW_NEIGHBOUR, NEW_RULE = 16, 20, 24, 28, 32
DELETE_ADDRESS = 21
REQUEST_ACK, CREATE, REPLACE, EXCLUSIVE = 5, 0x400, 0x100, 0x200
MAIN, STATIC, UNICAST, MULTICAST, TO_TABLE = 254, 4, 1, 5, 1
PROMISC, ALLMULTI, NOARP = 0x100, 0x200, 0x80
PERMANENT = 0x80
FOREIGN_MAC = bytes.fromhex("0202deadbeef")
"""Of include/uapi/linux/rtnetlink.h, if.h, neighbour.h, fib_rules.h."""

INSIDE = "169.254.77.4"

DELETE_LINK, GET_LINK = 17, 18
IFLA_ADDRESS, IFLA_IFNAME, IFLA_LINKINFO, IFLA_NET_NS_PID = 1, 3, 18, 19
IFLA_GROUP, IFLA_LINK_NETNSID, IFLA_TARGET_NETNSID = 27, 37, 46
OTHERS = ("r-updater", "r-sshd", "r-resolver", "r-evil", "r-beside", "eth0", "lo")
"""Devices of the machine, which a room knows by number: its veth's other end is there."""

NUMBERS = range(4)

KINDS = (
    "bareudp", "batadv", "bond", "bridge", "can", "dummy", "erspan", "geneve", "gre", "gretap",
    "gtp", "hsr", "ifb", "ip6gre", "ip6tnl", "ipip", "ipvlan", "ipvtap", "macsec", "macvlan",
    "macvtap", "netdevsim", "nlmon", "sit", "team", "tun", "vcan", "vlan", "vrf", "vti", "vxlan",
    "wireguard", "xfrm",
)  # fmt: skip

CLONES = {"mount": 0x20000, "cgroup": 0x2000000, "UTS": 0x4000000, "IPC": 0x8000000,
          "user": 0x10000000, "PID": 0x20000000, "network": 0x40000000, "time": 0x80}  # fmt: skip

REFUSED: tuple[tuple[str, tuple[int | bytes, ...]], ...] = (
    ("mount", (165, b"tmpfs", b"/tmp", b"tmpfs", 0, 0)),
    ("mount of /proc", (165, b"proc", b"/tmp", b"proc", 0, 0)),
    ("remount", (165, b"", b"/", b"", 0x1020, 0)),
    ("umount2", (166, b"/proc", 2)),
    ("pivot_root", (155, b"/tmp", b"/tmp")),
    ("fsopen", (430, b"tmpfs", 0)),
    ("open_tree", (428, -100, b"/", 1)),
    ("mount_setattr", (442, -100, b"/", 0, bytes(32), 32)),
    ("reboot", (169, 0xFEE1DEAD, 672274793, 0x4321FEDC, 0)),
    ("mknod of a disk", (133, b"/run/disk", 0o60600, 0x0800)),
    ("mknod of memory", (133, b"/run/mem", 0o20600, 0x0101)),
    ("iopl", (172, 3)),
    ("ioperm", (173, 0x80, 1, 1)),
    ("init_module", (175, bytes(64), 64, b"")),
    ("delete_module", (176, b"x", 0)),
    ("kexec_load", (246, 0, 0, 0, 0)),
    ("kexec_file_load", (320, 0, 0, 0, b"", 0)),
    ("bpf", (321, 0, bytes(128), 128)),
    ("perf_event_open", (298, struct.pack("=II", 1, 128) + bytes(120), 1, -1, -1, 0)),
    ("io_uring_setup", (425, 8, bytes(128))),
    ("userfaultfd", (323, 0)),
    ("sethostname", (170, b"evil", 4)),
    ("setdomainname", (171, b"evil", 4)),
    ("settimeofday", (164, bytes(16), 0)),
    ("clock_settime", (227, 0, bytes(16))),
    ("swapon", (167, b"/tmp", 0)),
    ("acct", (163, b"/tmp")),
    ("syslog", (103, 3, bytes(64), 64)),
    ("add_key", (248, b"user", b"x", b"x", 1, -1)),
    ("open_by_handle_at", (304, -100, bytes(16), 0)),
    ("capset of all", (126, struct.pack("=Ii", 0x20080522, 0), b"\xff" * 24)),
    ("securebits", (157, 28, 0)),
    ("new privileges", (157, 38, 0)),
    ("a fanotify group", (300, 0, 0)),
    ("ptrace of the first", (101, 16, 1, 0, 0)),
    ("shared memory", (29, 0, 4096, 0o1600)),
    ("unshare as clone", (56, 0x10000000 | 17, 0, 0, 0, 0)),
    ("unshare as clone3", (435, struct.pack("=Q", 0x10000000) + bytes(80), 88)),
    ("the processor before all others", (144, 0, 1, struct.pack("=i", 1))),
    ("the same for the first process", (144, 1, 2, struct.pack("=i", 99))),
    (
        "the same with a deadline",
        (314, 0, struct.pack("=IIQiIQQQ", 48, 6, 0, 0, 0, 10**6, 10**7, 10**7), 0),
    ),
    ("more of the processor", (141, 0, 0, -20)),
    ("more of it for all of this user", (141, 2, 0, -20)),
    ("memory that stays", (151, 3)),
    ("a machine's user", (117, 1 << 30, 1 << 30, 1 << 30)),
    ("a machine's group", (119, 1 << 30, 1 << 30, 1 << 30)),
    ("a machine's groups", (116, 1, struct.pack("=I", 1 << 30))),
    ("more processes", (160, 6, struct.pack("=QQ", 2**64 - 1, 2**64 - 1))),
    ("more files", (160, 7, struct.pack("=QQ", 1 << 20, 1 << 20))),
    ("the owner of /dev/null", (92, b"/dev/null", 0, 0)),
    ("the mode of /dev/null", (90, b"/dev/null", 0)),
    ("the times of /dev/null", (280, -100, b"/dev/null", bytes(32), 0)),
    ("a link to /dev/null", (86, b"/dev/null", b"/run/null")),
    ("the owner of /", (92, b"/", 0, 0)),
    ("the mode of /usr", (90, b"/usr", 0)),
    ("a privileged file", (188, b"/run", b"security.capability", bytes(20), 20, 0)),
    ("a pid of another", (434, 2, 0)),
    ("a root beyond /", (161, b"/proc/2/root")),
)
"""System calls of x86-64 by number, most with arguments that one who may would be let do."""

FILES = ("/dev/mem", "/dev/kmem", "/dev/port", "/dev/kmsg", "/dev/ttyS0", "/dev/ttyS1",
         "/dev/console", "/dev/net/tun", "/dev/vda", "/proc/kcore", "/proc/kmsg",
         "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/net/ipv4/ip_forward",
         "/proc/sys/net/ipv4/conf/eth0/forwarding", "/proc/sys/kernel/modprobe",
         "/etc/pbrinit/plan", "/init", "/usr/bin/python3", "/sys/kernel/mm",
         "/proc/self/uid_map", "/proc/self/gid_map", "/proc/self/setgroups",
         "/proc/sys/user/max_user_namespaces", "/proc/sys/kernel/threads-max",
         "/sys/fs/cgroup/programs/evil/memory.max", "/sys/fs/cgroup/cgroup.procs")  # fmt: skip
WRITE_ONLY, READ_ONLY = 1, 0

SECRETS = (
    "/etc/pbrinit", "/etc/pbrinit/plan", "/etc/pbrinit/policy.toml", "/etc/pbrinit/password",
    "/etc/secret", "/etc/secret/of-updater", "/init", "/run/brokers", "/run/rooms",
    "/run/programs", "/sys/fs/cgroup",
)  # fmt: skip
"""What a room has no name for: what PID 1 lives on, and the files of other programs."""

WAYS = (
    "", "/proc/1/root", "/proc/self/root", "/proc/self/cwd", "/proc/thread-self/root",
    "/proc/1/cwd", "/proc/2/root", "/dev/fd/../..", "/run/../../../..",
)  # fmt: skip


def _attribute(kind: int, data: bytes) -> bytes:
    size = 4 + len(data)
    return struct.pack("=HH", size, kind) + data + bytes(-size % 4)


def _message(kind: int, body: bytes, flags: int = CREATE | REPLACE) -> tuple[Step, ...]:
    head = struct.pack("=IHHII", 16 + len(body), kind, REQUEST_ACK | flags, 1, 0)
    return (("socket", NETLINK, RAW, ROUTE), ("netlink", head + body))


def _link(index: int, flags: int, change: int, *attributes: bytes) -> bytes:
    return struct.pack("=BxHiII", 0, 0, index, flags, change) + b"".join(attributes)


def _changed(what: str, body: bytes) -> Act:
    return Act("change", what, ROOT, _message(NEW_LINK, body, 0), "done")


def another_wire() -> Iterator[Act]:
    """Its end of the veth asks who is where, as somebody else."""
    yield _changed("arp on", _link(INDEX, 0, NOARP))
    yield _changed("another MAC", _link(INDEX, 0, 0, _attribute(1, FOREIGN_MAC)))


def no_address() -> Iterator[Act]:
    """It gives up its addresses of IPv4, and so is nobody."""
    for address in (SELF[4], INSIDE):
        body = struct.pack("=BBBBI", INET, 32, 0, 0, INDEX)
        body += _attribute(2, socket.inet_pton(INET, address))
        yield Act("change", f"not {address}", ROOT, _message(DELETE_ADDRESS, body, 0), "done")


def changes() -> Iterator[Act]:
    """Of its own network root of a room changes what it likes."""
    everything = PROMISC | ALLMULTI
    yield _changed("promiscuous", _link(INDEX, everything, everything))
    yield _changed("a greater MTU", _link(INDEX, 0, 0, _attribute(4, struct.pack("=I", 9000))))
    for family, version, length in ((INET, 4, 24), (INET6, 6, 64)):
        for who in (NEIGHBOUR, STRANGER, MGMT):
            address = socket.inet_pton(family, who[version])
            body = struct.pack("=BBBBI", family, length, 2 * (version == 6), 0, INDEX)
            body += _attribute(2, address) + _attribute(1, address)
            what = f"the address {who[version]}"
            yield Act("change", what, ROOT, _message(NEW_ADDRESS, body), "done")
        by_device = _attribute(4, struct.pack("=I", INDEX))
        route = struct.pack("=BBBBBBBBI", family, 0, 0, 0, MAIN, STATIC, 253, UNICAST, 0)
        what = f"IPv{version} all by the device"
        yield Act("change", what, ROOT, _message(NEW_ROUTE, route + by_device), "done")
        rule = struct.pack("=BBBBBBBBI", family, 0, 0, 0, MAIN, 0, 0, TO_TABLE, 0)
        rule += _attribute(6, struct.pack("=I", 1))
        what = f"IPv{version} a rule before all others"
        yield Act("change", what, ROOT, _message(NEW_RULE, rule), "done")
        there = socket.inet_pton(family, NEIGHBOUR[version])
        near = struct.pack("=BxHiHBB", family, 0, INDEX, PERMANENT, 0, 0)
        near += _attribute(1, there) + _attribute(2, FOREIGN_MAC)
        what = f"IPv{version} where a neighbour is"
        yield Act("change", what, ROOT, _message(NEW_NEIGHBOUR, near), "done")


def devices() -> Iterator[Act]:
    """Devices of every kind: the kernel has none of them."""
    for kind in KINDS:
        info = _attribute(18, _attribute(1, kind.encode()))
        below = _attribute(5, struct.pack("=I", INDEX))
        body = _link(0, 0, 0, _attribute(3, b"more0\0"), below, info)
        yield Act("device", kind, ROOT, _message(NEW_LINK, body))


def calls() -> Iterator[Act]:
    """System calls, and files."""
    for name, flag in CLONES.items():
        yield Act("namespace", name, ROOT, (("unshare", flag),))
    for what, arguments in REFUSED:
        yield Act("system call", what, ROOT, (("syscall", *arguments),))
    for path in FILES:
        yield Act("file", path, ROOT, (("open", path, WRITE_ONLY),))
    for number in range(2, 300):
        yield Act("signal", f"process {number}", ROOT, (("syscall", 62, number, 0),))


def others_devices() -> Iterator[Act]:
    """Devices of the machine, by the number that the room has for the machine's network."""
    for number in NUMBERS:
        there = _attribute(IFLA_TARGET_NETNSID, struct.pack("=i", number))
        linked = _attribute(IFLA_LINK_NETNSID, struct.pack("=i", number))
        veth = _attribute(IFLA_LINKINFO, _attribute(1, b"veth"))
        for name in OTHERS:
            named = _attribute(IFLA_IFNAME, name.encode() + b"\0")
            for what, kind, body, flags in (
                ("deleted", DELETE_LINK, _link(0, 0, 0, named, there), 0),
                ("set down", NEW_LINK, _link(0, 0, 1, named, there), 0),
                ("another MAC", NEW_LINK,
                 _link(0, 0, 0, named, there, _attribute(IFLA_ADDRESS, FOREIGN_MAC)), 0),
                ("made", NEW_LINK, _link(0, 1, 1, named, there, veth), CREATE),
                ("made as another's end", NEW_LINK, _link(0, 1, 1, named, linked, veth),
                 CREATE | EXCLUSIVE),
                ("looked at", GET_LINK, _link(0, 0, 0, named, there), 0),
            ):  # fmt: skip
                yield Act("device there", f"{number} {name} {what}", ROOT,
                          _message(kind, body, flags))  # fmt: skip
        for index in range(1, 9):
            yield Act("device there", f"{number} {index} deleted", ROOT,
                      _message(DELETE_LINK, _link(index, 0, 0, there), 0))  # fmt: skip
        gone = _link(INDEX, 0, 0, there)
        yield Act("device there", f"{number} eth0 moved", ROOT, _message(NEW_LINK, gone, 0))
    for process in range(2, 40):
        away = _link(INDEX, 0, 0, _attribute(IFLA_NET_NS_PID, struct.pack("=I", process)))
        yield Act("device there", f"eth0 to process {process}", ROOT, _message(NEW_LINK, away, 0))


def forged(device: str) -> Iterator[Act]:
    """By root of the machine: a device of this name in the place of the one that is there, marked
    as that one is, and up.
    """
    named = _attribute(IFLA_IFNAME, device.encode() + b"\0")
    veth = _attribute(IFLA_LINKINFO, _attribute(1, b"veth"))
    yield Act("forged", "gone", ROOT, _message(DELETE_LINK, _link(0, 0, 0, named), 0))
    yield Act("forged", "made", ROOT, _message(NEW_LINK, _link(0, 0, 0, named, veth), CREATE))
    group = _attribute(IFLA_GROUP, struct.pack("=I", ROOM_READY_GROUP))
    yield Act("forged", "marked", ROOT, _message(NEW_LINK, _link(0, 0, 0, named, group), 0))
    yield Act("forged", "up", ROOT, _message(NEW_LINK, _link(0, 1, 1, named), 0))


def secrets() -> Iterator[Act]:
    """Files that are no program's, and other programs' files, by every way that leads to a root."""
    for way in WAYS:
        for path in SECRETS:
            yield Act("secret", way + path, ROOT, (("open", way + path, READ_ONLY),))


IN_A_ROOM = (devices, calls, others_devices, secrets)
