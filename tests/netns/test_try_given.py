"""A policy is tried on a machine to which both addresses are given, and these change meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from tests.support.namespaces import in_namespace, run_guard, run_trial
from tests.support.namespaces.in_namespace import Probe
from tests.support.namespaces.lab import Lab, wait_until
from tests.support.namespaces.ra_router import own_address, router_address

EXAMPLE = Path("examples/autoconf.toml")
IMAGE = EXAMPLE.read_text()
OTHER = IMAGE.replace('ssh  = "tcp/22"', 'ssh  = "tcp/2222"')
LISTED = OTHER.replace("mgmt = [", 'more = { file = "more.txt" }\nmgmt = [')
LISTED += '[[deny]]\nfrom = "more"\n'
ABROAD = 'more = { file = "/run/image/more.txt" }'
OLD, NEW = 22, 2222
FIRST, SECOND = "192.0.2.77", "192.0.2.90"
DIFFER = "the interfaces whose address is given to them differ: that takes a reboot"
MGMT = {4: "198.51.100.9", 6: "2001:db8:5::9"}
SECONDS = 6


def lease(address: str) -> str:
    return f"{address}/24,192.0.2.1,192.0.2.1"


def advertised(lab: Lab) -> str:
    return f"{own_address(lab)}/64,{router_address(lab)}"


@pytest.fixture
def holding() -> Iterator[Lab]:
    """A machine with both addresses and its guard, where two ports are served; and a peer."""
    plan = encode(load(EXAMPLE), "autoconf")
    with Lab(["192.0.2.1/24", "2001:db8::1/64"], MGMT.values()) as lab:
        assert lab.machine.do(in_namespace.enforce, plan) == []
        lab.machine.do(run_guard.start, plan)
        lab.machine.do(run_trial.set_image, plan, IMAGE)
        for port in (OLD, NEW):
            lab.machine.do(in_namespace.serve, "tcp", port)
        assert lab.machine.do(run_trial.give_addresses, lease(FIRST), advertised(lab))[0] == 0
        lab.machine.do(in_namespace.wait_for_addresses)
        yield lab
        assert lab.machine.do(run_guard.is_alive)
        lab.machine.do(run_guard.stop)


def reached(lab: Lab, *addresses: str) -> dict[int, set[str]]:
    """Which of these addresses the management network reaches, by port."""
    found: dict[int, set[str]] = {OLD: set(), NEW: set()}
    for address in addresses:
        source = MGMT[6 if ":" in address else 4]
        for port, those in found.items():
            asked = Probe("tcp", address, port, source=(source, 0))
            if lab.peer.do(in_namespace.send_probe, asked) == "answered":
                those.add(address)
    return found


def test_a_policy_on_trial_has_what_is_given_and_the_one_before_comes_back(holding: Lab) -> None:
    both = {FIRST, own_address(holding)}
    ask = partial(reached, holding, *both)
    assert ask() == {OLD: both, NEW: set()}
    code, told = holding.machine.do(run_trial.attempt, "other", OTHER, SECONDS)
    assert code == 0, told
    assert ask() == {OLD: set(), NEW: both}
    assert wait_until(lambda: ask() == {OLD: both, NEW: set()}, SECONDS + 4)
    holding.machine.do(run_trial.give_addresses, lease(FIRST))
    assert ask() == {OLD: {FIRST}, NEW: set()}


def test_an_address_that_changes_ends_a_trial(holding: Lab) -> None:
    assert holding.machine.do(run_trial.attempt, "other", OTHER, 60)[0] == 0
    code, told = holding.machine.do(run_trial.give_addresses, lease(SECOND), advertised(holding))
    assert code == 0, told
    ask = partial(reached, holding, FIRST, SECOND, own_address(holding))
    assert ask() == {OLD: {SECOND, own_address(holding)}, NEW: set()}
    assert holding.machine.do(run_trial.confirm) == (False, "no policy is on trial")
    said = holding.machine.do(run_guard.record).lines
    assert [line for line in said if 'policy "other" is on trial no more' in line]
    assert ask() == {OLD: {SECOND, own_address(holding)}, NEW: set()}


def test_a_lease_whose_router_is_beyond_its_prefix_is_put_in_force(holding: Lab) -> None:
    """The kernel has to answer ARP of the router then, and of nobody but the prefix after it."""
    setting = "/proc/sys/net/ipv4/conf/eth0/arp_ignore"
    beyond = f"{FIRST}/32,172.31.1.1,172.31.1.1,172.31.1.1/32="
    for words, answers in ((beyond, "1"), (lease(FIRST), "2")):
        code, told = holding.machine.do(run_trial.give_addresses, words)
        assert code == 0, told
        assert holding.machine.run("cat", setting).strip() == answers


def test_a_policy_that_was_confirmed_is_kept_when_addresses_change(holding: Lab) -> None:
    """Also where what it was read from is gone, lists beside it too."""
    beside = run_trial.FOLDER / "more.txt"
    holding.machine.do(Path.write_text, beside, "203.0.113.0/24\n")
    code, told = holding.machine.do(run_trial.attempt, "other", LISTED, 60)
    assert code == 0, told
    holding.machine.do(Path.unlink, beside)
    assert holding.machine.do(run_trial.confirm)[0]
    six = own_address(holding)
    for words, here in (
        ((lease(SECOND), advertised(holding)), {SECOND, six}),
        ((lease(SECOND),), {SECOND}),
        ((), set()),
        ((advertised(holding),), {six}),
    ):
        code, told = holding.machine.do(run_trial.give_addresses, *words)
        assert code == 0, told
        holding.machine.do(in_namespace.wait_for_addresses)
        assert reached(holding, FIRST, SECOND, six) == {OLD: set(), NEW: here}
    code, told = holding.machine.do(run_trial.attempt, "image", IMAGE, 60)
    assert code == 0, told
    assert reached(holding, six) == {OLD: {six}, NEW: set()}


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('["dhcp", "ra"]', '["dhcp"]', DIFFER),
        (
            '["dhcp", "ra"]',
            '["192.0.2.77/24", "ra"]\ngateway = "192.0.2.1"',
            DIFFER,
        ),
        ('"tcp/22"', '"tcp/99999"', "is not within 1-65534"),
        ("mgmt = [", f"{ABROAD}\nmgmt = [", "/run/image/more.txt is not beside the policy"),
    ],
)
def test_what_cannot_be_tried_changes_nothing(holding: Lab, old: str, new: str, why: str) -> None:
    holding.machine.do(Path.write_text, run_trial.FOLDER / "more.txt", "203.0.113.0/24\n")
    code, told = holding.machine.do(run_trial.attempt, "other", IMAGE.replace(old, new), 60)
    assert code != 0
    assert why in told
    both = {FIRST, own_address(holding)}
    assert reached(holding, *both) == {OLD: both, NEW: set()}
