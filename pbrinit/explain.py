"""A question about one packet, and the answer in words.

In: a line such as `in wan tcp 198.51.100.9:40000 > 192.0.2.2:22`.  Out: a `Question`, and for
a `Plan` the `Explanation`: what becomes of the packet and of its answer, and by which rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

from pbrinit.addresses import Address
from pbrinit.fib import Trace
from pbrinit.fib_tables import Entry as Route
from pbrinit.fib_tables import Kind
from pbrinit.model import decide
from pbrinit.packet import (
    ECHO_REQUEST,
    WITH_PORTS,
    WITH_TYPES,
    Direction,
    Fragment,
    In,
    Out,
    Packet,
)
from pbrinit.plan import Action, Plan
from pbrinit.policy import EPHEMERAL, Entry, Policy, Protocol
from pbrinit.show import rule_command
from pbrinit.verdict import Outcome, Verdict

HIGHEST_PORT = 65535
HIGHEST_BYTE = 255
HIGHEST_UID = 2**32 - 2
FORMS = (
    "in INTERFACE PROTOCOL SOURCE > DESTINATION",
    "out PROTOCOL [SOURCE] > DESTINATION [as USER] [by INTERFACE]",
)
HINT = "write " + ", or ".join(f'"{form}"' for form in FORMS)
LINE = re.compile(
    r"(?P<way>in\s+(?P<device>\S+)|out)\s+(?P<protocol>\S+)(?:\s+(?P<source>[^\s>]+))?\s*>"
    r"\s*(?P<destination>\S+)(?P<rest>.*)"
)
REST = re.compile(r"\s+(?:(as|by)\s+(\S+)|(first-fragment|later-fragment))")
END = re.compile(
    r"\[(?P<six>[^]]+)\](?::(?P<six_port>\d+))?|(?P<four>[\d.]+)(?::(?P<port>\d+))?", re.ASCII
)
FRAGMENTS = {"first-fragment": Fragment.FIRST, "later-fragment": Fragment.LATER}
WORDS = {"tcp": Protocol.TCP, "udp": Protocol.UDP}


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
    direction: Direction
    uid: int | None


@dataclass(frozen=True)
class Part:
    """One packet and its verdict; `entry` is the part of the policy that allows it."""

    packet: Packet
    direction: Direction
    verdict: Verdict
    entry: Entry | None


@dataclass(frozen=True)
class Explanation:
    """What becomes of the packet asked about, and of its answer where it gets one."""

    asked: Part
    answer: Part | None


def parse(line: str, policy: Policy) -> Question:
    """Read a question; interfaces and users are the policy's names, or a device, or a number.

    A client's port that is not given is the first of those that clients have.
    Raises QuestionError.
    """
    found = LINE.fullmatch(line.strip())
    if found is None:
        raise QuestionError(f'"{line}" is no question')
    words, fragment = _rest(found["rest"])
    destination, destination_port = _end(found["destination"])
    source, source_port = (None, None) if found["source"] is None else _end(found["source"])
    if source is not None and source.version != destination.version:
        raise QuestionError(f"{source} and {destination} are not of one family")
    protocol, icmp = _protocol(found["protocol"], destination.version)
    if protocol in WITH_PORTS and destination_port is None:
        raise QuestionError(f"{found['destination']} has no port", "write ADDRESS:PORT")
    if protocol not in WITH_PORTS and (source_port, destination_port) != (None, None):
        raise QuestionError(f"{found['protocol']} has no ports", "write the addresses alone")
    if protocol in WITH_PORTS and source_port is None:
        source_port = EPHEMERAL.first
    packet = Packet(
        protocol, source, destination, source_port or 0, destination_port or 0, icmp, fragment
    )
    uid = _uid(words["as"], policy) if "as" in words else None
    if found["device"] is None:
        device = _device(words["by"], policy) if "by" in words else None
        return Question(packet, Out(uid or 0, device), uid)
    if source is None:
        raise QuestionError("what comes in has a source")
    if "by" in words:
        raise QuestionError('"by" is for what goes out', f'write "{FORMS[0]}"')
    return Question(packet, In(_device(found["device"], policy)), uid)


def _rest(text: str) -> tuple[dict[str, str], Fragment]:
    words: dict[str, str] = {}
    fragment = Fragment.WHOLE
    at = 0
    for found in REST.finditer(text):
        if found.start() != at:
            break
        at = found.end()
        if found[3]:
            fragment = FRAGMENTS[found[3]]
        else:
            words[found[1]] = found[2]
    if text[at:].strip():
        raise QuestionError(f'"{text[at:].strip()}" is not understood')
    return words, fragment


def _end(text: str) -> tuple[Address, int | None]:
    found = END.fullmatch(text)
    address = found["six"] or found["four"] if found else text
    port = found["six_port"] or found["port"] if found else None
    try:
        parsed = ip_address(address)
    except ValueError:
        hint = "such as 192.0.2.2:22 or [2001:db8::2]:22"
        raise QuestionError(f'"{text}" is no address', hint) from None
    if port is not None and int(port) > HIGHEST_PORT:
        raise QuestionError(f"{port} is no port", f"ports end at {HIGHEST_PORT}")
    return parsed, None if port is None else int(port)


def _protocol(text: str, version: int) -> tuple[int, tuple[int, int] | None]:
    word, *numbers = text.split("/")
    if word in WORDS and not numbers:
        return WORDS[word], None
    if not all(n.isascii() and n.isdigit() and int(n) <= HIGHEST_BYTE for n in numbers):
        raise QuestionError(f'"{text}" has no number up to {HIGHEST_BYTE}')
    if word == "icmp" and len(numbers) in (0, 1, 2):
        protocol = Protocol.ICMP if version == 4 else Protocol.ICMPV6  # noqa: PLR2004
        kind = int(numbers[0]) if numbers else ECHO_REQUEST[protocol]
        return protocol, (kind, int(numbers[1]) if numbers[1:] else 0)
    if word == "ip" and len(numbers) == 1 and int(numbers[0]) not in (*WITH_PORTS, *WITH_TYPES):
        return int(numbers[0]), None
    raise QuestionError(f'"{text}" is no protocol', "tcp, udp, icmp, icmp/TYPE/CODE or ip/NUMBER")


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
    known = ", ".join(u.name for u in policy.users) or "none"
    raise QuestionError(f'no user is named "{text}"', f"there is {known}, or write a number")


def explain(plan: Plan, policy: Policy, question: Question) -> Explanation:
    """What becomes of the packet, and of the answer to it if it gets where it was to go."""
    verdict = decide(plan, question.packet, question.direction)
    entry = _entry(verdict, policy)
    asked = Part(question.packet, question.direction, verdict, entry)
    packet = _filled(question.packet, verdict).answer()
    if packet is None or question.packet.fragment is not Fragment.WHOLE:
        return Explanation(asked, None)
    way: Direction
    if isinstance(question.direction, In) and verdict.outcome is Outcome.DELIVERED:
        user = entry.user.uid if entry and entry.user else 0
        way = Out(user if question.uid is None else question.uid, bound=True)
    elif verdict.outcome is Outcome.SENT and verdict.device is not None:
        way = In(verdict.device)
    else:
        return Explanation(asked, None)
    answered = decide(plan, packet, way)
    return Explanation(asked, Part(packet, way, answered, _entry(answered, policy)))


def _filled(packet: Packet, verdict: Verdict) -> Packet:
    """The packet with the source that the kernel chose."""
    return packet if packet.source else replace(packet, source=verdict.source)


def _entry(verdict: Verdict, policy: Policy) -> Entry | None:
    """The entry whose rule decided the first look-up that has one."""
    known = {entry.key: entry for entry in policy.entries}
    notes = (rule.note for rule in verdict.rules)
    return next((known[note] for note in notes if note in known), None)


def lines(verdict: Verdict) -> Iterator[str]:
    """The verdict, then each look-up with the rules that it met."""
    word = "allowed" if verdict.allowed else "dropped"
    by = f", by {verdict.device}" if verdict.device else ""
    yield f"{word}{by}: {verdict.why}"
    for trace in verdict.traces:
        yield f"  {trace.lookup.value}: {_flow(trace)}"
        for step in trace.steps:
            note = f"  # {step.rule.note}" if step.rule.note else ""
            yield f"    {rule_command(step.rule)}{note}"
            if step.rule.action is Action.LOOKUP:
                yield f"      {_route(step.hit)}"
        if trace.rule is None:
            yield "    no rule takes it"


def _route(hit: Route | None) -> str:
    if hit is None:
        return "no route there: on to the next rule"
    return f"{hit}: on to the next rule" if hit.kind is Kind.THROW else f"route {hit}"


def _flow(trace: Trace) -> str:
    flow = trace.flow
    words = [f"iif {flow.iif}"]
    words += [f"oif {flow.oif}"] if flow.oif else []
    words += [f"from {flow.source or 'no source yet'} to {flow.destination}"]
    words += [f"ipproto {flow.protocol}"]
    words += [f"sport {flow.source_port} dport {flow.destination_port} uid {flow.uid}"]
    return " ".join(words)


def text(explanation: Explanation) -> Iterator[str]:
    """Everything, for a person."""
    yield from _part(explanation.asked)
    if explanation.answer is not None:
        yield ""
        yield "the answer:"
        yield from _part(explanation.answer)


def _part(part: Part) -> Iterator[str]:
    first, *rest = lines(part.verdict)
    yield first
    if part.entry is not None and part.verdict.allowed:
        yield f"  by {part.entry.key}: {part.entry}"
    yield from rest


def as_json(explanation: Explanation, names: Mapping[str, str]) -> dict[str, Any]:
    """Everything, for a program; `names` gives the name of an interface by its device."""
    return {
        "asked": _json(explanation.asked, names),
        "answer": _json(explanation.answer, names) if explanation.answer else None,
    }


def _json(part: Part, names: Mapping[str, str]) -> dict[str, Any]:
    verdict = part.verdict
    return {
        "allowed": verdict.allowed,
        "outcome": verdict.outcome.name.lower(),
        "why": verdict.why,
        "interface": names.get(verdict.device or "", verdict.device),
        "entry": part.entry.key if part.entry and verdict.allowed else None,
        "lookups": [
            {
                "lookup": trace.lookup.name.lower(),
                "flow": _flow(trace),
                "rules": [
                    {
                        "command": rule_command(step.rule),
                        "note": step.rule.note,
                        "route": str(step.hit) if step.hit else None,
                    }
                    for step in trace.steps
                ],
            }
            for trace in verdict.traces
        ],
    }
