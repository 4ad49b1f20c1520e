"""What holds for every test: no time limit by hypothesis, and how workers share the tests.

A busy machine would break the one. The other is for `python -m tests`: `pytest FILE` has no
workers.
"""

from __future__ import annotations

import pytest
from hypothesis import settings
from xdist.remote import Producer

from tests.support import units

settings.register_profile("pbrinit", deadline=None)
settings.load_profile("pbrinit")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the longest units first, on every worker alike; the order within a unit stays."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: units.place(units.unit(item.nodeid)))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> units.Scheduling:
    """Hand out whole units."""
    return units.Scheduling(config, log)
