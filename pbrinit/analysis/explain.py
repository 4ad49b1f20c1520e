"""A question about one packet answered, in words or JSON.

In: a `Question`, a `Policy` and its `Plan`.  Out: the `Explanation`: what becomes of the packet
and of its answer, by which rules and for which entries of the policy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pbrinit.analysis.question import FORMS, HINT, Question, QuestionError, parse
from pbrinit.model.fib import Trace
from pbrinit.model.kernel import decide
from pbrinit.model.tables import FibEntry
from pbrinit.model.verdict import IcmpError, Outcome, Verdict
from pbrinit.net.packet import Egress, Fragment, Ingress, Origin, Packet
from pbrinit.plan.ip_commands import rule_command
from pbrinit.plan.plan import Action, Plan, RouteType
from pbrinit.policy.policy import Allow, Deny, Direction, Policy, RoomAllow
from pbrinit.policy.programs import Program
from pbrinit.semantics.decision import PolicyDecider

__all__ = [
    "FORMS",
    "HINT",
    "Explanation",
    "Part",
    "Question",
    "QuestionError",
    "as_json",
    "explain",
    "lines",
    "parse",
    "text",
]
WORDS = {Outcome.REJECTED: "dropped, and its sender told"}
LOGGED = "dropped, and logged"


@dataclass(frozen=True)
class Part:
    """One packet and its verdict; `entries` are the parts of the policy that it is owed to:
    those that allow it, or the deny entries that take it away.  `room` is the one that gets the
    packet.  `rooms`: whether the policy has any, so that of an entry without one it is to be said
    that it is about the machine itself.
    """

    packet: Packet
    direction: Origin
    verdict: Verdict
    entries: tuple[Allow | RoomAllow | Deny, ...]
    room: Program | None
    rooms: bool


@dataclass(frozen=True)
class Explanation:
    """What becomes of the packet asked about, and of its answer where it gets one."""

    asked: Part
    answer: Part | None


def explain(plan: Plan, policy: Policy, question: Question) -> Explanation:
    """What becomes of the packet, and of the answer to it if it gets where it was to go."""
    asked = _part(plan, policy, question.packet, question.direction)
    verdict = asked.verdict
    packet = _filled(question.packet, verdict).reverse_flow()
    if packet is None or question.packet.fragment is not Fragment.WHOLE:
        return Explanation(asked, None)
    way: Origin
    if isinstance(question.direction, Ingress) and verdict.outcome is Outcome.DELIVERED:
        users = [e.user for e in asked.entries if not isinstance(e, RoomAllow) and e.user]
        uid = users[0].uid if users else 0
        way = Egress(uid if question.uid is None else question.uid, bound=True)
    elif verdict.outcome in (Outcome.SENT, Outcome.FORWARDED) and verdict.device is not None:
        way = Ingress(verdict.device)
    else:
        return Explanation(asked, None)
    return Explanation(asked, _part(plan, policy, packet, way))


def _part(plan: Plan, policy: Policy, packet: Packet, direction: Origin) -> Part:
    verdict = decide(plan, packet, direction)
    room = next((room for room in policy.rooms if room.device == verdict.device), None)
    entries: tuple[Allow | RoomAllow | Deny, ...]
    if verdict.allowed:
        entries = _allowing(verdict, policy)
    else:
        named = PolicyDecider(policy).decide(packet, direction).keys
        entries = tuple(deny for deny in policy.denies if deny.key in named)
    return Part(packet, direction, verdict, entries, room, bool(policy.rooms))


def _filled(packet: Packet, verdict: Verdict) -> Packet:
    """The packet with the source that the kernel chose."""
    return packet if packet.source else replace(packet, source=verdict.source)


def _allowing(verdict: Verdict, policy: Policy) -> tuple[Allow | RoomAllow, ...]:
    """What the rule names that decided the first look-up whose rule names entries: one rule may
    serve several.
    """
    known = {entry.key: entry for entry in policy.all_allows}
    for rule in verdict.rules:
        named = tuple(known[key] for key in rule.entries if key in known)
        if named:
            return named
    return ()


def lines(verdict: Verdict) -> Iterator[str]:
    """The verdict, then each look-up with the rules that it met."""
    dropped = LOGGED if verdict.logged else WORDS.get(verdict.outcome, "dropped")
    word = "allowed" if verdict.allowed else dropped
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
    if verdict.icmp_error is not None:
        told = "is told" if verdict.icmp_error.verdict.allowed else "would be told, but is not,"
        yield from _notice(verdict.icmp_error, "the log is told" if verdict.logged else
                           f"the sender {told}")  # fmt: skip


def _notice(notice: IcmpError, told: str) -> Iterator[str]:
    first, *rest = lines(notice.verdict)
    yield f"  {told} by {_error(notice)}: {first}"
    yield from (f"  {line}" for line in rest)


def _error(notice: IcmpError) -> str:
    kind, code = notice.packet.icmp or (0, 0)
    return f"icmp/{kind}/{code}"


def _route(hit: FibEntry | None) -> str:
    if hit is None:
        return "no route there: on to the next rule"
    return f"{hit}: on to the next rule" if hit.type is RouteType.THROW else f"route {hit}"


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
    yield from _told(explanation.asked)
    if explanation.answer is not None:
        yield ""
        yield "the answer:"
        yield from _told(explanation.answer)


def _told(part: Part) -> Iterator[str]:
    first, *rest = lines(part.verdict)
    yield first
    yield from (f"  by {entry.key}: {_entry(entry, part)}" for entry in part.entries)
    if part.room is not None:
        yield f"  into {part.room.label}: to {' '.join(part.room.command)}, and nobody else"
    yield from rest


def _entry(entry: Allow | RoomAllow | Deny, part: Part) -> str:
    """An entry that names neither a program nor a user is about the machine itself."""
    itself = (
        part.rooms
        and isinstance(entry, Allow)
        and entry.direction is not Direction.FORWARD
        and not (entry.room or entry.user)
    )
    return f"{entry}, of the machine itself" if itself else str(entry)


def as_json(explanation: Explanation, names: Mapping[str, str]) -> dict[str, Any]:
    """Everything, for a program; `names` gives the name of an interface by its device."""
    return {
        "asked": _json(explanation.asked, names),
        "answer": _json(explanation.answer, names) if explanation.answer else None,
    }


def _json(part: Part, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        **_verdict(part.verdict, names),
        "room": part.room.name if part.room else None,
        "entries": [entry.key for entry in part.entries],
    }


def _verdict(verdict: Verdict, names: Mapping[str, str]) -> dict[str, Any]:
    notice = verdict.icmp_error
    return {
        "allowed": verdict.allowed,
        "outcome": verdict.outcome.name.lower(),
        "why": verdict.why,
        "logged": verdict.logged,
        "interface": names.get(verdict.device or "", verdict.device),
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
        "notice": None
        if notice is None
        else {"protocol": _error(notice), **_verdict(notice.verdict, names)},
    }
