"""A plan from a process that is not trusted, held to what a plan of this machine may be.

In: plain values out of the process that compiles, and the plan in force.  Out: a `BootPlan`, or a
`VettingError`.  The guard, as root, sends a plan's messages to the kernel and writes its sysctls.
So no message here is of another kind than the compiler makes, no sysctl stands outside of
/proc/sys/net/ipv4 and ipv6, no text has a character that moves a cursor, and what a running
machine does not change is what the plan in force has.  What a plan lets through is not judged here:
who may try a policy may try any, and the guard says what a program's own trial leaves as it is.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from pbrinit.boot.network.rules import FAMILIES, FRA_PRIORITY, RULE
from pbrinit.boot.network.slots import FRA_GOTO, PREFERENCES, RTM_NEWRULE
from pbrinit.plan import messages
from pbrinit.plan.plan import LOOPBACK
from pbrinit.wire import bootplan
from pbrinit.wire.bootplan import PREFERENCE_BLANK, BootPlan, LinkPlan, ProgramPlan, RoomPlan
from pbrinit.wire.netlink import constants
from pbrinit.wire.netlink.route_dump import ROUTE, RTM_NEWROUTE
from pbrinit.wire.netlink.socket import ATTRIBUTE, HEADER

RECORDS = (BootPlan, LinkPlan, ProgramPlan, RoomPlan)
HINTS = {record: get_type_hints(record) for record in RECORDS}
SYSCTL = re.compile(r"net/ipv[46](/[A-Za-z0-9_][A-Za-z0-9_.-]*)+")
SYSCTL_VALUE = re.compile(r"[0-9\t, -]{0,64}")
DEVICE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
HOSTNAME = re.compile(r"[A-Za-z0-9.-]{1,64}")
DIGEST = re.compile(r"[0-9a-f]{64}")
ENDINGS = ("stay", "reboot", "poweroff")
LONGEST_TEXT = 4096
ACTIONS = frozenset(messages.FR_ACT.values())
LINK_HEADERS = {
    constants.RTM_NEWLINK: messages.LINK.size,
    constants.RTM_NEWADDR: messages.ADDRESS.size,
    RTM_NEWROUTE: ROUTE.size,
    constants.RTM_NEWNEIGH: messages.NEIGHBOUR.size,
}
"""What a link's messages may be, each with the size of its own header."""

LINK_ATTRIBUTES = frozenset((constants.IFLA_IFNAME, constants.IFLA_GROUP))
"""Of a change of a link: a name, or the group of a device that is made."""


class VettingError(Exception):
    """What no plan of this machine has; the text says what."""


def vetted(values: object, now: BootPlan, name: str, assignments: Sequence[str]) -> BootPlan:
    """The plan in `values`, of a policy called `name`, for the addresses `assignments`, where the
    plan `now` is in force.

    Raises VettingError.
    """
    if not isinstance(values, tuple) or not _is(values, BootPlan):
        raise VettingError("its values are of other types")
    plan = bootplan.from_values(values)
    _check_texts(bootplan.to_values(_without_known_commands(plan, now)))
    for good, what in (
        (plan.policy == name, "the policy's name"),
        (HOSTNAME.fullmatch(plan.hostname), "the host name"),
        (plan.on_failure[0] in ENDINGS and plan.on_failure[1] >= 0, "what it does on failure"),
        (plan.kernel_rule_removals == now.kernel_rule_removals, "which of the kernel's rules go"),
        (plan.assignments == tuple(assignments), "the addresses that it is for"),
        (DIGEST.fullmatch(plan.digest), "its digest"),
        (len(plan.rules) == len(plan.rule_commands), "the number of its rules"),
        (plan.links and plan.links[0].device == LOOPBACK, "its first link"),
    ):
        if not good:
            raise VettingError(f"{what} cannot be so")
    _check_sysctls((*plan.sysctls, *plan.forwarding_sysctls))
    for message, text in zip(plan.rules, plan.rule_commands, strict=True):
        _check_rule(message, text)
    for link in plan.links:
        _check_link(link)
    for program in plan.programs:
        if program.room is not None:
            _check_sysctls(program.room.sysctls)
            _check_messages(program.room.messages)
    unsigned = BootPlan(**{**vars(plan), "digest": ""})
    digest = hashlib.sha256(bootplan.pack(unsigned)).hexdigest()
    return BootPlan(**{**vars(plan), "digest": digest})


def _without_known_commands(plan: BootPlan, now: BootPlan) -> BootPlan:
    """The plan without the commands and environments that the plan in force has: what a program is
    told may have several lines, and a terminal never shows it.
    """
    known = {(one.name, one.command, one.environment) for one in now.programs}
    programs = tuple(
        ProgramPlan(**{**vars(one), "command": (), "environment": ()})
        if (one.name, one.command, one.environment) in known
        else one
        for one in plan.programs
    )
    return BootPlan(**{**vars(plan), "programs": programs})


