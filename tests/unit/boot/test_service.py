"""Every transition of a service, by a clock and processes that are made up."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable

import pytest

from pbrinit.boot import service
from pbrinit.boot.service import (
    DUE,
    FOREVER,
    LOOK_SECONDS,
    MOST_STARTING,
    NO_PIPE,
    RUNNING,
    STARTING,
    STOP_SECONDS,
    STOPPED,
    STOPPING,
    Service,
    Table,
)

FIRST, LONGEST = 1.0, 8.0
TERM, KILL = signal.SIGTERM, signal.SIGKILL


class World:
    """A clock, and processes: the number of each that was started, and what each was sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.started: list[int] = []
        self.held: dict[int, int] = {}
        self.sent: list[tuple[int, int]] = []
        self.logged: list[str] = []
        self.fails: Exception | None = None
        self.has_pipe = False
        self.has_group = True
        monkeypatch.setattr(service, "seconds", lambda: self.now)
        monkeypatch.setattr(service, "log", self.logged.append)
        monkeypatch.setattr(os, "killpg", self.killpg)
        monkeypatch.setattr(os, "kill", lambda *sent: self.sent.append(sent))

    def killpg(self, process: int, number: int) -> None:
        if not self.has_group:
            raise ProcessLookupError
        self.sent.append((process, number))

    def start(self) -> tuple[int, int]:
        if self.fails is not None:
            raise self.fails
        process = 1000 + len(self.started)
        self.started.append(process)
        if not self.has_pipe:
            return process, NO_PIPE
        reader, self.held[process] = os.pipe2(os.O_NONBLOCK)
        return process, reader

    def become_program(self, process: int) -> None:
        """What starts this process has ended."""
        os.close(self.held.pop(process))

    def made(self, restart: str = service.ALWAYS, **others: object) -> Service:
        make: Callable[..., Service] = Service
        return make("one", self.start, restart, pauses=(FIRST, LONGEST), **others)

    def in_state(self, state: str, restart: str = service.ALWAYS) -> Service:
        """A service in a state that it has come to as it does on a machine."""
        self.has_pipe = state == STARTING
        one = self.made(restart)
        if state == STOPPED:
            one.stop()
        if state in (STARTING, RUNNING, STOPPING):
            one.tick()
        if state == STOPPING:
            one.stop()
        assert one.state == state
        self.sent.clear()
        return one


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


Event = Callable[[World, Service], None]


def later(seconds: float, act: Event) -> Event:
    def do(world: World, one: Service) -> None:
        world.now += seconds
        act(world, one)

    return do


def start_fails(world: World, one: Service) -> None:
    world.fails = BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
    one.tick()


def becomes_program(world: World, one: Service) -> None:
    world.become_program(one.process)
    one.is_starting()


def exits(status: int) -> Event:
    return lambda _, one: one.exited(status)


def tick(_: World, one: Service) -> None:
    one.tick()


def start(_: World, one: Service) -> None:
    one.start()


def stop(_: World, one: Service) -> None:
    one.stop()


def kill(_: World, one: Service) -> None:
    one.stop(KILL)


def again(_: World, one: Service) -> None:
    one.start_again()


def then(*events: Event) -> Event:
    def do(world: World, one: Service) -> None:
        for event in events:
            event(world, one)

    return do


