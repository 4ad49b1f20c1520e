"""Numbers in the words of strangers: what is none raises nothing."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbrinit.wire import decimal_number

DIGITS = [chr(c) for c in range(128, sys.maxunicode) if unicodedata.category(chr(c))[0] == "N"]


@pytest.mark.parametrize(
    ("text", "highest", "value"),
    [
        ("0", 9, 0),
        ("9", 9, 9),
        ("10", 9, None),
        ("09", 9, None),
        ("09", 10, 9),
        ("65535", 65535, 65535),
        ("65536", 65535, None),
        *((text, 999, None) for text in ("", "-1", "+1", "1_0", " 1", "1\n", "0x1", "1e1")),
    ],
)
def test_it_is_what_it_writes(text: str, highest: int, value: int | None) -> None:
    assert decimal_number.parse(text, highest) == value


def test_no_digit_of_another_script_is_one() -> None:
    assert len(DIGITS) > 1500
    assert not [digit for digit in DIGITS if decimal_number.parse(digit, 9) is not None]


def test_more_digits_than_int_takes_are_none() -> None:
    assert decimal_number.parse("9" * (sys.get_int_max_str_digits() + 1), 2**64) is None


@given(st.text(), st.integers(0, 2**70))
def test_any_text_has_an_answer(text: str, highest: int) -> None:
    value = decimal_number.parse(text, highest)
    assert value is None or (0 <= value <= highest and int(text) == value)
