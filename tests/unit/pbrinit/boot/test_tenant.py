"""Whatever becomes of the process that asks, a lease is used for as long as it lasts."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from pbrinit.boot import dhcp, lease, tenant
from pbrinit.boot.dhcpclient import Identity
from pbrinit.boot.lease import Lease, pack
from pbrinit.boot.say import seconds

GIVEN = Lease(
    address="192.0.2.77", length=24, gateway="192.0.2.1", server="192.0.2.1",
    seconds=3, renew=1, rebind=2, resolvers=(),
)  # fmt: skip
OTHER = Lease(**{**vars(GIVEN), "address": "192.0.2.78"})
ABROAD = Lease(**{**vars(GIVEN), "address": "10.0.0.9", "gateway": None})
TAKEN = ((10 << 24, 16),)


class EnoughError(BaseException):
    """The test has seen what it wanted to see."""


@dataclass
class Used:
    """Notes what is used and when; ends with `EnoughError` after so many."""

    enough: int
    refuses: str = ""
    said: list[str] = field(default_factory=list)
    at: list[float] = field(default_factory=list)

    def __call__(self, lease: Lease | None, anyone: bool) -> None:
        self.said.append(f"{lease.address if lease else 'none'}{' of anyone' if anyone else ''}")
        self.at.append(time.monotonic())
        if len(self.said) == self.enough:
            raise EnoughError
        if lease is not None and lease.address == self.refuses:
            raise ValueError("it is not wanted")


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Used]:
    """Have a process with this behaviour ask, with leases of seconds, until enough is used."""
    monkeypatch.setattr(lease, "LEAST_SECONDS", 1)
    monkeypatch.setattr(lease, "LEAST_RENEWAL", 1)
    monkeypatch.setattr(tenant, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(tenant, "LEAST_SECONDS", 0.1)

    def keep(asks: Callable[..., None], enough: int, refuses: str = "") -> Used:
        monkeypatch.setattr(dhcp, "ask", asks)
        used = Used(enough, refuses)
        identity = Identity(hostname="gate", taken=TAKEN)
        signal.alarm(20)
        try:
            tenant.Tenant("wan", "eth0", identity, used).keep()
        except EnoughError:
            signal.alarm(0)
            return used
        raise AssertionError("it ended by itself")

    return keep


def tell(*told: bytes) -> Callable[..., None]:
    """A process that tells these things and is silent from then on."""

    def ask(_: Identity, device: str, pipe: socket.socket, *__: object) -> None:
        assert device == "eth0"
        for data in told:
            pipe.send(data)
        time.sleep(60)

    return ask


def test_a_lease_is_over_when_it_is_over_although_who_asked_is_silent(
    kept: Callable[..., Used],
) -> None:
    used = kept(tell(pack(GIVEN)), 4)
    assert used.said == ["none", "192.0.2.77", "192.0.2.77 of anyone", "none"]
    assert used.at[2] - used.at[1] == pytest.approx(2, abs=0.5)
    assert used.at[3] - used.at[1] == pytest.approx(3, abs=0.5)


def test_who_says_that_a_lease_is_gone_has_it_taken_away_at_once(kept: Callable[..., Used]) -> None:
    used = kept(tell(pack(GIVEN), dhcp.NOTHING), 3)
    assert used.said == ["none", "192.0.2.77", "none"]
    assert used.at[2] - used.at[1] < 1


def test_what_is_told_again_is_not_used_again(kept: Callable[..., Used]) -> None:
    longer = Lease(**{**vars(GIVEN), "seconds": 9, "rebind": 5})
    used = kept(tell(pack(GIVEN), pack(longer), pack(OTHER)), 3)
    assert used.said == ["none", "192.0.2.77", "192.0.2.78"]


@pytest.mark.parametrize("told", [pack(ABROAD), b"", b"x", bytes(37), b"!\x1b[2J\xff", b"x" * 500])
def test_nonsense_is_not_used(
    kept: Callable[..., Used], told: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    used = kept(tell(told or b"?", pack(GIVEN)), 2)
    assert used.said == ["none", "192.0.2.77"]
    assert all(line.isprintable() for line in capfd.readouterr().out.splitlines())


def test_a_lease_that_cannot_be_used_is_let_go_and_asked_for_anew(
    kept: Callable[..., Used],
) -> None:
    used = kept(tell(pack(GIVEN)), 5, GIVEN.address)
    assert used.said == ["none", "192.0.2.77", "none", "192.0.2.77", "none"]


def test_who_dies_is_followed_by_one_who_knows_what_is_held(kept: Callable[..., Used]) -> None:
    def ask(_: Identity, __: str, pipe: socket.socket, held: object, parent: int) -> None:
        assert parent == os.getppid()
        pipe.send(pack(GIVEN if held is None else OTHER))
        os._exit(1)

    assert kept(ask, 3).said == ["none", "192.0.2.77", "192.0.2.78"]


def test_who_cannot_ask_says_why(
    kept: Callable[..., Used], capfd: pytest.CaptureFixture[str]
) -> None:
    def ask(_: Identity, __: str, pipe: socket.socket, *___: object) -> None:
        if time.monotonic() > start + 0.5:
            pipe.send(pack(GIVEN))
            time.sleep(60)
        raise OSError(19, "No such device")

    start = time.monotonic()
    kept(ask, 2)
    told = capfd.readouterr().out
    assert told.count("wan: no lease yet: [Errno 19] No such device") == 1


def test_more_time_for_the_very_same_is_told_and_holds(kept: Callable[..., Used]) -> None:
    """Most servers say the same again, and a lease that is renewed is over later."""

    def ask(_: Identity, __: str, pipe: socket.socket, *___: object) -> None:
        here, _there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        dhcp.serve(Renewed(), here, pipe)  # type: ignore[arg-type]

    used = kept(ask, 4)
    assert used.said == ["none", "192.0.2.77", "192.0.2.77 of anyone", "none"]
    assert used.at[3] - used.at[1] == pytest.approx(4.5, abs=0.5)


class Renewed:
    """A client that gets more time for its lease after a second and a half."""

    def __init__(self) -> None:
        self.refused = ""
        self.held: tuple[Lease, float] | None = None
        self.due = 0.0
        self.start = time.monotonic()

    def tick(self, _: float) -> list[tuple[bytes, str]]:
        late = time.monotonic() >= self.start + 1.5
        self.held = (GIVEN, 1.5 if late else 0.0)
        self.due = float("inf") if late else seconds() + 0.1
        return []
