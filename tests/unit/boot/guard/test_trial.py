"""In what a plan may differ from the one in force, and what becomes of a trial meanwhile."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as drawn
from hypothesis import strategies as st

from pbrinit.boot.guard import packet_rules, switch
from pbrinit.boot.guard import trial as trial_module
from pbrinit.boot.guard.requests import Offer
from pbrinit.boot.guard.trial import RefusedError, Trial
from pbrinit.boot.network import slots
from pbrinit.boot.state import active_plan, confirmed_policy
from pbrinit.boot.state.guard_status import GuardStatus
from pbrinit.compiler.compile import compile_policy
from pbrinit.plan.encode import encode
from pbrinit.policy.assigned import parse_assignment, with_assignments
from pbrinit.policy.policy import Policy
from pbrinit.policy.reader.reader import read_policy
from pbrinit.wire import bootplan
from pbrinit.wire.bootplan import BootPlan
from tests.support.policy_text import by_dhcp

POLICY = by_dhcp(read_policy(Path("examples/rooms.toml")))
LEASE = parse_assignment(POLICY, "192.0.2.77/24,192.0.2.1")
TRY = ["try", "9"]


def plan_of(policy: Policy) -> BootPlan:
    return encode(compile_policy(policy), "rooms")


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    """A machine that waits for an address; what it adopts is taken for done."""
    for name in ("IN_FORCE", "TRIAL"):
        monkeypatch.setattr(active_plan, name, str(tmp_path / name))
    for name in ("TRIED", "KEPT"):
        monkeypatch.setattr(confirmed_policy, name, str(tmp_path / name))
    monkeypatch.setattr(switch, "switch_plan", lambda _, commit, *__: commit())
    return Trial(plan_of(POLICY), GuardStatus())


def ask(trial: Trial, words: list[str], plan: BootPlan, waiting: BootPlan | None = None) -> str:
    files = {"other.toml": b""} if waiting is not None else {}
    return trial.answer(words, Offer(plan, waiting, files).pack())


def test_for_a_lease_rooms_may_have_other_addresses(trial: Trial) -> None:
    leased = plan_of(with_assignments(POLICY, LEASE))
    assert "in force" in ask(trial, ["adopt"], leased)
    assert trial.plan.programs == leased.programs


def test_a_policy_that_is_tried_has_the_same_rooms(trial: Trial) -> None:
    with pytest.raises(RefusedError, match="programs differ: that takes a reboot"):
        ask(trial, TRY, plan_of(with_assignments(POLICY, LEASE)))


def test_for_a_lease_all_else_of_programs_is_the_same(trial: Trial) -> None:
    first, *others = POLICY.programs
    runs = (replace(first, command=("/bin/sh",)), *others)
    changed = encode(replace(compile_policy(POLICY), programs=tuple(
        replace(program, program=run)
        for program, run in zip(compile_policy(POLICY).programs, runs, strict=True)
    )), "rooms")  # fmt: skip
    with pytest.raises(RefusedError, match="programs differ: that takes a reboot"):
        ask(trial, ["adopt"], changed)


def test_for_a_lease_rooms_keep_their_ports(trial: Trial) -> None:
    """What follows from no address stays, or takes a reboot."""
    leased = plan_of(with_assignments(POLICY, LEASE))
    room = leased.programs[0].room
    assert room is not None
    room.sysctls = ()
    with pytest.raises(RefusedError, match="programs differ: that takes a reboot"):
        ask(trial, ["adopt"], leased)


ELSE = replace(POLICY, hostname="other")
LEASED = plan_of(with_assignments(POLICY, LEASE))
OTHER = plan_of(with_assignments(ELSE, LEASE))
BARE = plan_of(ELSE)


@pytest.fixture
def tried(trial: Trial) -> Trial:
    """A machine with a lease, on which another policy is on trial."""
    ask(trial, ["adopt"], LEASED)
    assert "in force for 9 s" in ask(trial, [*TRY, LEASED.digest], OTHER, BARE)
    assert trial.plan.digest == OTHER.digest
    return trial


def again() -> Trial:
    """The guard that follows one that ended."""
    return Trial(plan_of(POLICY), GuardStatus())


def kept() -> str:
    """The digest of the plan with nothing given, of the policy that is kept."""
    return confirmed_policy.plan(plan_of(POLICY)).digest


def test_a_trial_is_of_the_plan_that_was_in_force_when_it_was_made(trial: Trial) -> None:
    with pytest.raises(RefusedError, match="has come in force meanwhile: try again"):
        ask(trial, [*TRY, LEASED.digest], OTHER, BARE)
    assert trial.plan.digest != OTHER.digest


def test_what_could_not_be_made_anew_is_not_tried(trial: Trial) -> None:
    ask(trial, ["adopt"], LEASED)
    for data in (Offer(OTHER), Offer(OTHER, BARE), Offer(OTHER, None, {"other.toml": b""})):
        with pytest.raises(RefusedError, match="what it is read from is not there"):
            trial.answer(TRY, data.pack())
    assert confirmed_policy.read(confirmed_policy.TRIED) is None


def test_a_policy_is_kept_once_it_is_confirmed_and_not_before(tried: Trial) -> None:
    assert kept() == plan_of(POLICY).digest
    tried.answer(["confirm"])
    assert kept() == BARE.digest
    assert confirmed_policy.read(confirmed_policy.TRIED) is None


def test_a_guard_that_ended_in_between_is_followed_by_one_that_keeps_what_was_confirmed(
    tried: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as cut:
        cut.setattr(confirmed_policy, "confirm", lambda: 1 / 0)
        assert "is kept" in tried.answer(["confirm"])
    again()
    assert kept() == BARE.digest


def test_a_guard_that_follows_goes_on_with_a_trial_and_then_forgets_it(tried: Trial) -> None:
    assert tried.pause(99) < 99
    follower = again()
    assert follower.pause(99) < 99
    follower.roll_back()
    assert follower.plan.digest == LEASED.digest
    assert kept() == plan_of(POLICY).digest
    assert confirmed_policy.read(confirmed_policy.TRIED) is None


def test_an_address_that_changes_ends_a_trial(tried: Trial) -> None:
    other = plan_of(with_assignments(POLICY, parse_assignment(POLICY, "192.0.2.90/24,192.0.2.1")))
    ask(tried, ["adopt", kept()], other)
    assert tried.plan.digest == other.digest
    assert tried.pause(99) == 99
    with pytest.raises(RefusedError, match="no policy is on trial"):
        tried.answer(["confirm"])
    assert again().plan.digest == other.digest
    assert confirmed_policy.read(confirmed_policy.TRIED) is None


def test_a_trial_goes_on_where_the_plan_for_another_address_cannot_be_put_in_force(
    tried: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(new: BootPlan, commit: Callable[[], None], *_: object) -> None:
        commit()
        if new.digest == LEASED.digest:
            raise switch.SwitchError("it is in force, and differs")

    monkeypatch.setattr(switch, "switch_plan", fails)
    with pytest.raises(RefusedError, match="was taken back"):
        ask(tried, ["adopt", kept()], LEASED)
    assert tried.plan.digest == OTHER.digest
    assert tried.pause(99) < 99
    assert again().pause(99) < 99


def test_a_plan_of_a_policy_that_is_no_more_kept_is_not_adopted(tried: Trial) -> None:
    before = kept()
    tried.answer(["confirm"])
    with pytest.raises(RefusedError, match="another policy is kept meanwhile"):
        ask(tried, ["adopt", before], LEASED)
    assert tried.plan.digest == OTHER.digest


ROOMS = Path("examples/rooms.toml").read_text().partition("[[expect]]")[0]
PINGED = ROOMS.replace('from    = "admins"\nservice = "ping"', 'service = "ping"')
OPENED = ROOMS.replace('from    = "admins"\nservice = "ssh"', 'service = "ssh"')
ASKING = f'{ROOMS}[[output]]\nservice = "https"\nrun = "sshd"\n'
ENDING = f'on-failure = "reboot after 10 s"\n{ROOMS}'


@pytest.fixture(scope="module")
def of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], BootPlan]:
    """The plan of a policy's text."""

    @cache
    def make(text: str) -> BootPlan:
        path = tmp_path_factory.mktemp("policy") / "rooms.toml"
        path.write_text(text)
        return encode(compile_policy(read_policy(path, check_files=False)), "rooms")

    return make


