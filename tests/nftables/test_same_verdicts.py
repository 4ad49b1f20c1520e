"""nftables and our filter, given the same packets by one kernel, differ as is explained."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from itertools import chain
from pathlib import Path

import pytest

from pbrinit.cli.build import load
from pbrinit.plan.plan import Plan
from tests.adversary.tables import host_inside, host_wire
from tests.nftables import streams
from tests.nftables.differences import CLASSES, Difference, class_of
from tests.nftables.streams import STREAMS
from tests.support.attack.act import Act
from tests.support.attack.shot import Shot
from tests.support.generate.plan_mutants import without_notes
from tests.support.namespaces.filtered_machine import NOTHING, Verdict, with_nftables, with_plan

PAGE = Path("docs/oracle.md").read_text()


@cache
def compared(policy: str) -> tuple[tuple[Shot | Act, Verdict, Verdict], ...]:
    """All that a policy's two filters are given, with the verdicts of ours and theirs."""
    stream = STREAMS[policy]
    return both(policy, list(stream.shots()), list(stream.acts()))


def both(
    policy: str, shots: Sequence[Shot], acts: Sequence[Act], plan: Plan | None = None
) -> tuple[tuple[Shot | Act, Verdict, Verdict], ...]:
    """The verdicts on some shots and acts."""
    stream, verdicts = STREAMS[policy], []
    for side in (
        with_plan(stream.policy, stream.neighbours, plan),
        with_nftables(stream.policy, stream.neighbours, stream.ruleset),
    ):
        with side as machine:
            verdicts.append([*machine.fire(shots), *machine.perform(acts)])
    return tuple(zip([*shots, *acts], *verdicts, strict=True))


def differences(
    policy: str, verdicts: Sequence[tuple[Shot | Act, Verdict, Verdict]]
) -> list[Difference]:
    return [Difference(policy, item, us, them) for item, us, them in verdicts if us != them]


@pytest.mark.parametrize("policy", STREAMS)
def test_every_difference_is_of_a_known_class(policy: str) -> None:
    unknown = [str(d) for d in differences(policy, compared(policy)) if class_of(d) is None]
    assert not unknown, f"{len(unknown)} differences\n" + "\n".join(unknown)


@pytest.mark.parametrize("policy", STREAMS)
def test_both_let_in_and_refuse(policy: str) -> None:
    """What is compared is not silence alone."""
    same = [us for _, us, them in compared(policy) if us == them]
    assert NOTHING in same
    words = set(chain.from_iterable(same))
    assert words >= {"arrives", "answered", *(["passes"] if policy == "router" else ["leaves"])}


def test_every_class_occurs() -> None:
    found = {class_of(d) for policy in STREAMS for d in differences(policy, compared(policy))}
    assert found == {known.name for known in CLASSES}


def test_every_class_is_explained_and_every_explanation_is_of_a_class() -> None:
    assert re.findall("^### (.*)$", PAGE, re.MULTILINE) == [known.name for known in CLASSES]


def test_the_page_has_the_counts() -> None:
    assert streams.table() in PAGE, "python -m tests.nftables.streams prints the right one"
    assert f"of {len(CLASSES)} classes" in PAGE


@pytest.mark.parametrize(
    ("left_out", "found"),
    [
        ("spoofed", "an answer of https from 2001:db8::2"),
        ("from a bound socket", "IPv4 udp to the neighbour with SO_BINDTODEVICE"),
    ],
)
def test_a_weaker_plan_differs_in_a_way_that_is_not_known(left_out: str, found: str) -> None:
    shots, acts = list(host_wire.spoofed()), list(host_inside.sockets())
    verdicts = both("host", shots, acts, without_notes(load(Path("examples/host.toml")), left_out))
    unknown = {d.item.what for d in differences("host", verdicts) if class_of(d) is None}
    assert found in unknown
