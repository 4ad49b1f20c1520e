"""What `pbrctl show` prints, typed by a person, puts the same plan in force."""

from __future__ import annotations

from pathlib import Path

import pytest

from pbrinit import show
from pbrinit.cli import load
from pbrinit.netlink import encode
from tests.kernel import acts
from tests.kernel.lab import Lab, Namespace

EXAMPLES = sorted(Path("examples").glob("*.toml"))


@pytest.mark.parametrize("policy", EXAMPLES, ids=lambda path: path.stem)
def test_the_commands_typed_give_the_same_rules_routes_and_addresses(policy: Path) -> None:
    plan = load(policy)
    boot_plan = encode(plan, policy.stem)
    by_boot, by_hand = Lab([], []), Lab([], [])
    with by_boot, by_hand:
        for lab in (by_boot, by_hand):
            for link in plan.links[2:]:
                lab.connect(link.device, [], [])
        by_boot.machine.do(acts.enforce, boot_plan)
        typed = "\n".join(show.commands(plan))
        by_hand.machine.run("unshare", "--uts", "sh", "-euc", typed)
        by_hand.machine.do(acts.settle)
        assert by_hand.machine.do(acts.differences, boot_plan) == []
        assert told(by_hand.machine) == told(by_boot.machine)


def told(machine: Namespace) -> list[str]:
    """Rules, our routes and addresses, as `ip` tells them."""
    return [
        machine.run("ip", family, *what)
        for family in ("-4", "-6")
        for what in (
            ("rule", "show"),
            ("route", "show", "table", "all", "proto", "static"),
            ("-oneline", "address", "show", "scope", "global"),
        )
    ]
