"""A question about one packet, as a person writes it.

In: a line such as `in wan tcp 198.51.100.9:40000 > 192.0.2.2:22`.  Out: a `Question`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

from pbrinit.net.addresses import Address, Family, family_of
from pbrinit.net.icmp import ECHO_REQUEST, PROTOCOL
from pbrinit.net.packet import (
    WITH_PORTS,
    WITH_TYPES,
    Egress,
    Fragment,
    Ingress,
    Origin,
    Packet,
)
from pbrinit.net.services import REMOTE_EPHEMERAL_PORTS, Protocol
from pbrinit.plan.plan import PlannedProgram, Route
from pbrinit.policy.policy import Policy
from pbrinit.policy.programs import Program

HIGHEST_PORT = 65535
HIGHEST_BYTE = 255
HIGHEST_UID = 2**32 - 2
FORMS = (
    "in INTERFACE PROTOCOL SOURCE > DESTINATION",
    "out PROTOCOL [SOURCE] > DESTINATION [as USER] [by INTERFACE]",
    "out run=PROGRAM PROTOCOL [SOURCE] > DESTINATION",
)
HINT = "write " + ", or ".join(f'"{form}"' for form in FORMS)
LINE = re.compile(
    r"(?:(?:in|forward)\s+(?P<device>\S+)|out(?:\s+run=(?P<run>\S+))?)\s+(?P<protocol>\S+)(?:\s+(?P<source>[^\s>]+))?\s*>"
    r"\s*(?P<destination>\S+)(?P<rest>.*)"
)
REST = re.compile(
    r"\s+(?:(as|by|hops)\s+(\S+)|(first-fragment|later-fragment|too-big))(?!\S)", re.ASCII
)
END = re.compile(
    r"\[(?P<six>[^]]+)\](?::(?P<six_port>\d+))?|(?P<four>[\d.]+)(?::(?P<port>\d+))?", re.ASCII
)
FRAGMENTS = {"first-fragment": Fragment.FIRST, "later-fragment": Fragment.LATER}
WORDS = {"tcp": Protocol.TCP, "udp": Protocol.UDP}


ECHO = "icmp/echo"
"""As a policy has it; `icmp` alone is the same here."""


class QuestionError(Exception):
    """A question that cannot be understood: what is wrong, and the way out."""

    def __init__(self, what: str, hint: str = HINT) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


@dataclass(frozen=True)
class Question:
    """A packet, its way, and the user that has the socket at this machine's end, if named."""

    packet: Packet
    direction: Origin
    uid: int | None


def parse(line: str, policy: Policy, programs: Iterable[PlannedProgram]) -> Question:
    """Read a question; interfaces and users are the policy's names, or a device, or a number.
    `programs` are the plan's.

    A client's port that is not given is the first of those that clients have. What leaves with a
    source is sent by a socket that is bound to it; without one, by a socket that is not bound.
    What a program in a room sends comes in by its door.  Raises QuestionError.
    """
    found = LINE.fullmatch(line.strip())
    if found is None:
        raise QuestionError(f'"{line}" is no question')
    words, fields = _rest(found["rest"])
    destination, destination_port = _end(found["destination"])
    source, source_port = (None, None) if found["source"] is None else _end(found["source"])
    has_port = source_port is not None
    if source is not None and source.version != destination.version:
        raise QuestionError(f"{source} and {destination} are not of one family")
    protocol, icmp = _protocol(found["protocol"], family_of(destination))
    if protocol in WITH_PORTS and destination_port is None:
        raise QuestionError(f"{found['destination']} has no port", "write ADDRESS:PORT")
    if protocol not in WITH_PORTS and (source_port, destination_port) != (None, None):
        raise QuestionError(f"{found['protocol']} has no ports", "write the addresses alone")
    program = _program(found["run"], policy) if found["run"] is not None else None
    if program is not None and source is None:
        source = _source_in_room(program, destination, programs)
    if protocol in WITH_PORTS and source_port is None:
        sends = found["device"] is None
        source_port = (
            (program or policy).client_ports.first if sends else REMOTE_EPHEMERAL_PORTS.first
        )
    packet = Packet(
        protocol, source, destination, source_port or 0, destination_port or 0, icmp, **fields
    )
    if program is not None:
        if words:
            raise QuestionError(f'"{next(iter(words))}" is not for a room', f'write "{FORMS[2]}"')
        return Question(packet, Ingress(program.device), None)
    uid = _uid(words["as"], policy) if "as" in words else None
    if found["device"] is None:
        device = _device(words["by"], policy) if "by" in words else None
        return _sent(packet, Egress(uid or 0, device), uid, has_port=has_port)
    if source is None:
        raise QuestionError("what comes in has a source")
    if "by" in words:
        raise QuestionError('"by" is for what goes out', f'write "{FORMS[0]}"')
    return Question(packet, Ingress(_device(found["device"], policy)), uid)