@pytest.fixture
def rooms(trial: Trial, of: Callable[[str], BootPlan]) -> Trial:
    """A machine whose program sshd may try policies, and no other."""
    assert trial.pause(1) == 1
    return Trial(of(ROOMS), GuardStatus())


def token_in(told: str) -> str:
    found = re.search(r"`pbrctl confirm ([0-9a-f]{16})` keeps it$", told)
    assert found, told
    return found[1]


def test_a_program_confirms_its_own_trial_by_its_token(
    rooms: Trial, of: Callable[[str], BootPlan]
) -> None:
    token = token_in(ask(rooms, [*TRY, rooms.plan.digest, "sshd"], of(PINGED)))
    for words in (
        ["confirm", "0" * 16, "sshd"],
        ["confirm", token, "updater"],
        ["confirm", token[:-1], "sshd"],
        ["confirm", "", "sshd"],
        ["confirm", "sshd"],
        ["confirm", "0" * 16],
    ):
        with pytest.raises(RefusedError, match=r"has another token|is not of updater"):
            rooms.answer(words)
        assert rooms.pause(99) < 99
    assert "is kept" in rooms.answer(["confirm", token, "sshd"])
    assert rooms.pause(99) == 99
    with pytest.raises(RefusedError, match="no policy is on trial"):
        rooms.answer(["confirm", token, "sshd"])


