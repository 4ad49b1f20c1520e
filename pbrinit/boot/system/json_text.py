"""Values as JSON (RFC 8259). Python's own module for it has `re` behind it, and half the library.

In: texts, numbers, truth values, None, and lists, tuples, dictionaries
and namespaces of them.  Out: one line.
"""

from __future__ import annotations

from _json import encode_basestring_ascii
from types import SimpleNamespace

WORDS = {None: "null", True: "true", False: "false"}


def dumps(value: object) -> str:
    """The value in JSON.

    Raises TypeError for what JSON has no form for.
    """
    if value is None or isinstance(value, bool):
        return WORDS[value]
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    if isinstance(value, int | float):
        if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124  not a number
            raise TypeError(f"JSON has no {value}")
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(dumps(item) for item in value)}]"
    if isinstance(value, SimpleNamespace):
        return dumps(vars(value))
    if isinstance(value, dict):
        items = (f"{encode_basestring_ascii(key)}: {dumps(item)}" for key, item in value.items())
        return f"{{{', '.join(items)}}}"
    raise TypeError(f"JSON has no {type(value).__name__}")
