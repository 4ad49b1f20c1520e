"""A plan that the sandbox hands back: each example's is taken, and no hostile one."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbrinit.cli.appliance.vetting import VettingError, vetted
from pbrinit.cli.build import load
from pbrinit.plan import messages
from pbrinit.plan.encode import encode
from pbrinit.wire import bootplan
from pbrinit.wire.bootplan import BootPlan, LinkPlan, ProgramPlan
from pbrinit.wire.netlink import constants

EXAMPLES = sorted(Path("examples").glob("*.toml"))


@cache
def plan_of(name: str) -> BootPlan:
    """An example's boot plan, made once, where a test of it runs: each worker imports this file."""
    return encode(load(Path(f"examples/{name}.toml")), name)


NOW = plan_of("rooms")


def answer(plan: BootPlan) -> object:
    return bootplan.to_values(plan)


@pytest.mark.parametrize("name", [path.stem for path in EXAMPLES])
def test_each_example_s_plan_is_taken_as_it_is(name: str) -> None:
    plan = plan_of(name)
    assert vetted(answer(plan), plan, name, plan.assignments) == plan


def changed(plan: BootPlan, **fields: object) -> BootPlan:
    return BootPlan(**{**vars(plan), **fields})


def with_link(**fields: object) -> BootPlan:
    first, second, *others = NOW.links
    return changed(NOW, links=(first, LinkPlan(**{**vars(second), **fields}), *others))


def with_message(message: bytes, *offsets: int) -> BootPlan:
    return with_link(messages=(*NOW.links[1].messages, ("more", message, offsets)))


def with_rule(message: bytes, text: str = "-4 rule add pref 6 blackhole") -> BootPlan:
    return changed(
        NOW, rules=(message, *NOW.rules[1:]), rule_commands=(text, *NOW.rule_commands[1:])
    )


def bulk_of(change: Callable[[bytearray], None]) -> BootPlan:
    """A plan with many routes of which one is another message."""
    lists = plan_of("blocklist")
    (at, link), *_ = [(at, link) for at, link in enumerate(lists.links) if link.bulks]
    (text, pieces, size, offset), *others = link.bulks
    piece = bytearray(pieces[0])
    change(piece)
    bulks = ((text, (bytes(piece), *pieces[1:]), size, offset), *others)
    links = list(lists.links)
    links[at] = LinkPlan(**{**vars(link), "bulks": bulks})
    return changed(lists, links=tuple(links))


MASTER = messages._message(
    constants.RTM_NEWLINK,
    messages.CHANGE,
    bytes(messages.LINK.size),
    [struct.pack("=HHI", 8, 10, 3)],
)
KIND = struct.Struct("=H")
HOSTILE = {
    "a sysctl that starts a program": changed(NOW, sysctls=(("kernel/core_pattern", "0"),)),
    "a sysctl that is another file": changed(NOW, sysctls=(("net/ipv4/../../../run/x", "0"),)),
    "a sysctl with an absolute path": changed(NOW, sysctls=(("/run/x", "0"),)),
    "a sysctl by dots": changed(NOW, forwarding_sysctls=(("net/ipv4/conf/./forwarding", "1"),)),
    "a sysctl of a link": with_link(sysctls=(("vm/overcommit_memory", "1"),)),
    "a value that is a program": changed(NOW, sysctls=(("net/ipv4/ip_forward", "|/bin/sh"),)),
    "a text that moves the cursor": changed(NOW, summary=("\x1b[2J",)),
    "a text with two lines": changed(NOW, rule_commands=("a\nb", *NOW.rule_commands[1:])),
    "another name": changed(NOW, policy="image"),
    "a host name with a blank": changed(NOW, hostname="a b"),
    "another ending": changed(NOW, on_failure=("never", 0)),
    "an ending before now": changed(NOW, on_failure=("reboot", -1)),
    "other rules of the kernel taken away": changed(NOW, kernel_rule_removals=NOW.rules[:1]),
    "other addresses": changed(NOW, assignments=("192.0.2.9/24,192.0.2.1",)),
    "no digest": changed(NOW, digest="../../etc"),
    "fewer texts than rules": changed(NOW, rule_commands=NOW.rule_commands[1:]),
    "no loopback": changed(NOW, links=NOW.links[1:]),
    "no link": changed(NOW, links=()),
    "a rule that is a removal": with_rule(NOW.kernel_rule_removals[0]),
    "a rule that is none": with_rule(b"\0" * 40),
    "a rule cut short": with_rule(NOW.rules[0][:-1]),
    "a rule with more behind it": with_rule(NOW.rules[0] + NOW.rules[1]),
    "a text of another rule": with_rule(NOW.rules[0], "-6 rule add pref 1 nop"),
    "a link that leads elsewhere": with_message(MASTER),
    "a link that is removed": with_message(NOW.programs[0].room.removal),  # type: ignore[union-attr]
    "a link that is made": with_message(NOW.programs[0].room.veth[1]),  # type: ignore[union-attr]
    "a rule among the messages of a link": with_message(NOW.rules[0]),
    "a message that is too short": with_message(b"\0" * 8),
    "an index outside": with_message(NOW.links[1].messages[0][1], 4000),
    "an index before": with_message(NOW.links[1].messages[0][1], 0),
    "a device by a path": with_link(device="../x"),
    "a device with a long name": with_link(device="e" * 16),
    "a name that is none": with_link(mac="me"),
}
HOSTILE_ROUTES: dict[str, Callable[[bytearray], None]] = {
    "a rule": lambda piece: KIND.pack_into(piece, 4, 32),
    "a wrong length": lambda piece: KIND.pack_into(piece, 0, 4),
    "half a route": lambda piece: piece.append(0),
}