def test_a_guard_that_follows_knows_whose_trial_it_is(
    rooms: Trial, of: Callable[[str], BootPlan]
) -> None:
    token = token_in(ask(rooms, [*TRY, rooms.plan.digest, "sshd"], of(PINGED)))
    follower = Trial(of(ROOMS), GuardStatus())
    for words in (["confirm", "f" * 16, "sshd"], ["confirm", token, "resolver"]):
        with pytest.raises(RefusedError):
            follower.answer(words)
    assert "is kept" in follower.answer(["confirm", token, "sshd"])


def test_each_trial_has_a_token_of_its_own(rooms: Trial, of: Callable[[str], BootPlan]) -> None:
    tokens = set()
    for text in (PINGED, ROOMS) * 4:
        tokens.add(token_in(ask(rooms, [*TRY, rooms.plan.digest, "sshd"], of(text))))
        rooms.roll_back()
    assert len(tokens) == 8


def test_root_needs_no_token_and_no_program_can_do_without(
    rooms: Trial, of: Callable[[str], BootPlan]
) -> None:
    ask(rooms, [*TRY, rooms.plan.digest, "sshd"], of(PINGED))
    assert "is kept" in rooms.answer(["confirm"])
    told = ask(rooms, TRY, of(ROOMS))
    assert told.endswith("`pbrctl confirm` keeps it")
    with pytest.raises(RefusedError, match="has another token"):
        rooms.answer(["confirm", "0" * 16, "sshd"])


def test_root_tries_also_while_a_program_does_and_no_other_way_round(
    rooms: Trial, of: Callable[[str], BootPlan]
) -> None:
    ask(rooms, [*TRY, rooms.plan.digest, "sshd"], of(PINGED))
    for words in ([*TRY, rooms.plan.digest, "sshd"], [*TRY, rooms.plan.digest, "updater"]):
        with pytest.raises(RefusedError, match="is on trial for"):
            ask(rooms, words, of(ROOMS))
    ask(rooms, [*TRY, rooms.plan.digest], of(OPENED))
    assert rooms.plan.digest == of(OPENED).digest
    for words in (TRY, [*TRY, rooms.plan.digest, "sshd"]):
        with pytest.raises(RefusedError, match="is on trial for"):
            ask(rooms, words, of(ROOMS))
    rooms.roll_back()
    assert rooms.plan.digest == of(ROOMS).digest


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (OPENED, "what sshd itself may send or answer differs"),
        (ASKING, "what sshd itself may send or answer differs"),
        (ROOMS.replace('"tcp/22"', '"tcp/2222"'), "what sshd itself may send or answer differs"),
        (ROOMS.replace('"198.51.100.0/24"', '"0.0.0.0/0"'), "what sshd itself may send or answer"),
        (ENDING, "on-failure differs"),
        (ROOMS.replace('ask     = "try"', 'ask     = "status"'), "programs differ"),
        (ROOMS.replace("resolver.py", "other.py"), "programs differ"),
    ],
)
def test_a_program_cannot_change_its_own_entries_nor_what_follows_a_failure(
    rooms: Trial, of: Callable[[str], BootPlan], text: str, why: str
) -> None:
    before = rooms.plan
    with pytest.raises(RefusedError, match=why):
        ask(rooms, [*TRY, before.digest, "sshd"], of(text))
    assert rooms.plan is before
    assert rooms.pause(99) == 99
    if "programs" not in why:
        ask(rooms, TRY, of(text))
        assert rooms.plan.digest == of(text).digest


