"""`pbrctl prove`: the findings of the proof in words or JSON.

In: a policy file.  Out: what was shown for every packet, or packets that show the contrary, each
with what the plan does to it.  Exit status: 0 where everything is shown, 1 where it is not.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pbrinit.analysis import explain
from pbrinit.analysis.claim import Flaw
from pbrinit.cli import build
from pbrinit.net.addresses import Address
from pbrinit.net.packet import WITH_PORTS, WITH_TYPES, Ingress, Origin, Packet
from pbrinit.net.services import Protocol
from pbrinit.policy import problems
from pbrinit.policy.assigned import FORM, assignment_states
from pbrinit.policy.policy import Policy
from pbrinit.policy.problems import Problem
from pbrinit.policy.reader.reader import read_policy
from pbrinit.semantics.decision import DROPPED, LOCAL

if TYPE_CHECKING:
    from pbrinit.analysis.conformance import Conformance
    from pbrinit.analysis.proof.prover import Finding, Proof

UNPROVED = 1
SHOWN = 5
"""How many counter-examples are told in full."""

ASTRAY = "another router leads there, or none"


def add(commands: argparse._SubParsersAction[Any]) -> None:
    """The command's place on the command line."""
    parser = commands.add_parser(
        "prove", help="prove that the plan does what the policy means, for every packet"
    )
    parser.add_argument("policy", type=Path, help="the policy file")
    parser.add_argument("--json", action="store_true", help="the findings as JSON")
    parser.add_argument(
        "--quiet", action="store_true", help="say only what is not proved, and the verdict"
    )
    parser.add_argument(
        "--lease",
        action="append",
        default=[],
        metavar=FORM,
        help="in the place of an example of what the policy is assigned; once for each family",
    )
    parser.set_defaults(command=_command)


def _command(options: argparse.Namespace) -> int:
    from pbrinit.analysis.proof.prover import Proof, UndecidedError  # noqa: PLC0415  z3 takes its time

    told = verdict if options.quiet else text
    proofs: list[dict[str, Any]] = []
    written = read_policy(options.policy)
    given = build.assignments(options.policy, written, options.lease)
    for state, policy in assignment_states(written, given):
        start = time.monotonic()
        name = f"{options.policy}{f' {state}' if state else ''}"
        try:
            with build.paused():
                plan = build.compiled(options.policy, policy)
                proof = Proof(policy, plan, written=written if state else None)
                findings = list(proof.findings())
        except UndecidedError as error:
            print(f"{name}: not proved: {error}", file=sys.stderr)
            if options.json:
                found = problems.as_json([Problem(name, "proof", str(error))])
                print(json.dumps({**found, "proved": False}, indent=1))
            return UNPROVED
        seconds = time.monotonic() - start
        proofs.append(as_json(name, policy, proof, findings, seconds))
        if not options.json:
            print("\n".join(told(name, policy, proof, findings, seconds)))
    proved = all(proof["proved"] for proof in proofs)
    if options.json:
        whole = {"file": str(options.policy), "proved": proved, "states": proofs}
        print(json.dumps(proofs[0] if len(proofs) == 1 else whole, indent=1))
    return 0 if proved else UNPROVED


def text(
    name: str, policy: Policy, proof: Proof, findings: Sequence[Finding], seconds: float
) -> Iterator[str]:
    """Everything, for a person: a line for each claim, then counter-examples, then the verdict."""
    claims: dict[str, list[Finding]] = {}
    for finding in findings:
        claims.setdefault(str(finding.obligation), []).append(finding)
    width = max(map(len, claims), default=0)
    for claim, made in claims.items():
        refuted = sum(finding.counterexample is not None for finding in made)
        word = f"NOT PROVED in {refuted} of" if refuted else "proved in"
        spent = sum(finding.seconds for finding in made)
        yield f"{claim:<{width}}  {word} {len(made)} cases, {spent * 1000:.0f} ms"
    yield from verdict(name, policy, proof, findings, seconds)


def verdict(
    name: str, policy: Policy, proof: Proof, findings: Sequence[Finding], seconds: float
) -> Iterator[str]:
    """The counter-examples, and the verdict."""
    contrary = [finding for finding in findings if finding.counterexample is not None]
    for finding in contrary[:SHOWN]:
        yield from _told(finding, policy)
        yield ""
    if len(contrary) > SHOWN:
        yield f"and {len(contrary) - SHOWN} more; --json has them all"
    for expectation, keys in (proof.passing_answers() if proof.is_wellformed else {}).items():
        yield f"{name}: {expectation} leaves out answers, by {', '.join(keys) or 'no entry'}"
    word = f"NOT PROVED: {len(contrary)}" if contrary else "proved for every packet: all"
    classes = "the plan is not well-formed"
    if proof.is_wellformed:
        four, six = (len(case.classes) for case in proof.encodings.values())
        classes = f"{four} classes of IPv4 and {six} of IPv6 addresses"
    yield f"{name}: {word} of {len(findings)} cases, {classes}, {seconds:.1f} s"


