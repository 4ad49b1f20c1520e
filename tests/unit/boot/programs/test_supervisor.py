"""The programs of a policy as services: their rooms, and what is written down of them."""

from __future__ import annotations

import errno
import os
import signal
import stat
from collections.abc import Callable, Iterable

import pytest

from pbrinit.boot import service
from pbrinit.boot.programs import shares, spawn, supervisor
from pbrinit.boot.programs.supervisor import Programs
from pbrinit.boot.service import NO_PIPE, Table
from pbrinit.boot.state import active_plan, program_status
from pbrinit.boot.state.program_status import ProgramStatus
from pbrinit.wire.bootplan import BootPlan, LinkPlan, Outline, ProgramPlan, RoomPlan

InForce = Callable[[], tuple[ProgramPlan, LinkPlan | None]]


class World:
    """A clock, the programs that were started, and what they were sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.in_force: list[InForce] = []
        self.sent: list[tuple[int, int]] = []
        self.written: list[list[ProgramStatus]] = []
        self.logged: list[str] = []
        self.full = False
        monkeypatch.setattr(service, "seconds", lambda: self.now)
        for module in (service, supervisor):
            monkeypatch.setattr(module, "log", self.logged.append)
        monkeypatch.setattr(spawn, "start", self.start)
        monkeypatch.setattr(shares, "prepare", lambda _: None)
        monkeypatch.setattr(program_status, "write", self.write)
        monkeypatch.setattr(os, "killpg", lambda *sent: self.sent.append(sent))

    def start(self, _: ProgramPlan, in_force: InForce, *__: object) -> tuple[int, int]:
        self.in_force.append(in_force)
        return 999 + len(self.in_force), NO_PIPE

    def write(self, statuses: Iterable[ProgramStatus]) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.written.append(list(statuses))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def program(name: str, room: RoomPlan | None = None, restart: str = "never") -> ProgramPlan:
    return ProgramPlan(name=name, files=(), restart=restart, room=room)


def room(address: str) -> RoomPlan:
    return RoomPlan(device="r-one", messages=(address,))


def plan(*programs: ProgramPlan) -> BootPlan:
    links = (LinkPlan(device="lo"), LinkPlan(device="r-one", name=programs[0].name))
    return BootPlan(links=links, programs=programs)


def outline(*programs: ProgramPlan) -> Outline:
    return Outline(log=False, programs=programs)


def started(*programs: ProgramPlan) -> tuple[Programs, Table]:
    kept = Programs(plan(*programs), ())
    table = Table(kept.services)
    for _ in programs:
        table.tick()
    return kept, table


def test_pid_1_reads_no_plan_and_who_becomes_the_program_reads_the_one_in_force(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is another one than the image's while that is on trial."""
    read: list[BootPlan] = []
    other = plan(program("one", room("second")))

    def note(image: BootPlan) -> BootPlan:
        read.append(image)
        return other

    monkeypatch.setattr(active_plan, "read", note)
    started(program("one", room("first")))
    assert read == []
    assert world.in_force[0]() == (other.programs[0], other.links[1])
    assert len(read) == 1


def test_one_without_a_room_is_as_in_the_image(world: World) -> None:
    one = program("one")
    started(one)
    assert world.in_force[0]() == (one, None)


def test_one_that_has_another_room_by_the_plan_in_force_is_started_again(world: World) -> None:
    kept, table = started(program("one", room("first")), program("two"))
    kept.follow(outline(program("one", room("first")), program("two")))
    assert world.sent == []
    kept.follow(outline(program("one", room("second")), program("two")))
    kept.follow(outline(program("one", room("second")), program("two")))
    assert world.sent == [(1000, signal.SIGTERM)]
    table.exited({1000: 0})
    table.tick()
    assert len(world.in_force) == 3
    kept.follow(outline(program("one", room("second")), program("two")))
    assert world.sent == [(1000, signal.SIGTERM), (1000, signal.SIGKILL)]


def test_a_program_that_has_ended_is_not_started_for_its_room(world: World) -> None:
    kept, table = started(program("one", room("first")))
    table.exited({1000: 0})
    kept.follow(outline(program("one", room("second"))))
    table.tick()
    assert len(world.in_force) == 1


def test_a_restart_is_of_the_program_that_is_named(world: World) -> None:
    kept, table = started(program("one"), program("two"))
    for name in ("", "three", "two", "\ufffd"):
        kept.start_again(name)
    assert world.sent == [(1001, signal.SIGTERM)]
    table.exited({1001: 0})
    table.tick()
    assert len(world.in_force) == 3


def test_what_is_known_of_it_is_written_down(world: World) -> None:
    kept, table = started(program("one", restart="on-failure"))
    kept.write()
    first = ProgramStatus(name="one", process=1000, since=100.0, restarts=0, state="running")
    assert world.written[-1] == [first]
    table.exited({1000: -11})
    kept.write()
    ended = {"process": 0, "restarts": 1, "state": "ended by signal 11, is started again"}
    assert world.written[-1] == [ProgramStatus(**{**vars(first), **ended})]


def test_where_there_is_no_place_to_write_it_down_that_is_said_once(world: World) -> None:
    kept, _ = started(program("one"))
    world.full = True
    for _ in range(3):
        kept.write()
    assert len(world.logged) == 1
    world.full = False
    kept.write()
    assert len(world.written) == 1


def test_a_machine_that_is_closed_has_none() -> None:
    none = Programs(None, ())
    assert (none.services, none.is_alive, none.outputs) == ([], False, [])


def test_the_output_of_each_can_be_read(world: World) -> None:
    kept, _ = started(program("one"), program("two"))
    assert [name for name, _ in kept.outputs] == ["one", "two"]
    assert all(stat.S_ISFIFO(os.fstat(reader).st_mode) for _, reader in kept.outputs)
    assert world.sent == []
