"""Plain values out of bytes in marshal's format, where the bytes are not to be trusted.

In: what a process without privileges has written by `marshal.dumps(…, 2)`.  Out: None, truth
values, whole numbers, texts, bytes and tuples of them, or a `PlainError`.  `marshal.loads` itself
"is not intended to be secure against erroneous or maliciously constructed data" (its
documentation), and makes code objects.  Source of the format: w_object in Python/marshal.c.
"""

from __future__ import annotations

import struct

DEEPEST = 16
"""How deep tuples may stand in tuples; those of a boot plan stand in 6."""

MOST_DIGITS = 16
"""Of a whole number, 15 bits each: an IPv6 address has 9."""

DIGIT_BITS = 15
NUMBER, COUNT, DIGIT = struct.Struct("<i"), struct.Struct("<I"), struct.Struct("<H")
CONSTANTS = {ord("N"): None, ord("T"): True, ord("F"): False}


class PlainError(Exception):
    """Bytes that are no such values; the text says why."""


def loads(data: bytes) -> object:
    """The one value in these bytes, all of them. Raises PlainError."""
    try:
        value, end = _value(data, 0, DEEPEST)
    except (struct.error, IndexError):
        raise PlainError("they are cut short") from None
    except UnicodeDecodeError:
        raise PlainError("a text is not UTF-8") from None
    if end != len(data):
        raise PlainError("something follows after the end")
    return value


def _value(data: bytes, at: int, depth: int) -> tuple[object, int]:
    """The value that begins there, and where it ends. Raises as `loads` expects."""
    kind = data[at]
    at += 1
    if kind in CONSTANTS:
        return CONSTANTS[kind], at
    if kind == ord("i"):
        return NUMBER.unpack_from(data, at)[0], at + NUMBER.size
    if kind == ord("l"):
        return _long(data, at)
    if kind not in b"su(":
        raise PlainError(f"there is no value of kind {kind}")
    (count,) = COUNT.unpack_from(data, at)
    at += COUNT.size
    if count > len(data) - at:
        raise PlainError("they are cut short")
    if kind != ord("("):
        piece = data[at : at + count]
        return piece if kind == ord("s") else piece.decode(), at + count
    if depth == 0:
        raise PlainError("tuples stand too deep in tuples")
    items = []
    for _ in range(count):
        item, at = _value(data, at, depth - 1)
        items.append(item)
    return tuple(items), at


def _long(data: bytes, at: int) -> tuple[int, int]:
    (count,) = NUMBER.unpack_from(data, at)
    at += NUMBER.size
    if not 0 < abs(count) <= MOST_DIGITS:
        raise PlainError("a number is too long")
    value = 0
    for place in range(abs(count)):
        (digit,) = DIGIT.unpack_from(data, at + place * DIGIT.size)
        if digit >> DIGIT_BITS:
            raise PlainError("a number is written with a digit that is none")
        value |= digit << place * DIGIT_BITS
    return value if count > 0 else -value, at + abs(count) * DIGIT.size