def with_command(*command: str) -> BootPlan:
    """The plan, with its first program told this."""
    first, *others = NOW.programs
    return changed(NOW, programs=(ProgramPlan(**{**vars(first), "command": command}), *others))


def test_a_program_that_is_told_several_lines_is_told_them_again() -> None:
    now = with_command("/usr/bin/python3", "-c", "import socket\nprint(1)\n", "x" * 5000)
    assert vetted(answer(now), now, "rooms", ()).programs == now.programs


def test_no_program_is_told_anew_what_moves_a_cursor() -> None:
    with pytest.raises(VettingError):
        vetted(answer(with_command("/usr/bin/python3", "\x1b[2J")), NOW, "rooms", ())


@pytest.mark.parametrize("what", HOSTILE)
def test_no_hostile_plan_is_taken(what: str) -> None:
    with pytest.raises(VettingError):
        vetted(answer(HOSTILE[what]), NOW, NOW.policy, NOW.assignments)


@pytest.mark.parametrize("what", HOSTILE_ROUTES)
def test_no_hostile_message_among_many_routes_is_taken(what: str) -> None:
    plan, now = bulk_of(HOSTILE_ROUTES[what]), plan_of("blocklist")
    with pytest.raises(VettingError):
        vetted(answer(plan), now, now.policy, now.assignments)


def test_the_digest_is_made_anew() -> None:
    other = changed(NOW, digest="0" * 64)
    assert vetted(answer(other), NOW, "rooms", ()).digest == NOW.digest


ODD = st.none() | st.integers() | st.text() | st.binary() | st.just(()) | st.just((1, 2, 3))


@given(st.data())
def test_whatever_stands_in_the_place_of_a_value_is_no_plan_or_one_of_the_right_types(
    data: st.DataObject,
) -> None:
    """Somewhere in the answer, at any depth, something else."""

    def swapped(value: object, depth: int) -> object:
        if not isinstance(value, tuple) or not value or depth == 0:
            return data.draw(ODD)
        at = data.draw(st.integers(0, len(value) - 1))
        return (*value[:at], swapped(value[at], depth - 1), *value[at + 1 :])

    values = swapped(answer(NOW), data.draw(st.integers(0, 5)))
    try:
        found = vetted(values, NOW, "rooms", ())
    except VettingError:
        return
    bootplan.unpack(bootplan.pack(found))


@pytest.mark.parametrize("values", [None, (), 1, "plan", b"", ((),) * 17])
def test_what_is_no_plan_at_all_is_refused(values: object) -> None:
    with pytest.raises(VettingError):
        vetted(values, NOW, "rooms", ())
