"""Which tests stay together on one worker, and which begin first.

In: the id of a test.  Out: the name of its unit, and that unit's place in the order.

A unit is a file: its guests and namespaces are made once, and its tests may build on each other.
Files that use a guest of the whole session are one unit: else each worker would boot that guest
again, and all of them would write the same log.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

TOGETHER = {
    "the host": ("tests/vm/test_host.py", "tests/vm/test_surface.py"),
    "the gate under fire": tuple(
        f"tests/adversary/test_{name}.py"
        for name in ("every_port", "host_calls", "host_inside", "host_link", "host_wire")
    ),
    "the scanned gate and router": (
        "tests/scanners/test_scanners.py", "tests/scanners/test_tools.py",
    ),
}  # fmt: skip
LONGEST: tuple[str, ...] = (
    "the gate under fire",
    "tests/vm/test_rooms.py",
    "tests/vm/test_ra.py",
    "tests/vm/test_selftest.py",
    "tests/vm/test_faults.py",
    "tests/vm/test_image.py",
    "tests/vm/test_try.py",
    "tests/adversary/test_rooms.py",
    "tests/vm/test_dhcp.py",
    "tests/adversary/test_router_wire.py",
    "the scanned gate and router",
    "tests/vm/test_examples.py",
    "tests/vm/test_console.py",
    "tests/netns/test_ra.py",
    "tests/netns/test_dhcp.py",
)
"""Units that take longer than a minute, in the order of their length when last measured. The run
ends soon after the last of them: they begin first. A wrong order costs time, nothing else.
"""

_UNITS = {file: unit for unit, files in TOGETHER.items() for file in files}


TIMED = ("tests/adversary/test_shares.py",)
"""Files that hold a guest to times, which run when nothing else does. Each of their tests has a
guest of its own, and is a unit of its own.
"""


def unit(test: str) -> str:
    """The unit of the test with this id."""
    file = test.partition("::")[0]
    return test if file in TIMED else _UNITS.get(file, file)


def place(unit: str) -> int:
    """How many of LONGEST begin before this unit."""
    return LONGEST.index(unit) if unit in LONGEST else len(LONGEST)


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # it comes without types
    """pytest-xdist's scheduling by scope, where a scope is a unit, in the order of the tests."""

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)
