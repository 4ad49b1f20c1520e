"""Documents that are nearly right: one that is, with some values and keys changed.

In: a document as tomllib makes it.  Out: a strategy that draws changed ones, and their text.
"""

from __future__ import annotations

import copy
import datetime
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

KEYS = st.sampled_from(
    ["hostname", "interface", "network", "service", "user", "input", "output", "forward", "deny",
     "expect", "device", "mac", "address", "gateway", "file", "on", "in", "out", "from", "to",
     "clients", "reject", "log", "never", "always", "any", "x", "X", "a b", "", "é", "a" * 33,
     "run"]
)  # fmt: skip
LEAVES = st.one_of(
    st.text(max_size=8),
    st.integers(-3, 2**32),
    st.integers(min_value=2**32 - 3),
    st.floats(),
    st.booleans(),
    st.dates(),
    st.times(),
    st.datetimes(timezones=st.just(datetime.UTC)),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(st.sampled_from(["a", "b"]), max_size=3)
        | st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=6,
)


def _places(value: Any) -> Iterator[Any]:
    """The tables and lists in a document, itself included."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _places(inner)
    elif isinstance(value, list):
        yield value
        for inner in value:
            yield from _places(inner)


@st.composite
def changed(draw: st.DrawFn, original: dict[str, Any]) -> dict[str, Any]:
    """The document with up to three things in it changed, removed or put in."""
    found = copy.deepcopy(original)
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from(list(_places(found))))
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        act = draw(st.sampled_from(["change", "remove", "put in"]))
        if act == "put in" or not keys:
            if isinstance(place, dict):
                place[draw(KEYS)] = draw(VALUES)
            else:
                place.append(draw(VALUES))
        elif act == "remove":
            del place[draw(st.sampled_from(keys))]
        else:
            place[draw(st.sampled_from(keys))] = draw(VALUES)
    return found


def toml(value: Any) -> str:
    """A value as TOML (v1.0.0), tables inline."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case datetime.date() | datetime.time():
            return value.isoformat()
        case list():
            return f"[{', '.join(toml(inner) for inner in value)}]"
        case dict():
            pairs = (f"{toml(key)} = {toml(inner)}" for key, inner in value.items())
            return f"{{ {', '.join(pairs)} }}"
        case _:
            return str(value)


def document(table: dict[str, Any]) -> str:
    """A whole document as TOML."""
    return "".join(f"{toml(key)} = {toml(value)}\n" for key, value in table.items())
