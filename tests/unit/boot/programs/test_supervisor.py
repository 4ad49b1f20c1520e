"""When programs are started, started again and ended, by a clock and processes that are made up."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from types import SimpleNamespace

import pytest

from pbrinit.boot.programs import room, spawn, supervisor
from pbrinit.boot.programs.supervisor import Programs
from pbrinit.boot.state import active_plan, program_status
from pbrinit.boot.state.program_status import ProgramStatus
from pbrinit.wire.bootplan import BootFileError, BootPlan, LinkPlan, ProgramPlan


class World:
    """A clock, and the processes that were started: the number of each, and what it was sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.started: list[int] = []
        self.ready = True
        self.held: list[int] = []
        self.sent: list[tuple[int, int]] = []
        self.statuses: list[ProgramStatus] = []
        self.links: list[object] = []
        monkeypatch.setattr(supervisor, "seconds", lambda: self.now)
        monkeypatch.setattr(supervisor, "log", lambda _: None)
        monkeypatch.setattr(spawn, "start", self.start)
        monkeypatch.setattr(program_status, "write", self.write)
        monkeypatch.setattr(os, "killpg", lambda *sent: self.sent.append(sent))

    def start(self, _: object, link: object, *__: object) -> tuple[int, int]:
        self.links.append(link)
        self.started.append(1000 + len(self.started))
        reader, held = os.pipe2(os.O_NONBLOCK)
        self.held.append(held)
        if self.ready:
            self.become_programs()
        return self.started[-1], reader

    def become_programs(self) -> None:
        """What is being started has been started."""
        while self.held:
            os.close(self.held.pop())

    def write(self, statuses: Iterable[ProgramStatus]) -> None:
        self.statuses = list(statuses)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def kept(restart: str, count: int = 1) -> Programs:
    program = ProgramPlan(
        name="one", command=("/bin/one",), uid=1, environment=(), capabilities=0,
        restart=restart, room=None,
    )  # fmt: skip
    plan = SimpleNamespace(links=(), programs=(program,) * count)
    return Programs(BootPlan(**vars(plan)), ())


def test_its_room_is_made_as_the_plan_in_force_has_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is another one than the image's while that is on trial."""
    room_plan = SimpleNamespace(device="r-one")
    image, other = (
        BootPlan(
            links=(LinkPlan(device="lo"), LinkPlan(device="r-one", name=name)),
            programs=(ProgramPlan(name="one", restart="always", room=room_plan),),
        )
        for name in ("image", "other")
    )
    in_force = [image, other]
    monkeypatch.setattr(active_plan, "read", lambda _: in_force.pop(0))
    monkeypatch.setattr(room, "unmake", lambda _: None)
    one = Programs(image, ())
    one.tick()
    one.restart("one")
    one.on_exit({world.started[-1]: 0})
    one.tick()
    assert world.links == [image.links[1], other.links[1]]


@pytest.fixture
def leased(world: World, monkeypatch: pytest.MonkeyPatch) -> tuple[Programs, list[BootPlan]]:
    """A program that runs in a room and one that has none; and the plan in force, the last."""
    assert not world.started

    def plan(address: str) -> BootPlan:
        room_plan = SimpleNamespace(device="r-one", messages=(address,))
        one = ProgramPlan(name="one", restart="never", room=room_plan)
        two = ProgramPlan(name="two", restart="never", room=None)
        return BootPlan(links=(LinkPlan(device="r-one"),), programs=(one, two))

    in_force = [plan("first"), plan("first"), plan("second")]
    monkeypatch.setattr(active_plan, "read", lambda _: in_force[0])
    monkeypatch.setattr(room, "unmake", lambda _: None)
    programs = Programs(in_force[0], ())
    programs.tick()
    return programs, in_force


def test_who_has_another_room_by_the_plan_in_force_is_started_again(
    world: World, leased: tuple[Programs, list[BootPlan]]
) -> None:
    programs, in_force = leased
    one = world.started[0]
    in_force.pop(0)
    programs.restart_changed()
    assert world.sent == []
    in_force.pop(0)
    programs.restart_changed()
    world.now += 1
    programs.restart_changed()
    assert world.sent == [(one, signal.SIGTERM)]
    programs.on_exit({one: 0})
    programs.tick()
    assert len(world.started) == 3
    programs.restart_changed()
    assert world.sent == [(one, signal.SIGTERM)]


