"""Fixtures of every room that boots the image: a room's conftest imports those that it uses."""

from __future__ import annotations

import pytest

from factory.image.build import Artefacts
from factory.vm.qemu import Accelerator, accelerator
from tests.support.vm.built_image import IMAGE, PC_IMAGE, artefacts_in


@pytest.fixture(scope="session")
def artefacts() -> Artefacts:
    """What `make test` built before it started us."""
    return artefacts_in(IMAGE)


@pytest.fixture(scope="session")
def pc_artefacts() -> Artefacts:
    """The same of the variant for real machines."""
    return artefacts_in(PC_IMAGE)


@pytest.fixture(scope="session")
def accelerated() -> Accelerator:
    """How guests are run here."""
    return accelerator()
