"""The firmware that is taken of those which QEMU's descriptors name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from factory.vm.firmware import Firmware, choose, descriptors


def descriptor(
    *,
    features: Sequence[str] = (),
    machines: Sequence[str] = ("pc-q35-*",),
    architecture: str = "x86_64",
    interface: str = "uefi",
    code: str = "/f/CODE.fd",
    **mapping: str,
) -> dict[str, Any]:
    return {
        "interface-types": [interface],
        "mapping": {
            "device": "flash",
            "executable": {"filename": code, "format": "raw"},
            "nvram-template": {"filename": "/f/VARS.fd", "format": "raw"},
            **mapping,
        },
        "targets": [{"architecture": architecture, "machines": list(machines)}],
        "features": list(features),
    }


def test_the_first_plain_firmware_is_taken() -> None:
    found = choose(
        [
            descriptor(features=["secure-boot", "enrolled-keys"], code="/f/enrolled"),
            descriptor(features=["secure-boot", "requires-smm"], code="/f/smm"),
            descriptor(architecture="aarch64", code="/f/arm"),
            descriptor(machines=["pc-i440fx-*"], code="/f/i440fx"),
            descriptor(interface="bios", code="/f/bios"),
            descriptor(mode="combined", code="/f/combined"),
            descriptor(features=["acpi-s3"], code="/f/plain"),
            descriptor(code="/f/second"),
        ]
    )
    assert found == Firmware(Path("/f/plain"), "raw", Path("/f/VARS.fd"), "raw")


def test_firmware_without_variables_of_its_own_is_passed_over() -> None:
    stateless = descriptor(mode="stateless")
    del stateless["mapping"]["nvram-template"]
    in_memory = {**descriptor(), "mapping": {"device": "memory", "filename": "/f/OVMF.fd"}}
    assert choose([stateless, in_memory]) is None


def test_the_last_of_two_descriptors_of_one_name_counts_and_an_empty_one_hides(
    tmp_path: Path,
) -> None:
    system, local = tmp_path / "system", tmp_path / "local"
    for folder, texts in ((system, "abc"), (local, "a")):
        folder.mkdir()
        for name in texts:
            (folder / f"{name}.json").write_text(json.dumps({"in": folder.name, "name": name}))
    (local / "b.json").write_text("")
    assert descriptors([system, local]) == [
        {"in": "local", "name": "a"},
        {"in": "system", "name": "c"},
    ]
