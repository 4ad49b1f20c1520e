"""The links of a plan, looked at while somebody else makes one of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from pbrinit.boot.guard.link_keeper import LinkKeeper
from pbrinit.boot.network import links, room_devices
from pbrinit.boot.state.guard_status import GuardStatus
from pbrinit.wire.bootplan import BootPlan
from pbrinit.wire.netlink.socket import Kernel

ROOM = SimpleNamespace(name="room one", device="r-one", room=True, rename=None, mac=None)
LO = SimpleNamespace(name="lo", device="lo", room=False, rename=None, mac=None)


@pytest.mark.parametrize("looks", range(4))
def test_a_room_that_is_made_between_two_looks_is_nothing_to_repair(
    monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    """Who makes a room sets its device up, then marks it: after so many looks at it, here."""
    seen = 0

    def is_so() -> bool:
        nonlocal seen
        seen += 1
        return seen > looks

    plan = cast("BootPlan", SimpleNamespace(links=(LO, ROOM), forwarding_sysctls=()))
    monkeypatch.setattr(links, "devices", lambda: ["lo", "r-one"])
    monkeypatch.setattr(links, "carrier", lambda _: True)
    monkeypatch.setattr(links, "is_up", lambda device: device == "lo" or is_so())
    monkeypatch.setattr(links, "is_ready", lambda _: is_so())
    monkeypatch.setattr(room_devices, "remove_forged", lambda *_: False)
    record = GuardStatus()
    tend = LinkKeeper(plan, record)
    assert not tend.reconcile(cast("Kernel", None))
    assert (record.repairs, record.lines) == (0, [])
