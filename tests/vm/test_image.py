"""What is built, apart from what it does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from factory.image.build import Artefacts

UKI_LIMIT = 20 * 2**20


def test_the_image_is_small(artefacts: Artefacts) -> None:
    assert artefacts.uki.stat().st_size < UKI_LIMIT


def test_the_same_policy_in_another_folder_gives_the_same_bytes(
    artefacts: Artefacts, tmp_path: Path
) -> None:
    policy = tmp_path / "host.toml"
    shutil.copyfile("examples/host.toml", policy)
    output = tmp_path / "made"
    subprocess.run(
        [sys.executable, "-m", "factory", "image", "--output", output, policy], check=True
    )
    for made in vars(artefacts).values():
        assert (output / made.name).read_bytes() == made.read_bytes(), made.name


def test_every_example_makes_an_image(tmp_path: Path) -> None:
    for policy in sorted(Path("examples").glob("*.toml")):
        output = tmp_path / policy.stem
        subprocess.run(
            [sys.executable, "-m", "factory", "image", "--output", output, policy], check=True
        )
        assert (output / "pbrinit.efi").stat().st_size < UKI_LIMIT