def _told(finding: Finding, policy: Policy) -> Iterator[str]:
    conformance = finding.counterexample
    assert conformance is not None  # noqa: S101  for the type checker: the caller has chosen
    yield f"{finding.obligation}, a counter-example:"
    if isinstance(conformance, Flaw):
        yield f"  {conformance}"
        return
    yield f"  {question(conformance.packet, conformance.direction, policy)}"
    yield f"  the plan:   {_place(conformance.actual, conformance)}"
    means = conformance.intended
    named = ", ".join(f"{name}{' as an answer' * (name in means.answers)}" for name in means.keys)
    yield f"  the policy: {_place(means.where, conformance)}; named by {named or 'no entry'}"
    if conformance.wrong_next_hop:
        yield f"  its way:    {ASTRAY}"
    if conformance.wrong_notice:
        yield f"  its sender: {_mistold(conformance)}"
    yield from (f"  {line}" for line in explain.lines(conformance.verdict))


def _mistold(conformance: Conformance) -> str:
    return (
        "is not told, and should be"
        if conformance.intended.reports
        else "is told, and should not be"
    )


def _place(where: str, conformance: Conformance) -> str:
    """Where a packet gets to, in words."""
    if where == DROPPED:
        return "dropped"
    if where == LOCAL:
        return "delivered to this machine"
    way = f"into {where}" if where.startswith("room ") else f"by {where}"
    return f"{'passed on' if isinstance(conformance.direction, Ingress) else 'sent'} {way}"


def question(packet: Packet, direction: Origin, policy: Policy) -> str:
    """A packet as `pbrctl explain` is asked about it."""
    names = {interface.device: f"in {interface.name}" for interface in policy.interfaces}
    names |= {room.device: f"out run={room.name}" for room in policy.rooms}
    with_ports = packet.protocol in WITH_PORTS
    protocol = f"ip/{packet.protocol}"
    if with_ports:
        protocol = "tcp" if packet.protocol == Protocol.TCP else "udp"
    if packet.protocol in WITH_TYPES and packet.icmp is not None:
        protocol = "icmp/{}/{}".format(*packet.icmp)
    source = _end(packet.source, packet.source_port if with_ports else None)
    destination = _end(packet.destination, packet.destination_port if with_ports else None)
    ends = f"{source} > {destination}" if packet.source else f"> {destination}"
    if isinstance(direction, Ingress):
        return f"{names.get(direction.device, f'in {direction.device}')} {protocol} {ends}"
    users = {user.uid: user.name for user in policy.users}
    labels = {way.device: way.label for way in policy.zones}
    bound = f" by {labels.get(direction.device, direction.device)}" if direction.device else ""
    port = "" if packet.source or not with_ports else f" (from port {packet.source_port})"
    user = users.get(direction.uid, str(direction.uid))
    return f"out {protocol} {ends} as {user}{bound}{port}"


def _end(address: Address | None, port: int | None) -> str:
    if address is None:
        return ""
    text_ = f"[{address}]" if address.version == 6 and port is not None else str(address)  # noqa: PLR2004
    return text_ if port is None else f"{text_}:{port}"


def as_json(
    name: str, policy: Policy, proof: Proof, findings: Sequence[Finding], seconds: float
) -> dict[str, Any]:
    """Everything, for a program."""
    return {
        "file": name,
        "problems": [],
        "proved": not any(finding.counterexample for finding in findings),
        "seconds": round(seconds, 3),
        "classes": {f.version: len(case.classes) for f, case in proof.encodings.items()}
        if proof.is_wellformed
        else {},
        "answers": {key: list(keys) for key, keys in proof.passing_answers().items()}
        if proof.is_wellformed
        else {},
        "cases": [
            {
                "claim": str(finding.obligation),
                "protocols": sorted(finding.obligation.protocols),
                "proved": finding.counterexample is None,
                "seconds": round(finding.seconds, 3),
                "counterexample": _json(finding.counterexample, policy),
            }
            for finding in findings
        ],
    }


def _json(conformance: Conformance | Flaw | None, policy: Policy) -> dict[str, Any] | None:
    if conformance is None:
        return None
    if isinstance(conformance, Flaw):
        return {"where": conformance.where, "why": conformance.why}
    return {
        "packet": question(conformance.packet, conformance.direction, policy),
        "plan": _place(conformance.actual, conformance),
        "policy": _place(conformance.intended.where, conformance),
        "names": list(conformance.intended.keys),
        "answers": [
            name for name in conformance.intended.keys if name in conformance.intended.answers
        ],
        "way": ASTRAY if conformance.wrong_next_hop else None,
        "sender": _mistold(conformance) if conformance.wrong_notice else None,
        "explained": list(explain.lines(conformance.verdict)),
    }
