"""A program in a room asks the control broker: as far as the policy says, and no further."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pbrinit.boot.control import broker, broker_protocol
from pbrinit.wire.bootplan import BootPlan
from tests.support.namespaces import run_broker, run_supervisor
from tests.support.namespaces.lab import Lab, wait_until
from tests.support.namespaces.two_room_machine import plan_of, running

ONCE = 'restart = "never"\n'
TOKEN = "0123456789abcdef"  # noqa: S105  of a trial
USER = run_supervisor.with_ids(plan_of()).programs[0].uid
"""The program's user, as the machine sees it: its room has user IDs of its own."""


@contextmanager
def at_a_broker(
    plan: BootPlan, hear_seconds: float = 10.0, before: Callable[[], None] | None = None
) -> Iterator[Lab]:
    """A machine whose programs may ask; `before` is done there before the broker starts."""
    with running(plan) as lab:
        if before is not None:
            lab.machine.do(before)
        lab.machine.do(run_broker.start, plan, hear_seconds)
        try:
            yield lab
        finally:
            lab.machine.do(run_broker.stop)


def answers(ask: str, *asked: tuple[str, ...]) -> list[tuple[int, str, str]]:
    """What a program with this `ask` hears from its room."""
    plan = plan_of(one=run_broker.client_program(*asked), more=f'{ONCE}ask = "{ask}"')
    with at_a_broker(plan) as lab:
        return run_broker.answers_in(lab.machine.do(run_supervisor.wait_for, "one: [["))


def test_it_hears_of_the_machine_and_not_of_its_room() -> None:
    audit, status, drops, wrong = answers(
        "status", ("audit",), ("status", "--json"), ("--json", "drops"), ("explain", "x")
    )
    assert (audit[0], audit[2]) == (0, "")
    assert audit[1].endswith(": as planned\n")
    told = json.loads(status[1])
    (link,) = (link for link in told["links"] if link["interface"] == "wan")
    assert "192.0.2.2/24" in {a["address"] for a in link["addresses"]}  # in the room it is a /32
    assert [program["name"] for program in told["programs"]] == ["one", "two"]
    assert {"kind", "family", "count", "about"} == set(json.loads(drops[1])[0])
    assert wrong[:2] == (2, "")
    assert wrong[2].startswith("error: write explain in INTERFACE")


def test_who_may_only_read_changes_nothing() -> None:
    commands = ("try", "confirm", "restart")
    asked = [(*json, command, "-") for command in commands for json in ((), ("--json",))]
    for words, told in zip(asked, answers("status", *asked), strict=True):
        refused = f'error: one may not {words[-2]}: the policy says ask = "status"\n'
        assert told == (2, "", refused)


def test_a_program_that_may_try_may_confirm_what_it_names() -> None:
    assert answers("try", ("confirm",), ("confirm", TOKEN), ("confirm", "me")) == [
        (2, "", "error: confirm TOKEN: `try` prints the token\n"),
        (1, "", "error: no policy is on trial\n"),
        (2, "", "error: a token has 16 hexadecimal digits: `try` prints it\n"),
    ]


def test_nobody_asks_for_what_is_no_command() -> None:
    asked = [("poweroff",), ("-c", "try"), ("lease", "1.2.3.4"), ("",), ("--json",)]
    for words, told in zip(asked, answers("try", *asked), strict=True):
        named = words[0].removeprefix("--json")
        assert told == (2, "", f"error: there is no command {named!r}; --help lists them\n")


def test_a_program_without_it_sees_no_broker() -> None:
    look = "import os, time; print(os.listdir('/run'), os.path.exists('/run/brokers')); "
    with at_a_broker(plan_of(more=f'{ONCE}ask = "try"', two=look + "time.sleep(60)")) as lab:
        assert "two: [] False" in lab.machine.do(run_supervisor.wait_for, "two: [")


OUTLIVES = """
def answers():
    try:
        return run("confirm")[0] is not None
    except OSError:
        return False
for awaited in (False, True):
    while answers() != awaited:
        time.sleep(0.05)
    print("back" if awaited else "gone")
time.sleep(60)
"""


def test_a_broker_that_is_started_again_is_seen_from_the_room_that_was_there() -> None:
    plan = plan_of(
        one=run_broker.client_program(("drops",), then=OUTLIVES), more=f'{ONCE}ask = "try"'
    )
    with at_a_broker(plan) as lab:
        lab.machine.do(run_supervisor.wait_for, "one: [[")
        lab.machine.do(run_broker.stop)
        assert "one: back" not in lab.machine.do(run_supervisor.wait_for, "one: gone")
        lab.machine.do(run_broker.start, plan)
        lab.machine.do(run_supervisor.wait_for, "one: back")


@pytest.fixture(scope="module")
def machine() -> Iterator[Lab]:
    """One whose program may ask and does not; others do, let to its socket, in a short time."""
    with at_a_broker(plan_of(more=f'{ONCE}ask = "status"'), 1.0) as lab:
        yield lab


def request(*words: str) -> bytes:
    said = "\0".join(words).encode()
    return broker_protocol.HEAD.pack(len(said), 0) + said


def test_its_user_is_heard_and_root_is_not(machine: Lab) -> None:
    assert "as planned" in machine.machine.do(run_broker.reply_to, USER, request("audit"))
    told = machine.machine.do(run_broker.reply_to, 0, request("audit"))
    assert "error: user 0 is not the user of one" in told
    assert "as planned" not in told


@pytest.mark.parametrize(
    "said",
    [
        struct.pack("!II", broker_protocol.LONGEST_WORDS + 1, 0),
        struct.pack("!II", 6, broker_protocol.LONGEST_POLICY + 1) + b"status",
        b"GET / HTTP/1.1\r\nHost: desk\r\n\r\n",
        b"\xff" * 10_000,
    ],
)
def test_more_than_is_allowed_is_not_even_read(machine: Lab, said: bytes) -> None:
    assert "more is asked than is allowed" in machine.machine.do(run_broker.reply_to, USER, said)


@pytest.mark.parametrize("said", [b"", b"\0", request("status")[:-1], struct.pack("!II", 9, 99)])
def test_who_is_slow_is_not_waited_for(machine: Lab, said: bytes) -> None:
    start = time.monotonic()
    assert machine.machine.do(run_broker.reply_to, USER, said).startswith("b'")
    assert time.monotonic() - start < 3


def test_who_holds_many_connections_has_so_many_and_no_longer(machine: Lab) -> None:
    holder = machine.machine.do(run_broker.hold_connections, USER, 50)
    try:
        attending = [(broker.NICE, 500)] * broker.AT_ONCE
        assert wait_until(lambda: machine.machine.do(run_broker.workers) == attending, 5)
        assert "as planned" in machine.machine.do(run_broker.reply_to, USER, request("audit"))
    finally:
        machine.machine.do(run_broker.end_process, holder)
    assert wait_until(lambda: machine.machine.do(run_broker.workers) == [], 5)
