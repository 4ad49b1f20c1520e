"""Bytes of a process that is not trusted become plain values, or nothing."""

from __future__ import annotations

import contextlib
import marshal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pbrinit.cli.appliance import plain_values
from pbrinit.cli.appliance.plain_values import PlainError

ATOMS = (
    st.none() | st.booleans() | st.integers(-(2**128), 2**128) | st.binary() | st.text("aé€𝄞\t\x00")
)
VALUES = st.recursive(ATOMS, lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=20)


@given(VALUES)
def test_what_marshal_writes_of_plain_values_is_read(value: object) -> None:
    assert plain_values.loads(marshal.dumps(value, 2)) == value  # type: ignore[arg-type]


@given(VALUES, st.data())
def test_bytes_that_are_changed_are_values_or_an_error(value: object, data: st.DataObject) -> None:
    made = bytearray(marshal.dumps((value, value), 2))  # type: ignore[arg-type]
    for _ in range(data.draw(st.integers(1, 4))):
        made[data.draw(st.integers(0, len(made) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PlainError):
        plain_values.loads(bytes(made))


@given(st.binary())
@example(b"(\xff\xff\xff\x7f")
@example(b"l\xff\xff\xff\x7f")
@example(b"l\x00\x00\x00\x80")
@example(b"u\x01\x00\x00\x00\xff")
def test_any_bytes_are_values_or_an_error(data: bytes) -> None:
    with contextlib.suppress(PlainError):
        plain_values.loads(data)


def deep(levels: int) -> bytes:
    return b"(\x01\x00\x00\x00" * levels + b"N"


@pytest.mark.parametrize(
    "data",
    [
        marshal.dumps(compile("1", "x", "eval")),
        marshal.dumps(compile("1", "x", "eval"), 2),
        marshal.dumps([1], 2),
        marshal.dumps({1: 2}, 2),
        marshal.dumps(1.5, 2),
        marshal.dumps(("a", "a"), 4),
        marshal.dumps(2**300, 2),
        marshal.dumps((1,), 2) + b"N",
        marshal.dumps((1, 2), 2)[:-1],
        deep(100_000),
        b"",
    ],
)
def test_what_is_no_plain_value_is_refused(data: bytes) -> None:
    with pytest.raises(PlainError):
        plain_values.loads(data)


def test_tuples_may_stand_as_deep_as_those_of_a_plan() -> None:
    assert plain_values.loads(deep(8))
