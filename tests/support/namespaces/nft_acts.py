"""What is done inside the namespaces: packets handed on are kept, programs act, frames are marked.

In: plain values, so that they pass between processes.  Out: plain values.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence

from tests.support.attack import agent, socket_steps
from tests.support.attack.act import Step
from tests.support.namespaces import in_namespace

MARKED = bytes.fromhex("88b5")
"""An EtherType for experiments (IEEE 802, 9.2.3): a frame of it follows what each act sent."""

NOBODY_S = bytes.fromhex("020000000077")


def tap() -> int:
    """Keep a copy of all that is handed on, see the agent's `tap`."""
    # More than rmem_max takes rights that root in a user namespace has not.
    return agent.tap(int(socket.SO_RCVBUF))


def tapped() -> list[tuple[int, int, int]]:
    """Tag, version and protocol of what was handed on since it was last asked."""
    return agent.tapped()


def forget() -> None:
    """Forget what was seen on the wire so far."""
    time.sleep(0.1)
    in_namespace.captured.clear()


def perform(calls: Sequence[tuple[int, tuple[Step, ...]]], devices: Sequence[str]) -> list[str]:
    """Have each done by its user; what it was told. After each a mark leaves by every device."""
    # On one processor, so that what an act sends is queued before its mark.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    told = []
    wires = [_wire(device) for device in devices]
    for number, (uid, given) in enumerate(calls):
        told.append(socket_steps.attempt(uid, list(given)))
        for wire in wires:
            wire.send(NOBODY_S + NOBODY_S + MARKED + number.to_bytes(4, "big") + bytes(42))
    for wire in wires:
        wire.close()
    return told


def _wire(device: str) -> socket.socket:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.bind((device, 0))
    return wire