def _is(value: object, hint: Any) -> bool:
    """Whether a value has the type that an annotation of a boot plan names; records are tuples of
    their fields.
    """
    if hint in HINTS:
        fields = HINTS[hint].values()
        return _is_row(value, fields)
    if isinstance(hint, UnionType):
        return any(_is(value, one) for one in get_args(hint))
    if get_origin(hint) is not tuple:
        return type(value) is (NoneType if hint is None else hint)
    inner = get_args(hint)
    if inner[-1] is not Ellipsis:
        return _is_row(value, inner)
    return isinstance(value, tuple) and all(_is(item, inner[0]) for item in value)


def _is_row(value: object, hints: Iterable[Any]) -> bool:
    hints = tuple(hints)
    return (
        isinstance(value, tuple)
        and len(value) == len(hints)
        and all(_is(item, hint) for item, hint in zip(value, hints, strict=True))
    )


def _check_texts(value: object) -> None:
    """Each text on one line that does nothing to a terminal; a tab stands in sysctls."""
    if isinstance(value, str):
        if len(value) > LONGEST_TEXT or not value.replace("\t", " ").isprintable():
            raise VettingError("a text has what no text of a plan has")
    elif isinstance(value, tuple):
        for item in value:
            _check_texts(item)


def _check_sysctls(sysctls: Iterable[tuple[str, str]]) -> None:
    for key, value in sysctls:
        if not SYSCTL.fullmatch(key) or not SYSCTL_VALUE.fullmatch(value):
            raise VettingError(f"no plan sets {key}")


def _check_rule(message: bytes, text: str) -> None:
    """One rule of the first place, as its text has it."""
    told = dict(_attributes(message, RTM_NEWRULE, RULE.size))
    family, *_, action, _ = RULE.unpack_from(message, HEADER.size)
    preference = _number(told.get(FRA_PRIORITY))
    words = text.split(" ")
    said = [{"-4": 2, "-6": 10}.get(words[0]), *words[1:5]]
    if (
        family not in FAMILIES
        or action not in ACTIONS
        or not 0 < preference < PREFERENCES
        or said != [family, "rule", "add", "pref", PREFERENCE_BLANK]
        or (FRA_GOTO in told and not preference < _number(told[FRA_GOTO]) < PREFERENCES)
    ):
        raise VettingError("a rule is none that the compiler makes")


def _check_link(link: LinkPlan) -> None:
    if not DEVICE.fullmatch(link.device) or not (link.mac is None or MAC.fullmatch(link.mac)):
        raise VettingError("a link has no device that there can be")
    _check_sysctls(link.sysctls)
    _check_messages((*link.messages, *([link.rename] if link.rename else [])))
    for _, pieces, size, offset in link.bulks:
        for piece in pieces:
            if size <= HEADER.size + ROUTE.size or len(piece) % size or not piece:
                raise VettingError("a piece of routes is not made of routes")
            for at in range(0, len(piece), size):
                length, kind, *_ = HEADER.unpack_from(piece, at)
                if (length, kind) != (size, RTM_NEWROUTE):
                    raise VettingError("a piece of routes is not made of routes")
            _check_messages([("", piece[:size], (offset,) if offset else ())])


def _check_messages(told: Iterable[tuple[str, bytes, tuple[int, ...]]]) -> None:
    """Messages of a link, each with the places of the interface's index."""
    for _, message, offsets in told:
        kind = HEADER.unpack_from(message)[1] if len(message) >= HEADER.size else 0
        if kind not in LINK_HEADERS:
            raise VettingError(f"no message of a link is of type {kind}")
        found = dict(_attributes(message, kind, LINK_HEADERS[kind]))
        if kind == constants.RTM_NEWLINK and found.keys() - LINK_ATTRIBUTES:
            raise VettingError("a link is changed in what no plan changes")
        if any(not HEADER.size <= offset <= len(message) - 4 for offset in offsets):
            raise VettingError("the index of an interface stands outside of a message")


def _attributes(message: bytes, kind: int, header: int) -> Iterator[tuple[int, bytes]]:
    """The attributes of one whole message of this type."""
    if len(message) < HEADER.size + header:
        raise VettingError("a message is cut short")
    length, found, flags, *_ = HEADER.unpack_from(message)
    if (length, found) != (len(message), kind) or not flags & constants.NLM_F_REQUEST:
        raise VettingError("a message is none that the compiler makes")
    at = HEADER.size + header
    while at < len(message):
        if at + ATTRIBUTE.size > len(message):
            raise VettingError("an attribute is cut short")
        size, attribute = ATTRIBUTE.unpack_from(message, at)
        if size < ATTRIBUTE.size or at + size > len(message):
            raise VettingError("an attribute is cut short")
        yield attribute, message[at + ATTRIBUTE.size : at + size]
        at += (size + 3) & ~3


def _number(value: bytes | None) -> int:
    return struct.unpack("=I", value)[0] if value is not None and len(value) == 4 else 0  # noqa: PLR2004  u32
