"""Whole numbers as people and files write them, in decimal digits.

In: a text from anybody.  Out: the number, or None.  `str.isdigit` alone is also true of digits that
`int` does not take, such as a superscript two, and of those of every other script; and `int` raises
where there are more than 4,300 digits (sys.set_int_max_str_digits).
"""

from __future__ import annotations


def parse(text: str, highest: int) -> int | None:
    """The number that the text writes in digits of ASCII; None where it is another text, has more
    digits than `highest`, or is above it.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(highest))):
        return None
    value = int(text)
    return value if value <= highest else None
