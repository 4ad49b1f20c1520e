"""UEFI firmware for guests: what this host has, by QEMU's descriptors.

In: the directories of the descriptors.  Out: the `Firmware` that boots a plain PC.
Format: QEMU docs/interop/firmware.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# QEMU's order, the last wins where two files have one name (QEMU docs/interop/firmware.json).
DIRECTORIES = (Path("/usr/share/qemu/firmware"), Path("/etc/qemu/firmware"))


@dataclass(frozen=True)
class Firmware:
    """A UEFI build in flash: its code, the template of its variables, their file formats."""

    code: Path
    code_format: str
    template: Path
    template_format: str


def chosen(descriptors: Iterable[dict[str, Any]]) -> Firmware | None:
    """The first of QEMU's firmware descriptors that boots a plain q35 machine.

    Without SMM, which needs more of the machine, and without enrolled keys, which refuse an
    image that is not signed.
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
    """The descriptors that are installed, in QEMU's order."""
    files: dict[str, Path] = {}
    for directory in directories:
        files |= {file.name: file for file in directory.glob("*.json")}
    # An empty file hides the one of the same name before it.
    return [
        json.loads(file.read_text()) for _, file in sorted(files.items()) if file.stat().st_size
    ]
