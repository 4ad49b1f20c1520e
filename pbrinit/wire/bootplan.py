"""The boot plan: the one file that PID 1 reads, with finished netlink messages.

In: a `BootPlan`.  Out: its bytes; and from bytes the same `BootPlan`, or an error.  This module is
in the image: its values are namespaces, since to import dataclasses or typing takes longer than to
put the rules in force.

The file is a magic word, a head and a body. Head and body are tuples in marshal's format, each
after its length and its CRC-32, so that PID 1 needs no parser.  The head says what to do on
failure, and can be read where the body is damaged.  Version 2 of marshal's format is used because
every Python reads it; later versions depend on reference counts and do not give the same bytes
twice.  The checksums detect damage, not an attack: whoever can change this file can change PID 1.
"""

from __future__ import annotations

import marshal
import struct
from binascii import crc32

from pbrinit.wire.record import Record

PATH = "/etc/pbrinit/plan"
"""The file in an image."""

MAGIC = b"pbrinit plan 6\n"
PART = struct.Struct("!II")
MARSHAL_VERSION = 2
ROOM_READY_GROUP = 28770
"""The group of a room's device once it has everything that the plan gives it; nothing else sets
this group (IFLA_GROUP in linux/if_link.h)."""


class BootFileError(Exception):
    """A file that is damaged or that is not a boot plan; the text says why."""


class LinkPlan(Record):
    """One interface. The interface's index is written into each message at its offsets.

    `rename` gives the device with the MAC address its name; `messages` are sent after the sysctls.
    A message is (what it does, its bytes, offsets of the index).  `bulks` come last: many routes of
    one form, as (what they are, pieces to be sent as they are, the size of a message, the offset of
    the index in each, 0 where there is none).  A device that leads into a `room` exists while its
    program runs, and is as planned once it is in the group ROOM_READY_GROUP.
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
    """The network namespace of a program. `device` is the machine's end of the veth, `clients` are
    the first and the last port of its ephemeral range. `veth` makes the pair of devices, and its
    offsets are for the namespace's descriptor; `removal` removes the pair. Inside come the sysctls,
    then the messages, whose offsets are for the index of the inner end.
    """

    device: str
    clients: tuple[int, int]
    removal: bytes
    veth: tuple[str, bytes, tuple[int, ...]]
    sysctls: tuple[tuple[str, str], ...]
    messages: tuple[tuple[str, bytes, tuple[int, ...]], ...]


class ProgramPlan(Record):
    """A program. Its group has the number of its user, `capabilities` has a bit for each capability
    that it keeps, `restart` is "always", "on-failure" or "never", and `ask` is "status", "try" or
    "".
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

    - `digest`: the SHA-256 of everything else.
    - `on_failure`: "stay", "reboot" or "poweroff", and after how many seconds.
    - `summary`: what the policy allows, in words.
    - `rules`: netlink messages, highest preference first; `rule_commands`: the `ip` command of
      each; `kernel_rule_removals`: messages that remove the rules that a kernel starts with.
    - `forwarding_sysctls`: those that switch forwarding on; `programs` are started after that.
    - `metrics`: the port of the page for Prometheus, and the user that serves it.
    - `log`: whether refused packets are logged.
    - `dynamic_interfaces`: the interfaces whose address is assigned on their link, ordered by
      family: the family, the name, the device, and the prefixes of the other interfaces.
    - `assignments`: the addresses that this plan is made for, as `pbrctl lease` takes them.
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
    """The bytes of the file; the same for the same plan."""
    values = {
        **vars(plan),
        "links": tuple(_values(link, LINK_FIELDS) for link in plan.links),
        "programs": tuple(_program_values(program) for program in plan.programs),
    }
    body = tuple(values[name] for name in FIELDS)
    return MAGIC + b"".join(
        PART.pack(len(part), crc32(part)) + part
        for part in (marshal.dumps(part, MARSHAL_VERSION) for part in (plan.on_failure, body))
    )


def unpack(data: bytes) -> BootPlan:
    """The plan that is in the bytes of a file.

    Raises BootFileError where a byte is missing, changed or too many.
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
    """What to do on failure, and after how many seconds; `data` may end after the head.

    Raises BootFileError where the head is damaged.
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
        raise BootFileError("it is not a boot plan that this version reads")
    return len(MAGIC)


def _read(data: bytes, at: int) -> tuple[bytes, int]:
    """The part that begins at `at`, and the offset of its end. Raises BootFileError."""
    if len(data) < at + PART.size:
        raise BootFileError("it is truncated")
    length, checksum = PART.unpack_from(data, at)
    body = data[at + PART.size : at + PART.size + length]
    if crc32(body) != checksum:
        raise BootFileError("it is damaged, its checksum does not match")
    return body, at + PART.size + length
