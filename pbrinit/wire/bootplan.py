"""The boot plan: the one file that PID 1 reads, with finished netlink messages.

In: a `BootPlan`.  Out: its bytes; and from bytes the same `BootPlan`, or an error.  This module is
in the image: its values are namespaces, since to import dataclasses or typing takes longer than to
put the rules in force.

The form is a magic word and three parts, each a tuple in marshal's format after its length and its
CRC-32: no parser stands between PID 1 and the rules.  The first part says what to do on failure, so
that it is known where the others are damaged.  The second has what PID 1 looks at while the machine
runs, the outline, so that it never unpacks the rest.  It is version 2 of marshal's format,
which every Python reads; later ones depend on reference counts and are not the same bytes
twice.  The checksums find damage, not malice: who can change this file can change PID 1.
"""

from __future__ import annotations

import marshal
import struct
from binascii import crc32

from pbrinit.wire.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

PATH = "/etc/pbrinit/plan"
"""The file in an image."""

MAGIC = b"pbrinit plan 7\n"
PART = struct.Struct("!II")
MARSHAL_VERSION = 2
LONGEST_OUTLINE = 1 << 20
"""In bytes, from the beginning of the file; a hundred programs in rooms take some 100 KiB."""

PREFERENCE_BLANK, GOTO_BLANK, TABLE_BLANK = "{preference}", "{goto}", "{table}"
"""Blanks in the plan's `ip` commands, for the numbers that differ between the two places of a plan
(boot.network.slots); the message of the command has these numbers. No device has such a name.
"""

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
    """The namespaces of a program. `device` is the machine's end of the veth, `client_ports` are
    the first and the last port of its ephemeral range. `ids` are the number on the machine of the
    room's user 0, and how many users follow it. `veth` makes the pair of devices, and its offsets
    are for the network namespace's descriptor; `removal` removes the pair. Inside come the sysctls,
    then the messages, whose offsets are for the index of the inner end.
    """

    device: str
    client_ports: tuple[int, int]
    ids: tuple[int, int]
    removal: bytes
    veth: tuple[str, bytes, tuple[int, ...]]
    sysctls: tuple[tuple[str, str], ...]
    messages: tuple[tuple[str, bytes, tuple[int, ...]], ...]


class ProgramPlan(Record):
    """A program. Its user is `uid` on the machine, and its group has the same number. `files` are
    the paths of those that the policy gives it, `capabilities` has a bit for each capability that
    it keeps, `restart` is "always", "on-failure" or "never", and `control` is "status", "try" or
    "". `memory`, in bytes and 0 for an equal part, and the three after it are its share of the
    machine (`policy.programs.Share`).
    """

    name: str
    command: tuple[str, ...]
    uid: int
    environment: tuple[tuple[str, str], ...]
    files: tuple[str, ...]
    capabilities: int
    memory: int
    processes: int
    open_files: int
    cpu_weight: int
    restart: str
    control: str
    room: RoomPlan | None


