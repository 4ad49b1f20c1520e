"""The shipped image under fire, booted once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from factory.image.build import Artefacts
from factory.vm.qemu import Accelerator
from tests.support.attack import images
from tests.support.attack.range import AttackRange
from tests.support.vm.fixtures import accelerated, artefacts

__all__ = ["accelerated", "artefacts"]


@pytest.fixture(scope="session")
def gate(artefacts: Artefacts, accelerated: Accelerator) -> Iterator[AttackRange]:
    """The image with examples/host.toml."""
    with images.gate("gate", artefacts, accelerated) as attack_range:
        yield attack_range


@pytest.fixture(scope="session")
def router(artefacts: Artefacts, accelerated: Accelerator) -> Iterator[AttackRange]:
    """The image with examples/router.toml and two cards."""
    with images.router(artefacts, accelerated) as attack_range:
        yield attack_range