AT_ONCE = 0.0
TRANSITIONS = [
    # from, restart, event, then: to, due in, what was sent
    (DUE, "always", tick, (RUNNING, FOREVER, [])),
    (DUE, "always", start_fails, (DUE, FIRST, [])),
    (DUE, "always", start, (DUE, AT_ONCE, [])),
    (DUE, "always", again, (DUE, AT_ONCE, [])),
    (DUE, "always", stop, (STOPPED, FOREVER, [])),
    (STARTING, "always", tick, (STARTING, FOREVER, [])),
    (STARTING, "always", becomes_program, (RUNNING, FOREVER, [])),
    (STARTING, "always", exits(127), (DUE, FIRST, [KILL])),
    (STARTING, "never", exits(127), (STOPPED, FOREVER, [KILL])),
    (STARTING, "always", stop, (STOPPING, STOP_SECONDS, [TERM])),
    (STARTING, "always", again, (STOPPING, STOP_SECONDS, [TERM])),
    (RUNNING, "always", tick, (RUNNING, FOREVER, [])),
    (RUNNING, "always", start, (RUNNING, FOREVER, [])),
    (RUNNING, "always", exits(0), (DUE, FIRST, [KILL])),
    (RUNNING, "always", exits(-9), (DUE, FIRST, [KILL])),
    (RUNNING, "on-failure", exits(0), (STOPPED, FOREVER, [KILL])),
    (RUNNING, "on-failure", exits(1), (DUE, FIRST, [KILL])),
    (RUNNING, "on-failure", exits(-11), (DUE, FIRST, [KILL])),
    (RUNNING, "never", exits(0), (STOPPED, FOREVER, [KILL])),
    (RUNNING, "never", exits(1), (STOPPED, FOREVER, [KILL])),
    (RUNNING, "always", stop, (STOPPING, STOP_SECONDS, [TERM])),
    (RUNNING, "always", kill, (STOPPING, FOREVER, [KILL])),
    (RUNNING, "always", again, (STOPPING, STOP_SECONDS, [TERM])),
    (STOPPING, "always", tick, (STOPPING, STOP_SECONDS, [])),
    (STOPPING, "always", later(STOP_SECONDS, tick), (STOPPING, FOREVER, [KILL])),
    (STOPPING, "always", then(stop, stop), (STOPPING, STOP_SECONDS, [])),
    (STOPPING, "always", exits(-15), (STOPPED, FOREVER, [KILL])),
    (STOPPING, "always", then(again, exits(0)), (DUE, AT_ONCE, [KILL])),
    (STOPPING, "never", then(again, exits(0)), (DUE, AT_ONCE, [KILL])),
    (STOPPING, "always", then(start, exits(0)), (DUE, AT_ONCE, [KILL])),
    (STOPPING, "always", then(again, stop, exits(0)), (STOPPED, FOREVER, [KILL])),
    (STOPPED, "always", later(1000, tick), (STOPPED, FOREVER, [])),
    (STOPPED, "always", stop, (STOPPED, FOREVER, [])),
    (STOPPED, "never", start, (DUE, AT_ONCE, [])),
    (STOPPED, "never", again, (DUE, AT_ONCE, [])),
]


@pytest.mark.parametrize(("state", "restart", "event", "expected"), TRANSITIONS)
def test_transition(
    world: World, state: str, restart: str, event: Event, expected: tuple[str, float, list[int]]
) -> None:
    to, due, sent = expected
    one = world.in_state(state, restart)
    process = one.process
    event(world, one)
    assert one.state == to
    assert max(0.0, one.due_at - world.now) == due
    assert world.sent == [(process, number) for number in sent]
    assert one.is_alive == (to in (STARTING, RUNNING, STOPPING))


def test_the_pause_doubles_up_to_the_longest(world: World) -> None:
    one = world.made()
    pauses = []
    for _ in range(6):
        one.tick()
        one.exited(1)
        pauses.append(one.due_at - world.now)
        world.now = one.due_at - 0.01
        one.tick()
        assert one.state == DUE
        world.now = one.due_at
    assert pauses == [1, 2, 4, 8, 8, 8]


def test_a_start_that_fails_is_tried_again_with_the_same_pauses(world: World) -> None:
    world.fails = OSError(errno.EAGAIN, "Resource temporarily unavailable")
    one = world.made()
    pauses = []
    for _ in range(5):
        one.tick()
        pauses.append(one.due_at - world.now)
        world.now = one.due_at
    assert pauses == [1, 2, 4, 8, 8]
    assert "cannot be started: [Errno 11] Resource" in one.outcome
    world.fails = None
    one.tick()
    assert one.state == RUNNING