class BootPlan(Record):
    """What is done at boot, in this order.

    - `digest`: the SHA-256 of everything else.
    - `on_failure`: "stay", "reboot" or "poweroff", and after how many seconds.
    - `summary`: what the policy allows, in words.
    - `rules`: netlink messages, highest preference first; `rule_commands`: the `ip` command of
      each, with blanks; `kernel_rule_removals`: messages that remove the rules that a kernel starts
      with.
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


class Outline(Record):
    """What PID 1 looks at of a plan that is put in force while the machine runs."""

    log: bool
    programs: tuple[ProgramPlan, ...]


FIELDS = tuple(BootPlan.__annotations__)
OUTLINE_FIELDS = tuple(Outline.__annotations__)
BODY_FIELDS = tuple(name for name in FIELDS if name not in OUTLINE_FIELDS)
LINK_FIELDS = tuple(LinkPlan.__annotations__)
PROGRAM_FIELDS = tuple(ProgramPlan.__annotations__)
ROOM_FIELDS = tuple(RoomPlan.__annotations__)


def pack(plan: BootPlan) -> bytes:
    """The bytes of the file; the same for the same plan."""
    values = _plain(plan)
    head, body = (tuple(values[name] for name in names) for names in (OUTLINE_FIELDS, BODY_FIELDS))
    return MAGIC + sealed(plan.on_failure) + sealed(head) + sealed(body)


def unpack(data: bytes) -> BootPlan:
    """The plan that is in the bytes of a file.

    Raises BootFileError where a byte is missing, changed or too many.
    """
    _, at = _read(data, _start(data))
    head, at = _read(data, at)
    body = unsealed(data[at:])
    try:
        if not isinstance(body, tuple):
            raise TypeError("its values are no tuple")
        values = {
            **dict(zip(OUTLINE_FIELDS, marshal.loads(head), strict=True)),  # noqa: S302  checked
            **dict(zip(BODY_FIELDS, body, strict=True)),
        }
        return _from_plain(values)
    except (ValueError, TypeError, EOFError, KeyError) as error:
        raise BootFileError(f"it holds no plan: {error}") from None


def sealed(values: object) -> bytes:
    """Plain values as bytes, after their length and checksum."""
    part = marshal.dumps(values, MARSHAL_VERSION)  # type: ignore[arg-type]  # plain values
    return PART.pack(len(part), crc32(part)) + part


def unsealed(data: bytes) -> object:
    """The values that `sealed` made these bytes of; no more than them.

    Raises BootFileError where a byte is missing or changed.
    """
    part, end = _read(data, 0)
    if end != len(data):
        raise BootFileError("it is longer than it says")
    try:
        values: object = marshal.loads(part)  # noqa: S302  checked
    except (ValueError, TypeError, EOFError) as error:
        raise BootFileError(f"it holds no values: {error}") from None
    return values


def outline(data: bytes) -> Outline:
    """The outline of the plan; the first LONGEST_OUTLINE bytes of its file are enough.

    Raises BootFileError where a byte of it is missing or changed.
    """
    _, at = _read(data, _start(data))
    part, _ = _read(data, at)
    try:
        values = dict(zip(OUTLINE_FIELDS, marshal.loads(part), strict=True))  # noqa: S302  checked
        programs = tuple(_program(program) for program in values["programs"])
        return Outline(**{**values, "programs": programs})
    except (ValueError, TypeError, EOFError, KeyError) as error:
        raise BootFileError(f"it holds no outline: {error}") from None


def to_values(plan: BootPlan) -> tuple[object, ...]:
    """The plan as tuples of plain values."""
    values = _plain(plan)
    return tuple(values[name] for name in FIELDS)


def from_values(given: Sequence[object]) -> BootPlan:
    """The plan that `to_values` made these of.

    Raises ValueError, TypeError or KeyError where they are of another shape.
    """
    return _from_plain(dict(zip(FIELDS, given, strict=True)))


def _plain(plan: BootPlan) -> dict[str, object]:
    return {
        **vars(plan),
        "links": tuple(_values(link, LINK_FIELDS) for link in plan.links),
        "programs": tuple(_program_values(program) for program in plan.programs),
    }


def _from_plain(values: dict[str, object]) -> BootPlan:
    links, programs = values["links"], values["programs"]
    if not isinstance(links, tuple) or not isinstance(programs, tuple):
        raise TypeError("its links and programs are no tuples")
    return BootPlan(
        **{
            **values,
            "links": tuple(LinkPlan(**dict(zip(LINK_FIELDS, link, strict=True))) for link in links),
            "programs": tuple(_program(program) for program in programs),
        }
    )


def on_failure(data: bytes) -> tuple[str, int]:
    """What to do on failure, and after how many seconds; `data` may end after the head.

    Raises BootFileError where the head is damaged.
    """
    head, _ = _read(data, _start(data))
    try:
        ending, seconds = marshal.loads(head)  # noqa: S302  checked
        return str(ending), int(seconds)
    except (ValueError, TypeError, EOFError) as error:
        raise BootFileError(f"its head holds nothing: {error}") from None


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