def test_a_program_that_has_ended_is_not_started_for_its_room(
    world: World, leased: tuple[Programs, list[BootPlan]]
) -> None:
    programs, in_force = leased
    programs.on_exit({world.started[0]: 0})
    del in_force[:2]
    programs.restart_changed()
    programs.tick()
    assert len(world.started) == 2


def test_rooms_stay_where_the_plan_in_force_cannot_be_read(
    world: World, leased: tuple[Programs, list[BootPlan]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(_: BootPlan) -> BootPlan:
        raise BootFileError("it is damaged")

    monkeypatch.setattr(active_plan, "read", read)
    leased[0].restart_changed()
    assert world.sent == []


def test_a_program_is_started_at_once(world: World) -> None:
    one = kept("always")
    assert one.pause() == 0
    one.tick()
    assert (world.started, one.running, one.pause()) == ([1000], True, None)


def test_it_is_started_again_after_twice_the_time_each_time_up_to_a_minute(world: World) -> None:
    one = kept("always")
    pauses = []
    for _ in range(9):
        one.tick()
        one.on_exit({world.started[-1]: 1})
        assert not one.running
        pause = one.pause()
        assert pause is not None
        pauses.append(pause)
        world.now += pause - 0.01
        count = len(world.started)
        one.tick()
        assert len(world.started) == count
        world.now += 0.01
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_one_that_ran_for_a_minute_begins_anew(world: World) -> None:
    one = kept("always")
    for _ in range(5):
        one.tick()
        one.on_exit({world.started[-1]: 0})
        world.now += one.pause() or 0
    one.tick()
    world.now += 60
    one.on_exit({world.started[-1]: 0})
    assert one.pause() == 1


@pytest.mark.parametrize(
    ("restart", "status", "again"),
    [
        ("always", 0, True), ("always", 1, True), ("on-failure", 0, False),
        ("on-failure", 1, True), ("on-failure", -9, True), ("never", 0, False), ("never", 1, False),
    ],
)  # fmt: skip
def test_whether_it_is_started_again_is_the_policy_s(
    world: World, restart: str, status: int, again: bool
) -> None:
    one = kept(restart)
    one.tick()
    one.on_exit({1000: status})
    assert (one.pause() is not None) is again
    world.now += 1000
    one.tick()
    assert (len(world.started) == 2) is again


def test_a_restart_asks_it_to_end_and_then_ends_it(world: World) -> None:
    one = kept("never")
    one.tick()
    one.restart("one")
    assert world.sent == [(1000, signal.SIGTERM)]
    assert one.pause() == supervisor.STOP_SECONDS
    world.now += supervisor.STOP_SECONDS
    one.tick()
    assert world.sent[-1] == (1000, signal.SIGKILL)
    one.on_exit({1000: -9})
    one.tick()
    assert world.started == [1000, 1001]


def test_a_restart_starts_one_that_has_ended_for_good(world: World) -> None:
    one = kept("never")
    one.tick()
    one.on_exit({1000: 0})
    one.restart("other")
    one.tick()
    assert world.started == [1000]
    one.restart("one")
    one.tick()
    assert world.started == [1000, 1001]


def test_what_is_stopped_is_not_started_again(world: World) -> None:
    one = kept("always")
    one.tick()
    one.stop()
    assert world.sent == [(1000, signal.SIGTERM)]
    one.on_exit({1000: 0})
    world.now += 1000
    one.tick()
    assert (world.started, one.running, one.pause()) == ([1000], False, None)


def test_what_it_started_is_ended_with_it(world: World) -> None:
    one = kept("always")
    one.tick()
    one.on_exit({1000: 0})
    assert world.sent == [(1000, signal.SIGKILL)]


def test_what_is_known_of_it_is_written_down(world: World) -> None:
    one = kept("on-failure")
    one.tick()
    started = ProgramStatus(name="one", process=1000, since=100.0, restarts=0, state="running")
    assert world.statuses == [started]
    one.on_exit({1000: -11})
    one.tick()
    ended = {"process": 0, "restarts": 1, "state": "ended by signal 11, is started again"}
    assert world.statuses == [ProgramStatus(**{**vars(started), **ended})]


def test_a_machine_that_is_closed_has_none() -> None:
    none = Programs(None, ())
    assert (none.pause(), none.running, none.outputs) == (None, False, [])


def test_so_many_are_started_at_a_time_and_the_others_when_these_have_been(world: World) -> None:
    world.ready = False
    many = kept("always", count=10)
    for started in (4, 8, 10):
        assert many.pause() in (0, supervisor.LOOK_SECONDS)
        many.tick()
        many.tick()
        assert len(world.started) == started
        world.become_programs()
    assert many.pause() is None
