"""Calls inside the namespaces of a filtered machine: taps, acts of users, marker frames.

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

MARK_TYPE = bytes.fromhex("88b5")
"""An EtherType for experiments (IEEE 802, 9.2.3): a frame of it follows what each act sent."""

UNUSED_MAC = bytes.fromhex("020000000077")


def tap() -> int:
    """Keep a copy of all that is delivered, see `tap` of the agent."""
    # A buffer larger than rmem_max needs a capability that root in a user namespace lacks.
    return agent.tap(int(socket.SO_RCVBUF))


def tapped_tags() -> list[tuple[int, int, int]]:
    """Tag, version and protocol of what was delivered since the last call."""
    return agent.tapped_tags()


def clear_captured() -> None:
    """Forget the frames captured so far."""
    time.sleep(0.1)
    in_namespace.captured.clear()


def perform(calls: Sequence[tuple[int, tuple[Step, ...]]], devices: Sequence[str]) -> list[str]:
    """Perform each act as its user; its result. A marker frame follows each, by every device."""
    # On one processor, so that what an act sends is queued before its mark.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    results = []
    wires = [_wire(device) for device in devices]
    for number, (uid, steps) in enumerate(calls):
        results.append(socket_steps.attempt(uid, list(steps)))
        for wire in wires:
            wire.send(UNUSED_MAC + UNUSED_MAC + MARK_TYPE + number.to_bytes(4, "big") + bytes(42))
    for wire in wires:
        wire.close()
    return results


def _wire(device: str) -> socket.socket:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.bind((device, 0))
    return wire
