"""What hostile programs inside examples/host.toml try, and what must leave by it: nothing.

In: nothing.  Out: `ACTS`. An act is socket calls of one user, see `socket_steps.attempt`.  What
leaves all the same is marked in its line, and is in docs/ways-out.md.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from tests.support.attack.act import (
    DGRAM,
    FAMILY,
    INDEX,
    MSG_FASTOPEN,
    NOBODY,
    PKTINFO,
    ROOT,
    STREAM,
    UNLISTED_PORT,
    UPDATER,
    USERS,
    Act,
    Step,
)
from tests.support.attack.socket_variants import preparations
from tests.support.host_example import NEIGHBOUR, RESOLVER, SELF, STRANGER


def sockets() -> Iterator[Act]:
    """UDP and TCP to where nobody may send, by every way to prepare a socket."""
    for version in (4, 6):
        for uid in USERS:
            for who, place in (("the neighbour", NEIGHBOUR), ("a stranger", STRANGER)):
                target = (place[version], UNLISTED_PORT)
                for how, before, flags in preparations(version):
                    udp = (
                        ("socket", FAMILY[version], DGRAM),
                        *before,
                        ("sendto", b"out", flags, target),
                    )
                    yield Act("socket", f"IPv{version} udp to {who} with {how}", uid, udp)
                    tcp = (("socket", FAMILY[version], STREAM), *before, ("connect", target))
                    yield Act("socket", f"IPv{version} tcp to {who} with {how}", uid, tcp)
                fast = (
                    ("socket", FAMILY[version], STREAM),
                    ("sendto", b"out", MSG_FASTOPEN, target),
                )
                yield Act("socket", f"IPv{version} TCP fast open to {who}", uid, fast)
                yield Act(
                    "socket",
                    f"IPv{version} udp to {who} with IP_PKTINFO",
                    uid,
                    (("socket", FAMILY[version], DGRAM), _by_device(version, target)),
                )


def _by_device(version: int, target: tuple[str, int]) -> Step:
    info = struct.pack("=I8x", INDEX) if version == 4 else struct.pack("=16xI", INDEX)
    return ("sendmsg", [b"out"], [(*PKTINFO[version], info)], 0, target)


def others_ways() -> Iterator[Act]:
    """The ways of the updater, by those who are not, and near misses by the updater."""
    for version in (4, 6):
        far, names = (STRANGER[version], 443), (RESOLVER[version], 53)
        family = FAMILY[version]
        for uid in (NOBODY, ROOT):
            for how, before, _ in preparations(version):
                connect = (("socket", family, STREAM), *before, ("connect", far))
                yield Act("other's way", f"IPv{version} https with {how}", uid, connect)
                ask = (("socket", family, DGRAM), *before, ("sendto", b"out", 0, names))
                yield Act("other's way", f"IPv{version} dns with {how}", uid, ask)
        for port in (1024, 5353, 32767, 61000):
            ask = (("socket", family, DGRAM), ("bind", ("", port)), ("sendto", b"?", 0, names))
            yield Act(
                "near miss", f"IPv{version} dns from port {port}", UPDATER, ask, "EACCES at sendto"
            )
        for what, kind, place in (
            ("http", STREAM, (STRANGER[version], 80)),
            ("https by udp", DGRAM, far),
            ("dns of a stranger", DGRAM, (STRANGER[version], 53)),
        ):
            yield Act(
                "near miss",
                f"IPv{version} {what}",
                UPDATER,
                (("socket", family, kind), ("connect", place)),
                "EACCES at connect",
            )
        tcp = f"tcp {SELF[version]}:45000 > {STRANGER[version]}:443"
        yield Act(
            "allowed",
            f"IPv{version} https",
            UPDATER,
            (("socket", family, STREAM), ("bind", ("", 45000)), ("connect", far)),
            "begun",
            tcp,
        )
        udp = f"udp {SELF[version]}:45001 > {RESOLVER[version]}:53"
        yield Act(
            "allowed",
            f"IPv{version} dns",
            UPDATER,
            (("socket", family, DGRAM), ("bind", ("", 45001)), ("sendto", b"?", 0, names)),
            "done",
            udp,
        )


TABLES = (sockets, others_ways)
