"""The base of the boot path's values: attributes by keyword, equal where all are equal.

In: keywords.  Out: a value.  It does what types.SimpleNamespace does, and lets a type checker know
which attributes there are; to import dataclasses takes longer than to put the rules in force.
"""

from __future__ import annotations


class Record:
    """A value with the attributes that its class declares."""

    def __init__(self, **values: object) -> None:
        self.__dict__.update(values)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(tuple(sorted(self.__dict__.items())))

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({values})"
