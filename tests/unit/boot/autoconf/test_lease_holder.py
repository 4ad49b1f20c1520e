"""Whatever becomes of the process that asks, a lease is used for as long as it lasts."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest

from pbrinit.boot.autoconf import client_process, lease_holder
from pbrinit.boot.autoconf.client_process import AddressProtocol
from pbrinit.boot.autoconf.lease_holder import InterfaceClient
from pbrinit.boot.system.log import seconds
from pbrinit.wire.assignment import AddressClient, Identity
from pbrinit.wire.dhcp import lease
from pbrinit.wire.dhcp.lease import Lease
from pbrinit.wire.ndp import address
from pbrinit.wire.ndp.address import AdvertisedAddress

GIVEN = Lease(
    address="192.0.2.77", length=24, gateway="192.0.2.1", server="192.0.2.1", by_broadcast=False,
    seconds=3, renew=1, rebind=2, resolvers=(), routes=(),
)  # fmt: skip
OTHER = Lease(**{**vars(GIVEN), "address": "192.0.2.78"})
ABROAD = Lease(**{**vars(GIVEN), "address": "10.0.0.9", "gateway": None})
FIRST, SECOND = (f"{one.address}/24,192.0.2.1,192.0.2.1" for one in (GIVEN, OTHER))
SIX = AdvertisedAddress(
    address="2001:db8::7",
    length=64,
    router="fe80::1",
    seconds=3,
    gateway_seconds=2,
    resolvers=("2001:db8::53",),
)
SIX_WRITTEN = "2001:db8::7/64,fe80::1"
TAKEN = ((10 << 24, 16),)


class EnoughError(BaseException):
    """The test has seen what it wanted to see."""


@dataclass
class Used:
    """Notes what is used and when; ends with `EnoughError` after so many."""

    enough: int
    refuses: str = "nothing"
    said: list[str] = field(default_factory=list)
    at: list[float] = field(default_factory=list)

    def __call__(self, held: list[tuple[str, tuple[str, ...]]]) -> None:
        texts = [text for text, _ in held]
        self.said.append(" and ".join(texts) or "none")
        self.at.append(time.monotonic())
        if len(self.said) == self.enough:
            raise EnoughError
        if self.refuses in texts:
            raise ValueError("it is not wanted")


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Used]:
    """Have a process with this behaviour ask, with leases of seconds, until enough is used."""
    monkeypatch.setattr(lease, "MIN_SECONDS", 1)
    monkeypatch.setattr(lease, "MIN_RENEWAL", 1)
    monkeypatch.setattr(lease_holder, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(lease_holder, "LEAST_SECONDS", 0.1)

    def keep(
        asks: Callable[..., None],
        enough: int,
        refuses: str = "nothing",
        routers: Callable[..., None] | None = None,
    ) -> Used:
        used = Used(enough, refuses)
        identity = Identity(hostname="gate", taken=TAKEN)
        protocols = [AddressProtocol(what="lease", run_client=asks, unpack=lease.unpack)]
        if routers is not None:
            protocols.append(
                AddressProtocol(what="advertisement", run_client=routers, unpack=address.unpack)
            )
        signal.alarm(20)
        try:
            clients = (InterfaceClient(p, "wan", "eth0", identity) for p in protocols)
            lease_holder.LeaseHolder(clients, used).run()
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
    used = kept(tell(GIVEN.pack()), 4)
    assert used.said == ["none", FIRST, f"{GIVEN.address}/24,192.0.2.1,any", "none"]
    assert used.at[2] - used.at[1] == pytest.approx(2, abs=0.5)
    assert used.at[3] - used.at[1] == pytest.approx(3, abs=0.5)


def test_who_says_that_a_lease_is_gone_has_it_taken_away_at_once(kept: Callable[..., Used]) -> None:
    used = kept(tell(GIVEN.pack(), client_process.NOTHING), 3)
    assert used.said == ["none", FIRST, "none"]
    assert used.at[2] - used.at[1] < 1


def test_what_is_told_again_is_not_used_again(kept: Callable[..., Used]) -> None:
    longer = Lease(**{**vars(GIVEN), "seconds": 9, "rebind": 5})
    used = kept(tell(GIVEN.pack(), longer.pack(), OTHER.pack()), 3)
    assert used.said == ["none", FIRST, SECOND]


@pytest.mark.parametrize("told", [ABROAD.pack(), b"", b"x", bytes(37), b"!\x1b[2J\xff", b"x" * 500])
def test_nonsense_is_not_used(
    kept: Callable[..., Used], told: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    used = kept(tell(told or b"?", GIVEN.pack()), 2)
    assert used.said == ["none", FIRST]
    assert all(line.isprintable() for line in capfd.readouterr().out.splitlines())


def test_a_lease_that_cannot_be_used_is_let_go_and_asked_for_anew(
    kept: Callable[..., Used],
) -> None:
    used = kept(tell(GIVEN.pack()), 5, FIRST)
    assert used.said == ["none", FIRST, "none", FIRST, "none"]


def test_who_dies_is_followed_by_one_who_knows_what_is_held(kept: Callable[..., Used]) -> None:
    def ask(_: Identity, __: str, pipe: socket.socket, held: object, parent: int) -> None:
        assert parent == os.getppid()
        pipe.send((GIVEN if held is None else OTHER).pack())
        os._exit(1)

    assert kept(ask, 3).said == ["none", FIRST, SECOND]


def test_who_cannot_ask_says_why(
    kept: Callable[..., Used], capfd: pytest.CaptureFixture[str]
) -> None:
    def ask(_: Identity, __: str, pipe: socket.socket, *___: object) -> None:
        if time.monotonic() > start + 0.5:
            pipe.send(GIVEN.pack())
            time.sleep(60)
        raise OSError(19, "No such device")

    start = time.monotonic()
    kept(ask, 2)
    told = capfd.readouterr().out
    assert told.count("wan: no lease yet: [Errno 19] No such device") == 1


def test_what_both_tell_is_used_together_and_a_change_of_one_does_not_lose_the_other(
    kept: Callable[..., Used],
) -> None:
    def late(_: Identity, __: str, pipe: socket.socket, *___: object) -> None:
        time.sleep(0.5)
        pipe.send(SIX.pack())
        time.sleep(60)

    longer = Lease(**{**vars(GIVEN), "seconds": 60, "rebind": 50})
    used = kept(tell(longer.pack()), 5, routers=late)
    assert used.said == [
        "none", FIRST, f"{FIRST} and {SIX_WRITTEN}", f"{FIRST} and 2001:db8::7/64,", FIRST,
    ]  # fmt: skip
    assert used.at[3] - used.at[2] == pytest.approx(2, abs=0.5)
    assert used.at[4] - used.at[2] == pytest.approx(3, abs=0.5)


def test_of_two_the_new_one_is_let_go_where_they_cannot_be_used_together(
    kept: Callable[..., Used],
) -> None:
    def late(_: Identity, __: str, pipe: socket.socket, *___: object) -> None:
        time.sleep(0.5)
        pipe.send(SIX.pack())
        time.sleep(60)

    longer = Lease(**{**vars(GIVEN), "seconds": 60, "rebind": 50})
    used = kept(tell(longer.pack()), 5, SIX_WRITTEN, late)
    assert used.said == [
        "none", FIRST, f"{FIRST} and {SIX_WRITTEN}", FIRST, f"{FIRST} and {SIX_WRITTEN}"
    ]  # fmt: skip


def test_more_time_for_the_very_same_is_told_and_holds(kept: Callable[..., Used]) -> None:
    """The process that asks tells it again, and it is over later."""

    def ask(_: Identity, __: str, pipe: socket.socket, *___: object) -> None:
        client = Renewed()
        here, _there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        client_process.serve(client, here, pipe, receive=list, send=lambda *_: None)

    used = kept(ask, 4)
    assert used.said == ["none", FIRST, f"{GIVEN.address}/24,192.0.2.1,any", "none"]
    assert used.at[3] - used.at[1] == pytest.approx(4.5, abs=0.5)


def test_who_asks_is_told_when_the_cable_comes_back(
    kept: Callable[..., Used], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pulled:
        """A cable that comes back as soon as anybody looks."""

        def __init__(self, devices: Iterable[str]) -> None:
            self.devices, (self.here, there) = list(devices), os.pipe()
            os.write(there, b"x")

        def fileno(self) -> int:
            return self.here

        def returned(self) -> list[str]:
            os.read(self.here, 1)
            return self.devices

        def close(self) -> None:
            os.close(self.here)

    def ask(_: Identity, __: str, pipe: socket.socket, *___: object) -> None:
        assert pipe.recv(9) == client_process.RECONNECT
        pipe.send(GIVEN.pack())
        time.sleep(60)

    monkeypatch.setattr(lease_holder, "CarrierWatch", Pulled)
    assert kept(ask, 2).said == ["none", FIRST]


class Renewed(AddressClient):
    """A client that gets more time for its lease after a second and a half."""

    def __init__(self) -> None:
        self.rejection = ""
        self.since: float | None = None
        self.due = 0.0
        self.start = time.monotonic()

    @property
    def held(self) -> tuple[Lease, float] | None:
        return None if self.since is None else (GIVEN, self.since)

    def tick(self, _: float) -> list[tuple[bytes, str]]:
        late = time.monotonic() >= self.start + 1.5
        self.since = 1.5 if late else 0.0
        self.due = float("inf") if late else seconds() + 0.1
        return []
