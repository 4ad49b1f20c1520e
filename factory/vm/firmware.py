"""UEFI firmware for guests, found by QEMU's firmware descriptors.

In: the directories of the descriptors.  Out: the `Firmware` that boots a plain PC.
Format: QEMU docs/interop/firmware.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# In QEMU's order; the last of two files with the same name counts (QEMU
# docs/interop/firmware.json).
DIRECTORIES = (Path("/usr/share/qemu/firmware"), Path("/etc/qemu/firmware"))


@dataclass(frozen=True)
class Firmware:
    """A UEFI firmware in flash: its code, the template of its variables, and their file formats."""

    code: Path
    code_format: str
    template: Path
    template_format: str


def choose(descriptors: Iterable[dict[str, Any]]) -> Firmware | None:
    """The first of QEMU's firmware descriptors that boots a plain q35 machine.

    It must not need SMM, for which the machine would need other options, nor have enrolled keys,
    with which it refuses an image that is not signed. None where there is no such firmware.
    """
    for descriptor in descriptors:
        mapping = descriptor["mapping"]
        machines = {
            name
            for target in descriptor["targets"]
            if target["architecture"] == "x86_64"
            for name in target["machines"]
        }
        if (
            "uefi" in descriptor["interface-types"]
            and mapping["device"] == "flash"
            and mapping.get("mode", "split") == "split"
            and any(name.startswith("pc-q35-") for name in machines)
            and not {"requires-smm", "enrolled-keys"} & set(descriptor["features"])
        ):
            code, template = mapping["executable"], mapping["nvram-template"]
            return Firmware(
                Path(code["filename"]),
                code["format"],
                Path(template["filename"]),
                template["format"],
            )
    return None


def descriptors(directories: Iterable[Path] = DIRECTORIES) -> list[dict[str, Any]]:
    """The installed descriptors, in QEMU's order."""
    files: dict[str, Path] = {}
    for directory in directories:
        files |= {file.name: file for file in directory.glob("*.json")}
    # An empty file disables the one of the same name before it.
    return [
        json.loads(file.read_text()) for _, file in sorted(files.items()) if file.stat().st_size
    ]
