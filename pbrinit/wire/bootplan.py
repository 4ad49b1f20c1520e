"""The one file that PID 1 reads: everything it does, ready to be done.

In: a `BootPlan`.  Out: bytes, and from bytes the same `BootPlan`, or an error.  This
module is in the image: its values are namespaces, since to import dataclasses or typing
takes longer than to put the rules in force.

The form is a magic word, a head and a body, each a tuple in marshal's format after its length
and its CRC-32: no parser stands between PID 1 and the rules.  The head says what to do on
failure, so that it is known where the body is damaged.  It is version 2 of marshal's format,
which every Python reads; later ones depend on reference counts and are not the same bytes
twice.  The checksums find damage, not malice: who can change this file can change PID 1.
"""

from __future__ import annotations

import marshal
import struct
from binascii import crc32

from pbrinit.wire.record import Record

PATH = "/etc/pbrinit/plan"
"""Where an image has it."""

MAGIC = b"pbrinit plan 6\n"
PART = struct.Struct("!II")
MARSHAL_VERSION = 2
ROOM_READY_GROUP = 28770
"""The group of a room's device that has all that the plan gives it: nobody else puts it there
(IFLA_GROUP in linux/if_link.h)."""


class BootFileError(Exception):
    """A boot file that is not whole, or not one at all."""


class LinkPlan(Record):
    """One interface. In each message the interface's index is to be set at the offsets.

    `rename` gives the device that has the MAC address its name; `messages` follow the
    sysctls. A message is (what it does, its bytes, offsets of the index).  `bulks` come last:
    many routes of one form, as (what they are, pieces to be sent whole, the size of a message,
    the offset of the index in each, 0 where there is none).  One that leads into a `room` is there
    as long as its program runs, and is as planned once it is in the group MADE.
    """

    name: str
    device: str
    mac: str | None
    rename: tuple[str, bytes, tuple[int, ...]] | None
    sysctls: tuple[tuple[str, str], ...]
    messages: tuple[tuple[str, bytes, tuple[int, ...]], ...]
    bulks: tuple[tuple[str, tuple[bytes, ...], int, int], ...]
    room: bool


class RoomPlan(Record):
    """The network namespace of a program: `veth` makes the pair of devices, the offsets being
    those of the namespace's descriptor, and `removal` takes it away; then, inside, the sysctls
    and the messages, whose offsets are those of its own end's index.
    """

    device: str
    clients: tuple[int, int]
    removal: bytes
    veth: tuple[str, bytes, tuple[int, ...]]
    sysctls: tuple[tuple[str, str], ...]
    messages: tuple[tuple[str, bytes, tuple[int, ...]], ...]


class ProgramPlan(Record):
    """A program: its group has its user's number, `capabilities` has a bit for each that it keeps,
    `restart` is "always", "on-failure" or "never", and `ask` is "status", "try" or "".
    """

    name: str
    command: tuple[str, ...]
    uid: int
    environment: tuple[tuple[str, str], ...]
    capabilities: int
    restart: str
    ask: str
    room: RoomPlan | None


class BootPlan(Record):
    """What is done at boot, in this order.

    `digest` is the SHA-256 of all the rest.  `on_failure` is "stay", "reboot" or "poweroff", and
    after how many seconds.  `summary` says in words what the policy allows; `rules` are netlink
    messages, highest preference first, and `texts` has the `ip` command of each; `removals`
    take away the rules that a kernel starts with; `last` are sysctls that switch forwarding on;
    `programs` are started after that; `metrics` is the port of the page for Prometheus and the
    user who serves it; `log` says whether who was refused is written down; `awaits` has, in
    order of families, the interfaces whose address is given to them on their link: the family, its
    name, its device, and the prefixes of the others; `given` is what this plan is for, as
    `pbrctl lease` takes it.
    """

    hostname: str
    policy: str
    digest: str
    on_failure: tuple[str, int]
    summary: tuple[str, ...]
    users: tuple[tuple[str, int], ...]
    sysctls: tuple[tuple[str, str], ...]
    rules: tuple[bytes, ...]
    kernel_rule_removals: tuple[bytes, ...]
    rule_commands: tuple[str, ...]
    links: tuple[LinkPlan, ...]
    forwarding_sysctls: tuple[tuple[str, str], ...]
    programs: tuple[ProgramPlan, ...]
    metrics: tuple[int, int] | None
    log: bool
    dynamic_interfaces: tuple[tuple[int, str, str, tuple[tuple[int, int], ...]], ...]
    assignments: tuple[str, ...]


FIELDS = tuple(BootPlan.__annotations__)
LINK_FIELDS = tuple(LinkPlan.__annotations__)
PROGRAM_FIELDS = tuple(ProgramPlan.__annotations__)
ROOM_FIELDS = tuple(RoomPlan.__annotations__)


def pack(plan: BootPlan) -> bytes:
    """The file's bytes; the same for the same plan."""
    values = {
        **vars(plan),
        "links": tuple(_values(link, LINK_FIELDS) for link in plan.links),
        "programs": tuple(_program_values(program) for program in plan.programs),
    }
    body = tuple(values[name] for name in FIELDS)
    return MAGIC + b"".join(
        PART.pack(len(part), crc32(part)) + part
        for part in (marshal.dumps(one, MARSHAL_VERSION) for one in (plan.on_failure, body))
    )


def unpack(data: bytes) -> BootPlan:
    """The plan in the file's bytes.

    Raises BootFileError where a byte is missing or changed.
    """
    _, at = _read(data, _start(data))
    body, end = _read(data, at)
    if end != len(data):
        raise BootFileError("it is longer than it says")
    values = dict(zip(FIELDS, marshal.loads(body), strict=True))  # noqa: S302  checked
    links = (LinkPlan(**dict(zip(LINK_FIELDS, link, strict=True))) for link in values["links"])
    programs = (_program(program) for program in values["programs"])
    return BootPlan(**{**values, "links": tuple(links), "programs": tuple(programs)})


def on_failure(data: bytes) -> tuple[str, int]:
    """What to do on failure, and after how many seconds, also where the rest is damaged.

    Raises BootFileError where the head is.
    """
    head, _ = _read(data, _start(data))
    ending, seconds = marshal.loads(head)  # noqa: S302  checked
    return str(ending), int(seconds)


def _values(record: Record, names: tuple[str, ...]) -> tuple[object, ...]:
    return tuple(getattr(record, name) for name in names)


def _program_values(program: ProgramPlan) -> tuple[object, ...]:
    room = _values(program.room, ROOM_FIELDS) if program.room else None
    return _values(ProgramPlan(**{**vars(program), "room": room}), PROGRAM_FIELDS)


def _program(values: tuple[object, ...]) -> ProgramPlan:
    fields = dict(zip(PROGRAM_FIELDS, values, strict=True))
    room = fields["room"]
    if isinstance(room, tuple):
        fields["room"] = RoomPlan(**dict(zip(ROOM_FIELDS, room, strict=True)))
    return ProgramPlan(**fields)


def _start(data: bytes) -> int:
    if not data.startswith(MAGIC):
        raise BootFileError("it is not one that this version reads")
    return len(MAGIC)


def _read(data: bytes, at: int) -> tuple[bytes, int]:
    """The part that begins there, and where it ends."""
    if len(data) < at + PART.size:
        raise BootFileError("it is cut short")
    length, checksum = PART.unpack_from(data, at)
    body = data[at + PART.size : at + PART.size + length]
    if crc32(body) != checksum:
        raise BootFileError("it is damaged, its checksum does not match")
    return body, at + PART.size + length
