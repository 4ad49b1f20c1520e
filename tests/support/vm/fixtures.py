"""Fixtures of all tests that boot the image; a folder's conftest imports those that it uses."""

from __future__ import annotations

import pytest

from factory.image.build import Artefacts
from factory.vm.qemu import Accelerator, accelerator
from tests.support.vm.built_image import IMAGE, PC_IMAGE, artefacts_in


@pytest.fixture(scope="session")
def artefacts() -> Artefacts:
    """The image that `make test` built before the tests."""
    return artefacts_in(IMAGE)


@pytest.fixture(scope="session")
def pc_artefacts() -> Artefacts:
    """The image of the variant for real machines."""
    return artefacts_in(PC_IMAGE)


@pytest.fixture(scope="session")
def accelerated() -> Accelerator:
    """The accelerator of this machine."""
    return accelerator()
