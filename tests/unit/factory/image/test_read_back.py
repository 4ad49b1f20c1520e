"""What pyroute2 reads in a boot plan is what the plan says; any other byte is found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from factory.image.read_back import ReadBackError, check, read
from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from pbrinit.plan.plan import Plan
from pbrinit.wire import bootplan
from pbrinit.wire.bootplan import BootPlan

EXAMPLES = sorted(path for path in Path("examples").glob("*.toml") if path.stem != "blocklist")
ROOMS = load(Path("examples/rooms.toml"))
BOOT = encode(ROOMS, "rooms")
MANY = """
hostname = "gate"
[interface.wan]
mac     = "52:54:00:12:34:56"
address = ["192.0.2.2/24", "2001:db8::2/64"]
gateway = ["192.0.2.1", "2001:db8::1"]
[network]
bad = { file = "bad.txt" }
[service]
ssh = "tcp/22"
[[input]]
service = "ssh"
[[deny]]
from = "bad"
"""
FLAGS_AT, SEQUENCE_AT = 6, 8
SEQUENCE_END = 16


def with_(values: Any, **changes: object) -> Any:
    return type(values)(**{**vars(values), **changes})


def messages(boot: BootPlan) -> Iterator[tuple[str, bytes]]:
    """Messages of every kind in a boot plan, by what they do."""
    for at in range(0, len(boot.rules), 20):
        yield boot.rule_commands[at], boot.rules[at]
    for link in boot.links:
        yield from ((text, data) for text, data, _ in link.messages)
    for program in boot.programs:
        if program.room is not None:
            yield program.room.veth[:2]
            yield f"removal of {program.room.device}", program.room.removal


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_messages_of_an_example_say_what_its_plan_says(path: Path) -> None:
    plan = load(path)
    boot = encode(plan, path.stem)
    assert check(bootplan.pack(boot), plan) > len(plan.rules)


def padding(message: bytes) -> set[int]:
    """The bytes that align an attribute, which the kernel does not read (NLA_ALIGN), nor those of
    a message's head that mean nothing.
    """
    unread: set[int] = set()

    def attributes(at: int, end: int) -> None:
        while at + 4 <= end:
            length = int.from_bytes(message[at : at + 2], "little")
            kind = int.from_bytes(message[at + 2 : at + 4], "little")
            if (length, kind) == (0, 0):
                return
            unread.update(range(at + length, min((at + length + 3) & ~3, end)))
            if kind in NESTED and int.from_bytes(message[4:6], "little") in (16, 17):
                attributes(at + 4, at + length)
            at += (length + 3) & ~3

    kind = int.from_bytes(message[4:6], "little")
    attributes(16 + HEAD_SIZES[kind], len(message))
    if kind in (16, 17):
        unread.add(17)  # __ifi_pad
    if kind == 28:
        unread.update((17, 18, 19))  # ndm_pad1, ndm_pad2
    return unread


NESTED = {18}
"""IFLA_LINKINFO; what is in its peer begins with a head, so its strings are not looked into."""

HEAD_SIZES = {16: 16, 17: 16, 20: 8, 24: 12, 28: 12, 32: 12, 33: 12}


def test_one_changed_byte_of_any_message_is_found() -> None:
    missed = []
    tried = 0
    for text, data in messages(BOOT):
        original = read(data)
        for at in set(range(len(data))) - padding(data):
            changed = bytearray(data)
            changed[at] ^= 0x02
            tried += 1
            try:
                if read(bytes(changed)) == original:
                    missed.append((text, at, data.hex()))
            except ReadBackError:
                continue
    assert tried > 3000
    assert missed == []


def test_a_message_too_few_and_one_too_many_are_found() -> None:
    plan, boot = ROOMS, BOOT
    for wrong in (
        with_(boot, rules=boot.rules[1:]),
        with_(boot, rules=(*boot.rules, boot.rules[0])),
        with_(boot, kernel_rule_removals=boot.kernel_rule_removals[:-1]),
        with_(boot, links=boot.links[:-1]),
        with_(boot, programs=boot.programs[:-1]),
    ):
        with pytest.raises(ReadBackError):
            check(bootplan.pack(wrong), plan)


def test_an_error_names_the_message_and_what_the_plan_says() -> None:
    rule = ROOMS.rules[0]
    other = replace(ROOMS, rules=(replace(rule, iif="eth7"), *ROOMS.rules[1:]))
    with pytest.raises(ReadBackError, match=r"rule \d+: the message says .* the plan .*eth7"):
        check(bootplan.pack(BOOT), other)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, BootPlan]:
    """A plan with a set that is sent in bulk, and a card that is named by its MAC address."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "bad.txt").write_text("".join(f"10.{n}.{n}.0/24\n" for n in range(250)))
    (folder / "gate.toml").write_text(MANY)
    plan = load(folder / "gate.toml")
    boot = encode(plan, "gate")
    assert any(link.bulks for link in boot.links)
    assert any(link.rename for link in boot.links)
    return plan, boot


def test_routes_in_bulk_and_a_new_name_are_read(many: tuple[Plan, BootPlan]) -> None:
    plan, boot = many
    assert check(bootplan.pack(boot), plan) > 250


def test_a_changed_byte_of_a_route_in_bulk_is_found(many: tuple[Plan, BootPlan]) -> None:
    plan, boot = many
    number = next(n for n, link in enumerate(boot.links) if link.bulks)
    link = boot.links[number]
    text, pieces, size, offset = link.bulks[0]
    for at in (FLAGS_AT, SEQUENCE_AT, SEQUENCE_END + 1, size - 1, len(pieces[0]) - 1):
        changed = bytearray(pieces[0])
        changed[at] ^= 1
        bulks = ((text, (bytes(changed), *pieces[1:]), size, offset), *link.bulks[1:])
        links = (*boot.links[:number], with_(link, bulks=bulks), *boot.links[number + 1 :])
        with pytest.raises(ReadBackError):
            check(bootplan.pack(with_(boot, links=links)), plan)
