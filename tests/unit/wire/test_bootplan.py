"""The boot file comes back as it was, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from pbrinit.wire import bootplan
from pbrinit.wire.bootplan import BootPlan

PLAN = encode(load(Path("examples/host.toml")), "host")
DATA = bootplan.pack(PLAN)


def test_a_plan_comes_back_as_it_was() -> None:
    assert bootplan.unpack(DATA) == PLAN


def test_the_same_policy_makes_the_same_bytes() -> None:
    assert bootplan.pack(encode(load(Path("examples/host.toml")), "host")) == DATA


@pytest.mark.parametrize("bit", range(8))
def test_a_changed_bit_is_found_wherever_it_is(bit: int) -> None:
    for at in range(0, len(DATA), 97):
        damaged = bytearray(DATA)
        damaged[at] ^= 1 << bit
        with pytest.raises(bootplan.BootFileError):
            bootplan.unpack(bytes(damaged))


def test_what_to_do_on_failure_is_known_although_the_plan_is_damaged() -> None:
    data = bytearray(bootplan.pack(BootPlan(**{**vars(PLAN), "on_failure": ("reboot", 7)})))
    data[len(data) // 2] ^= 1
    with pytest.raises(bootplan.BootFileError):
        bootplan.unpack(bytes(data))
    assert bootplan.on_failure(bytes(data)) == ("reboot", 7)


def test_the_outline_is_known_without_the_rest() -> None:
    rooms = encode(load(Path("examples/rooms.toml")), "rooms")
    data = bootplan.pack(rooms)
    assert len(data) < bootplan.LONGEST_OUTLINE
    without_body = data[: data.rindex(bootplan.PART.pack(*_last_part(data)))]
    found = bootplan.outline(without_body)
    assert (found.log, found.programs) == (rooms.log, rooms.programs)
    assert found.programs


def _last_part(data: bytes) -> tuple[int, int]:
    """The length and checksum that stand before the last part."""
    at = len(bootplan.MAGIC)
    while True:
        length, checksum = bootplan.PART.unpack_from(data, at)
        at += bootplan.PART.size + length
        if at == len(data):
            return length, checksum


@pytest.mark.parametrize("at", [0, 20, 60, 200])
def test_an_outline_that_is_damaged_is_refused(at: int) -> None:
    damaged = bytearray(bootplan.pack(encode(load(Path("examples/rooms.toml")), "rooms")))
    damaged[at] ^= 1
    with pytest.raises(bootplan.BootFileError):
        bootplan.outline(bytes(damaged))


def test_bytes_after_the_end_are_refused() -> None:
    with pytest.raises(bootplan.BootFileError):
        bootplan.unpack(DATA + b"\0")


@pytest.mark.parametrize(
    "length", [0, 1, 14, 15, 18, 23, 24, 40, 47, 60, len(DATA) // 2, len(DATA) - 1]
)
def test_a_file_that_is_cut_short_is_refused(length: int) -> None:
    with pytest.raises(bootplan.BootFileError):
        bootplan.unpack(DATA[:length])