@pytest.mark.parametrize("error", [OSError(12, "memory"), MemoryError(), ValueError("odd")])
def test_no_error_of_a_start_gets_out(world: World, error: Exception) -> None:
    world.fails = error
    one = world.made()
    one.tick()
    assert one.state == DUE


def test_one_that_ran_for_the_longest_pause_begins_anew(world: World) -> None:
    one = world.made()
    for _ in range(4):
        one.tick()
        one.exited(0)
        world.now = one.due_at
    one.tick()
    world.now += LONGEST
    one.exited(0)
    assert one.due_at - world.now == FIRST


def test_one_that_has_no_process_group_yet_is_signalled_by_its_number(world: World) -> None:
    one = world.in_state(RUNNING)
    world.has_group = False
    one.stop()
    assert world.sent == [(one.process, TERM)]


def test_what_is_to_happen_at_its_exit_is_called_with_the_status(world: World) -> None:
    statuses: list[int] = []
    one = world.made(on_exit=statuses.append)
    for status in (0, 3, -9):
        world.now += 100
        one.tick()
        one.exited(status)
    assert statuses == [0, 3, -9]


@pytest.mark.parametrize(("status", "lines"), [(0, 0), (1, 1)])
def test_a_quiet_one_is_logged_where_it_fails(world: World, status: int, lines: int) -> None:
    one = world.made(quiet=True)
    one.tick()
    one.exited(status)
    assert len(world.logged) == lines


def test_a_table_starts_one_at_a_time_the_longest_due_first(world: World) -> None:
    services = [world.made() for _ in range(3)]
    table = Table(services)
    assert table.pause() == 0
    for count in (1, 2, 3):
        table.tick()
        assert [one.is_alive for one in services] == [True] * count + [False] * (3 - count)
    assert table.pause() == FOREVER
    table.exited({services[2].process: 1})
    world.now += 0.5
    table.exited({services[0].process: 1, 77: 0})
    assert table.pause() == 0.5
    world.now += 10
    table.tick()
    assert [one.is_alive for one in services] == [False, True, True]
    table.tick()
    assert table.is_alive


def test_one_that_ends_at_once_without_a_pause_does_not_keep_others_from_starting(
    world: World,
) -> None:
    hasty = [Service("hasty", world.start, pauses=(0.0, 0.0)) for _ in range(2)]
    table = Table([*hasty, patient := world.made()])
    for _ in range(3):
        table.tick()
        table.exited({one.process: 1 for one in hasty if one.is_alive})
        world.now += 0.001
    assert patient.is_alive


def test_so_many_start_in_turn_and_the_others_when_these_have_started(world: World) -> None:
    world.has_pipe = True
    many = [world.made(in_turn=True) for _ in range(2 * MOST_STARTING + 1)]
    table = Table(many)
    for count in (MOST_STARTING, 2 * MOST_STARTING, len(many)):
        for _ in many:
            table.tick()
        assert len(world.started) == count
        assert table.pause() in (LOOK_SECONDS, FOREVER)
        for process in [*world.held]:
            world.become_program(process)
    assert table.pause() == FOREVER


def test_one_of_our_own_waits_for_no_turn(world: World) -> None:
    world.has_pipe = True
    programs = [world.made(in_turn=True) for _ in range(MOST_STARTING + 1)]
    guard = world.made()
    table = Table([*programs, guard])
    for _ in range(len(programs) + 1):
        table.tick()
    assert guard.is_alive
    assert not programs[-1].is_alive


def test_a_table_that_is_stopped_starts_nothing_again(world: World) -> None:
    services = [world.made() for _ in range(3)]
    table = Table(services)
    table.tick()
    table.tick()
    table.stop()
    assert world.sent == [(1000, TERM), (1001, TERM)]
    world.now += STOP_SECONDS
    table.tick()
    assert world.sent[2:] == [(1000, KILL), (1001, KILL)]
    table.exited({1000: -9, 1001: -9})
    world.now += 1000
    table.tick()
    assert not table.is_alive
    assert table.pause() == FOREVER