@pytest.mark.parametrize("name", ["updater", "resolver", "nobody", "sshd2", "ss"])
def test_a_program_that_may_not_try_cannot(
    rooms: Trial, of: Callable[[str], BootPlan], name: str
) -> None:
    with pytest.raises(RefusedError, match=f"no program '{name}' may try a policy"):
        ask(rooms, [*TRY, rooms.plan.digest, name], of(PINGED))


ODD = ["²", "٣", "1" * 5000, "", "-1", "+1", "1_0", "0x9", "9.0", "nan", "3601", "0"]


@pytest.mark.parametrize("length", ODD)
def test_a_length_that_is_none_is_refused(rooms: Trial, length: str) -> None:
    with pytest.raises(RefusedError, match="a trial lasts 1 to 3600 s"):
        ask(rooms, ["try", length], rooms.plan)


NAMES = ["try", "adopt", "confirm", "9", "sshd", "0" * 16]
WORDS = st.sampled_from([*NAMES, *ODD]) | st.text()
BYTES = st.binary(max_size=40) | st.sampled_from([b"", b"N", bootplan.sealed((b"", None, ()))])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@drawn(st.lists(WORDS, max_size=5), BYTES)
def test_whatever_is_asked_is_an_answer_and_changes_nothing(
    rooms: Trial, words: list[str], data: bytes
) -> None:
    before = rooms.plan
    with pytest.raises(RefusedError):
        rooms.answer(words, data)
    assert rooms.plan is before
    assert rooms.pause(99) == 99


@pytest.mark.parametrize(
    ("home", "name"),
    [
        (packet_rules, "of_device"),
        (slots, "relocate"),
        (trial_module, "differences"),
        (os, "urandom"),
    ],
)
def test_what_fails_in_a_request_fails_that_request(
    rooms: Trial,
    of: Callable[[str], BootPlan],
    monkeypatch: pytest.MonkeyPatch,
    home: object,
    name: str,
) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError("by a mistake of ours")

    before = rooms.plan
    with monkeypatch.context() as patched:
        patched.setattr(home, name, fails)
        with pytest.raises(RefusedError, match="nothing has changed: ZeroDivisionError"):
            ask(rooms, [*TRY, before.digest, "sshd"], of(PINGED))
    assert rooms.plan is before
    assert rooms.pause(99) == 99
    assert "in force" in ask(rooms, [*TRY, before.digest, "sshd"], of(PINGED))


def test_where_the_plan_before_cannot_be_put_back_it_is_no_answer(
    rooms: Trial, of: Callable[[str], BootPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is not known what is in force: that is the guard's to end."""

    def fails(*_: object) -> None:
        raise switch.SwitchError("it differs")

    monkeypatch.setattr(switch, "switch_plan", fails)
    with pytest.raises(switch.SwitchError):
        ask(rooms, TRY, of(PINGED))


@pytest.mark.parametrize("name", ["IN_FORCE", "TRIAL", "TRIED"])
@pytest.mark.parametrize("data", [b"", b"\0", b"(\xff\xff\xff\x7f", b"junk" * 999, b"N"])
def test_a_file_below_run_that_is_damaged_ends_no_guard(
    rooms: Trial, of: Callable[[str], BootPlan], name: str, data: bytes
) -> None:
    ask(rooms, TRY, of(PINGED))
    home = confirmed_policy if name == "TRIED" else active_plan
    Path(getattr(home, name)).write_bytes(data)
    follower = Trial(of(ROOMS), GuardStatus())
    expected = PINGED if name == "TRIED" else ROOMS
    assert follower.plan.digest == of(expected).digest
