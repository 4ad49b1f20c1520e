"""The proof finds every mutant of a plan that lets a packet do what its policy does not say.

Some mutants of each example, by a seed; `python -m tests.tools.mutation
examples/*.toml` puts all of them to it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pbrinit.cli.build import load
from pbrinit.net.packet import Egress, Origin, Packet
from pbrinit.policy.reader.reader import read_policy
from tests.support.generate.packets import seeded
from tests.support.generate.rule_mutants import mutants
from tests.tools.mutation import Original

EXAMPLES = [
    Path(f"examples/{name}.toml") for name in ("host", "bastion", "router", "kiosk", "rooms")
]
MUTANTS = 25


def is_bounded(packet: Packet, direction: Origin) -> bool:
    """Whether a packet is one that may be refused more, but never less."""
    if isinstance(direction, Egress):
        return direction.device is not None
    destination = packet.destination
    return destination.is_multicast or destination.is_link_local or int(destination) & 0xFF == 0xFF


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_no_mutant_that_does_otherwise_than_the_policy_says_is_proved(path: Path) -> None:
    """What a packet shows, by model and meaning alone, the proof must find. What the proof
    finds, the model must confirm: the prover raises otherwise.
    """
    random = seeded(f"mutants of {path.stem}")
    original = Original(read_policy(path), load(path), random)
    some = random.sample([*mutants(original.plan)], MUTANTS)
    found = [original.outcome(mutant) for mutant in some]
    shown = [outcome for outcome in found if outcome.wrong is not None]
    missed = [f"{o.mutant}: {o.wrong}" for o in shown if not o.refuted]
    assert not missed
    assert len(shown) > MUTANTS // 4
    for outcome in found:
        if outcome.changed is not None and not outcome.refuted:
            assert is_bounded(*outcome.changed), f"{outcome.mutant}: {outcome.changed}"