def _sent(packet: Packet, sender: Egress, uid: int | None, *, has_port: bool) -> Question:
    """What a program of the machine sends: a source says what its socket is bound to (bind(2)).

    The address 0.0.0.0 or :: is none: the socket is bound to a port alone.
    """
    if packet.too_big:
        raise QuestionError('"too-big" is for what comes in', "a program gets EMSGSIZE")
    source = packet.source
    if source is not None and source.is_multicast:
        raise QuestionError(f"{source} is a group: no socket sends from it")
    if source is None or source.is_unspecified:
        portless = replace(packet, source=None)
        return Question(portless, replace(sender, port_bound=has_port), uid)
    return Question(packet, replace(sender, bound=True), uid)


def _rest(text: str) -> tuple[dict[str, str], dict[str, Any]]:
    """What is said by words with a value, and the fields of the packet that are named."""
    words: dict[str, str] = {}
    fields: dict[str, Any] = {}
    at = 0
    for found in REST.finditer(text):
        if found.start() != at:
            break
        at = found.end()
        if found[3] == "too-big":
            fields["too_big"] = True
        elif found[3]:
            fields["fragment"] = FRAGMENTS[found[3]]
        elif found[1] == "hops":
            fields["ttl"] = _hops(found[2])
        else:
            words[found[1]] = found[2]
    if text[at:].strip():
        raise QuestionError(f'"{text[at:].strip()}" is not understood')
    return words, fields


def _hops(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text) <= HIGHEST_BYTE:
        return int(text)
    raise QuestionError(f'"{text}" is no number of hops', f"1 to {HIGHEST_BYTE}")


def _end(text: str) -> tuple[Address, int | None]:
    found = END.fullmatch(text)
    address = found["six"] or found["four"] if found else text
    port = found["six_port"] or found["port"] if found else None
    try:
        parsed = ip_address(address)
    except ValueError:
        hint = "such as 192.0.2.2:22 or [2001:db8::2]:22"
        raise QuestionError(f'"{text}" is not an address', hint) from None
    if port is not None and int(port) > HIGHEST_PORT:
        raise QuestionError(f"{port} is no port", f"ports end at {HIGHEST_PORT}")
    return parsed, None if port is None else int(port)


def _protocol(text: str, family: Family) -> tuple[int, tuple[int, int] | None]:
    word, *numbers = text.split("/") if text != ECHO else ["icmp"]
    if word in WORDS and not numbers:
        return WORDS[word], None
    if not all(n.isascii() and n.isdigit() and int(n) <= HIGHEST_BYTE for n in numbers):
        raise QuestionError(f'"{text}" has no number up to {HIGHEST_BYTE}')
    if word == "icmp" and len(numbers) in (0, 1, 2):
        protocol = PROTOCOL[family]
        kind = int(numbers[0]) if numbers else ECHO_REQUEST[family].type
        return protocol, (kind, int(numbers[1]) if numbers[1:] else 0)
    if word == "ip" and len(numbers) == 1 and int(numbers[0]) not in (*WITH_PORTS, *WITH_TYPES):
        return int(numbers[0]), None
    raise QuestionError(
        f'"{text}" is no protocol', "tcp, udp, icmp/echo, icmp/TYPE/CODE or ip/NUMBER"
    )


def _program(text: str, policy: Policy) -> Program:
    for program in policy.rooms:
        if text == program.name:
            return program
    for program in policy.programs:
        if text == program.name:
            user = program.user.name
            raise QuestionError(f"{text} has no room", f'it sends as its user: write "as {user}"')
    known = ", ".join(program.name for program in policy.rooms) or "none"
    raise QuestionError(f'no program is named "{text}"', f"there is {known}")


def _source_in_room(
    program: Program, destination: Address, programs: Iterable[PlannedProgram]
) -> Address:
    """The address from which a program in a room sends where its socket is not bound to one: the
    preferred source of the longest route in the room.
    """
    room = next(planned.room for planned in programs if planned.program.name == program.name)
    routes = [route for route in (room.routes if room else ()) if _leads_to(route, destination)]
    longest = max(routes, key=lambda r: r.destination.prefixlen if r.destination else -1,
                  default=None)  # fmt: skip
    if longest is None or longest.preferred is None:
        raise QuestionError(f"no route of {program.label} leads to {destination}")
    return longest.preferred


def _leads_to(route: Route, destination: Address) -> bool:
    if route.family is not family_of(destination):
        return False
    return route.destination is None or destination in route.destination


def _device(text: str, policy: Policy) -> str:
    for interface in policy.interfaces:
        if text in (interface.name, interface.device):
            return interface.device
    known = ", ".join(i.name for i in policy.interfaces) or "none"
    raise QuestionError(f'no interface is named "{text}"', f"there is {known}")


def _uid(text: str, policy: Policy) -> int:
    for user in policy.users:
        if text == user.name:
            return user.uid
    if text.isascii() and text.isdigit() and int(text) <= HIGHEST_UID:
        return int(text)
    if text == "root":
        raise QuestionError(
            f'no user is named "{text}"', 'root is number 0: write "as 0", or no "as"'
        )
    known = ", ".join(u.name for u in policy.users) or "none"
    raise QuestionError(f'no user is named "{text}"', f"there is {known}, or write a number")
