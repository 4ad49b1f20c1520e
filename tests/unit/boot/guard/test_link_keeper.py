"""The links of a plan, looked at while somebody else makes one of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from pbrinit.boot.guard.link_keeper import LinkKeeper
from pbrinit.boot.network import addresses, links, room_devices
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
    keeper = LinkKeeper(plan, record)
    assert not keeper.reconcile(cast("Kernel", None))
    assert (record.repairs, record.lines) == (0, [])


@pytest.mark.parametrize(
    ("later", "lines"),
    [(None, []), (8, []), (7, ["room one: r-one FAILED and stays down: [Errno 2] gone"])],
    ids=["no device", "another room's", "the same device"],
)
def test_a_room_that_ends_while_its_device_is_brought_up_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, later: int | None, lines: list[str]
) -> None:
    """Device 7 leads into the room; when its sysctls are written, `later` does, or none does."""
    now: int | None = 7
    taken_down: list[str] = []

    def index(_: str) -> int:
        if now is None:
            raise OSError(19, "no such device")
        return now

    def bring_up(*_: object, **__: object) -> None:
        nonlocal now
        now = later
        raise FileNotFoundError(2, "gone")

    plan = cast("BootPlan", SimpleNamespace(links=(LO, ROOM), forwarding_sysctls=()))
    monkeypatch.setattr(links, "devices", lambda: ["lo", "r-one"])
    monkeypatch.setattr(links, "carrier", lambda _: True)
    monkeypatch.setattr(links, "is_up", lambda device: device == "lo")
    monkeypatch.setattr(links, "is_ready", lambda _: True)
    monkeypatch.setattr(links, "index", index)
    monkeypatch.setattr(links, "bring_up", bring_up)
    monkeypatch.setattr(links, "take_down", taken_down.append)
    monkeypatch.setattr(addresses, "removals", lambda *_: [])
    monkeypatch.setattr(room_devices, "remove_forged", lambda *_: False)
    record = GuardStatus()
    LinkKeeper(plan, record).reconcile(cast("Kernel", SimpleNamespace(attempt=lambda _: None)))
    assert [line.partition(" s: ")[2] for line in record.lines] == lines
    assert taken_down == (["r-one"] if lines else [])
