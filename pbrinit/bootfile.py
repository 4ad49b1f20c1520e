"""The one file that PID 1 reads: everything it does, ready to be done.

In: a `BootPlan`.  Out: bytes, and from bytes the same `BootPlan`, or an error.  This
module is in the image: its values are namespaces, since to import dataclasses or typing
takes longer than to put the rules in force.

The form is a magic word, the CRC-32 of what follows, and a tuple in marshal's format: no
parser stands between PID 1 and the rules.  It is version 2 of that format, which every
Python reads; later ones depend on reference counts and are not the same bytes twice.  The
checksum finds damage, not malice: who can change this file can change PID 1.
"""

from __future__ import annotations

import marshal
from binascii import crc32
from types import SimpleNamespace

MAGIC = b"pbrinit plan 2\n"
CHECKSUM_SIZE = 4
MARSHAL_VERSION = 2


class BootFileError(Exception):
    """A boot file that is not whole, or not one at all."""


class LinkPlan(SimpleNamespace):
    """One interface. In each message the interface's index is to be set at the offsets.

    `rename` gives the device that has the MAC address its name; `messages` follow the
    sysctls. A message is (what it does, its bytes, offsets of the index).  `bulks` come last:
    many routes of one form, as (what they are, pieces to be sent whole, the size of a message,
    the offset of the index in each, 0 where there is none).
    """

    name: str
    device: str
    mac: str | None
    rename: tuple[str, bytes, tuple[int, ...]] | None
    sysctls: tuple[tuple[str, str], ...]
    messages: tuple[tuple[str, bytes, tuple[int, ...]], ...]
    bulks: tuple[tuple[str, tuple[bytes, ...], int, int], ...]


class BootPlan(SimpleNamespace):
    """What is done at boot, in this order.

    `summary` says in words what the policy allows; `rules` are netlink messages, highest
    preference first, and `texts` has the `ip` command of each; `removals` take away the
    rules that a kernel starts with; `last` are sysctls that switch forwarding on.
    """

    hostname: str
    policy: str
    summary: tuple[str, ...]
    users: tuple[tuple[str, int], ...]
    sysctls: tuple[tuple[str, str], ...]
    rules: tuple[bytes, ...]
    removals: tuple[bytes, ...]
    texts: tuple[str, ...]
    links: tuple[LinkPlan, ...]
    last: tuple[tuple[str, str], ...]


FIELDS = tuple(BootPlan.__annotations__)
LINK_FIELDS = tuple(LinkPlan.__annotations__)


def pack(plan: BootPlan) -> bytes:
    """The file's bytes; the same for the same plan."""
    values = {**vars(plan), "links": tuple(_values(link, LINK_FIELDS) for link in plan.links)}
    body: bytes = marshal.dumps(tuple(values[name] for name in FIELDS), MARSHAL_VERSION)
    return MAGIC + _checksum(body) + body


def unpack(data: bytes) -> BootPlan:
    """The plan in the file's bytes.

    Raises BootFileError where a byte is missing or changed.
    """
    start = len(MAGIC) + CHECKSUM_SIZE
    if not data.startswith(MAGIC):
        raise BootFileError("it is not one that this version reads")
    body = data[start:]
    if _checksum(body) != data[len(MAGIC) : start]:
        raise BootFileError("it is damaged, its checksum does not match")
    values = dict(zip(FIELDS, marshal.loads(body), strict=True))  # noqa: S302  checked above
    links = (LinkPlan(**dict(zip(LINK_FIELDS, link, strict=True))) for link in values["links"])
    return BootPlan(**{**values, "links": tuple(links)})


def _values(record: SimpleNamespace, names: tuple[str, ...]) -> tuple[object, ...]:
    return tuple(getattr(record, name) for name in names)


def _checksum(body: bytes) -> bytes:
    return crc32(body).to_bytes(CHECKSUM_SIZE, "big")
