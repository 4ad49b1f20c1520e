"""The kernel's command line, each word with its reason.

In: `cmdline.toml` and a variant.  Out: Parameters in order.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Parameter:
    """One word of the command line."""

    text: str
    reason: str


def read(variant: str) -> tuple[Parameter, ...]:
    """The command line of a variant, in its order."""
    entries = tomllib.loads(Path(__file__).with_name("cmdline.toml").read_text())["option"]
    return tuple(
        Parameter(entry["text"], entry["reason"])
        for entry in entries
        if entry.get("variant", variant) == variant
    )


def line(parameters: Iterable[Parameter]) -> str:
    """As the kernel is given it."""
    return " ".join(parameter.text for parameter in parameters)
