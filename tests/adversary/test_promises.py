"""docs/security.md says what is tested, and how often: no more and no less."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from tests.adversary import promises
from tests.adversary.tables import host_groups, host_inside, host_raw
from tests.support.host_example import NEIGHBOUR

SECURITY = Path("docs/security.md").read_text()
WAYS_OUT = Path("docs/ways-out.md").read_text()


def test_the_table_of_promises_is_what_the_probes_are() -> None:
    assert promises.table() in SECURITY, "python -m tests.adversary.promises prints the right one"


def test_every_table_of_probes_is_for_a_promise() -> None:
    files = [
        *Path("tests/adversary/tables").glob("*.py"),
        *Path("tests/support/attack").glob("*.py"),
    ]
    modules = (importlib.import_module(".".join(path.with_suffix("").parts)) for path in files)
    tables = {table for module in modules for table in getattr(module, "TABLES", ())}
    assert {probes for _, probes in promises.PROMISES} == tables


def test_the_ways_out_name_probes_that_are_there() -> None:
    tables = {f"{table.__module__.rpartition('.')[2]}.{table.__name__}"
              for _, table in promises.PROMISES}  # fmt: skip
    named = set(re.findall(r"`((?:host|router)_\w+\.\w+)`", WAYS_OUT))
    assert named
    assert named <= tables


def test_security_counts_the_ways_out() -> None:
    listed = re.findall(r"^## \d+\. ", WAYS_OUT, re.MULTILINE)
    assert f"{len(listed)} ways out" in SECURITY


def test_what_leaves_is_among_the_ways_out() -> None:
    """Every act in a line that names what leaves, but for those that are allowed, is documented."""
    leaving = {
        act.leaves.split(" ")[0] + " " + act.leaves.rpartition("> ")[2].partition(":")[0]
        for module in (host_inside, host_raw, host_groups)
        for table in module.TABLES
        for act in table()
        if act.leaves and act.kind != "allowed"
    }
    known = {
        *(f"udp {group}" for group in ("224.0.0.1", "224.0.0.251", "239.1.1.1")),
        "udp 255.255.255.255",
        f"protocol {NEIGHBOUR[4]}",
    }
    assert leaving == known
    for word in ("224.0.0.0/24", "239.1.1.1", "255.255.255.255", "IGMP"):
        assert word in WAYS_OUT
