"""Each lease becomes a plan by a program of its own; without one it is the image's again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pbrinit.boot.autoconf import address_manager
from pbrinit.boot.autoconf.address_manager import ApplyAssignments, ApplyError
from pbrinit.boot.guard import requests
from pbrinit.boot.state import active_plan, confirmed_policy, program_status
from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from pbrinit.wire import bootplan

LEASE = ("192.0.2.77/24,192.0.2.1,192.0.2.3", ("192.0.2.53", "192.0.2.54"))
SIX = ("2001:db8::7/64,fe80::1", ("2001:db8::53", "2001:db8::54"))
IMAGE, OTHER = (
    bootplan.pack(encode(load(Path("examples", f"{name}.toml")), name))
    for name in ("host", "kiosk")
)
ROOMS = bootplan.pack(encode(load(Path("examples/rooms.toml")), "rooms"))


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The plans that the guard was asked to adopt; it does so."""
    plans: list[bytes] = []

    def ask(line: str, data: bytes) -> tuple[bool, str]:
        assert line in ("adopt", f"adopt {bootplan.unpack(IMAGE).digest}")
        plans.append(bootplan.pack(requests.unpack(data).plan))
        Path(active_plan.IN_FORCE).write_bytes(plans[-1])
        return True, "in force"

    (tmp_path / "image").write_bytes(IMAGE)
    monkeypatch.setattr(active_plan, "IMAGE", str(tmp_path / "image"))
    for name in ("TRIED", "KEPT"):
        monkeypatch.setattr(confirmed_policy, name, str(tmp_path / name))
    monkeypatch.setattr(address_manager, "RESOLVERS", str(tmp_path / "resolv.conf"))
    monkeypatch.setattr(active_plan, "IN_FORCE", str(tmp_path / "IN_FORCE"))
    monkeypatch.setattr(requests, "ask", ask)
    return plans


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Let a shell script be the program; it writes what it is given where the path leads."""
    told = tmp_path / "told"

    def be(script: str) -> Path:
        path = tmp_path / "program"
        path.write_text(f'#!/bin/sh\necho "$@" >> {told}\n{script}\n')
        path.chmod(0o755)
        monkeypatch.setattr(address_manager, "PROGRAM", str(path))
        return told

    return be


def test_the_image_plan_is_not_put_in_the_place_of_itself(asked: list[bytes]) -> None:
    ApplyAssignments()([])
    assert asked == []


def test_what_is_held_is_given_to_the_program_in_words(
    asked: list[bytes], program: Callable[[str], Path]
) -> None:
    told = program("exit 0")
    uses = ApplyAssignments()
    uses([LEASE])
    uses([SIX])
    uses([LEASE, SIX])
    assert told.read_text().splitlines() == [
        "lease 192.0.2.77/24,192.0.2.1,192.0.2.3 192.0.2.53 192.0.2.54",
        "lease 2001:db8::7/64,fe80::1 2001:db8::53 2001:db8::54",
        "lease 192.0.2.77/24,192.0.2.1,192.0.2.3 2001:db8::7/64,fe80::1"
        " 192.0.2.53 192.0.2.54 2001:db8::53",
    ]
    assert asked == []


def test_when_a_lease_is_over_the_image_plan_is_back_and_nobody_resolves(
    asked: list[bytes], tmp_path: Path
) -> None:
    uses = ApplyAssignments()
    address_manager.activate(bootplan.unpack(OTHER), LEASE[1])
    resolvers = tmp_path / "resolv.conf"
    assert resolvers.read_text() == "nameserver 192.0.2.53\nnameserver 192.0.2.54\n"
    uses([])
    assert asked == [OTHER, IMAGE]
    assert resolvers.read_text() == ""


def test_a_program_that_fails_is_told_of_and_leaves_no_doubt(
    asked: list[bytes], program: Callable[[str], Path]
) -> None:
    """It may have asked the guard before it ended: only a later answer says what is in force."""
    program("echo it is; echo '  not wanted' >&2; exit 1")
    uses = ApplyAssignments()
    with pytest.raises(ApplyError, match="it is not wanted"):
        uses([LEASE])
    uses([])
    assert asked == [IMAGE]
    uses([])
    assert asked == [IMAGE]


def test_a_program_that_is_killed_is_told_of(
    asked: list[bytes], program: Callable[[str], Path]
) -> None:
    program("kill -9 $$")
    with pytest.raises(ApplyError, match="ended with -9"):
        ApplyAssignments()([LEASE])
    assert asked == []


def test_who_comes_after_another_does_not_know_what_that_one_has_asked(
    asked: list[bytes],
) -> None:
    address_manager.activate(bootplan.unpack(OTHER), ())
    address_manager.activate(bootplan.unpack(IMAGE), ())
    ApplyAssignments()([])
    assert asked == [OTHER, IMAGE, IMAGE]


def test_pid_1_is_told_where_there_are_rooms_once_the_plan_is_in_force(
    asked: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    monkeypatch.setattr(program_status, "request_refresh", lambda: told.append(len(asked)))
    address_manager.activate(bootplan.unpack(OTHER), ())
    assert told == []
    address_manager.activate(bootplan.unpack(ROOMS), ())
    assert told == [2]
    monkeypatch.setattr(requests, "ask", lambda *_: (False, "another is on trial"))
    with pytest.raises(ApplyError):
        address_manager.activate(bootplan.unpack(ROOMS), (), force=True)
    assert told == [2]


def test_a_guard_that_refuses_is_told_of(
    asked: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "ask", lambda *_: (False, "another is on trial"))
    with pytest.raises(ApplyError, match="another is on trial"):
        address_manager.activate(bootplan.unpack(OTHER), ())
    assert asked == []


def test_with_nothing_the_plan_of_the_policy_that_is_kept_is_back(
    asked: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = bootplan.unpack(OTHER)
    confirmed_policy.write(confirmed_policy.ConfirmedPolicy(kept.digest, kept, {}))
    confirmed_policy.confirm()
    lines: list[tuple[str, str]] = []

    def ask(line: str, data: bytes) -> tuple[bool, str]:
        lines.append((line, requests.unpack(data).plan.digest))
        return True, "in force"

    monkeypatch.setattr(requests, "ask", ask)
    ApplyAssignments()([])
    assert lines == [(f"adopt {kept.digest}", kept.digest)]
    assert asked == []
