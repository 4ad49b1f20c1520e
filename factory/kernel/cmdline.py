"""The kernel's command line, each parameter with its reason.

In: `cmdline.toml` and a variant.  Out: its Parameters in order.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Parameter:
    """One parameter of the command line, and the reason for it."""

    text: str
    reason: str


def read(variant: str) -> tuple[Parameter, ...]:
    """The parameters of a variant, in order."""
    entries = tomllib.loads(Path(__file__).with_name("cmdline.toml").read_text())["option"]
    return tuple(
        Parameter(entry["text"], entry["reason"])
        for entry in entries
        if entry.get("variant", variant) == variant
    )


def line(parameters: Iterable[Parameter]) -> str:
    """The command line as the kernel gets it."""
    return " ".join(parameter.text for parameter in parameters)
