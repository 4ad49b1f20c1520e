"""A policy with a lease is held to the one with the same address written into its file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest

from pbrinit.analysis.assumed import assignment
from pbrinit.analysis.claim import Flaw
from pbrinit.cli.main import main
from pbrinit.net.addresses import AddressSet, Family
from pbrinit.net.services import Ports
from pbrinit.policy import assigned
from pbrinit.policy.assigned import assignment_states
from pbrinit.policy.interfaces import StaticRoute
from pbrinit.policy.policy import Policy
from pbrinit.policy.programs import User
from pbrinit.policy.reader.reader import read_policy
from tests.support.policy_text import by_dhcp, written

ENTRIES = """
[[input]]
from = "mgmt"
service = "ssh"
[[output]]
service = "web"
[[deny]]
from = "bad"
[[deny]]
to = "bad"
[[expect]]
never = { on = "wan", from = "bad", service = "ssh" }
[[expect]]
never = { on = "wan", from = "any", service = "web" }
"""
WRITTEN = by_dhcp(written(ENTRIES))
LEASED = dict(assignment_states(WRITTEN))
(LEASE,) = (policy for state, policy in LEASED.items() if state.startswith("with a"))


def flaws(found: Policy) -> list[Flaw]:
    return [flaw for claim in assignment.claims(WRITTEN, found) for flaw in claim.flaws]


def renewal(**change: Any) -> Policy:
    *others, last = LEASE.allows
    return replace(LEASE, allows=(*others, replace(last, **change)))


LEASED_WAN = LEASE.interfaces[0]
LOST: dict[str, Callable[[], Policy]] = {
    "the first deny": lambda: replace(LEASE, denies=LEASE.denies[1:]),
    "the last deny": lambda: replace(LEASE, denies=LEASE.denies[:-1]),
    "every deny": lambda: replace(LEASE, denies=()),
    "a deny that does not know of the lease": lambda: replace(LEASE, denies=WRITTEN.denies),
    "the first expectation": lambda: replace(LEASE, expectations=LEASE.expectations[1:]),
    "an expectation that does not know of the lease": lambda: replace(
        LEASE, expectations=WRITTEN.expectations),
    "the first entry": lambda: replace(LEASE, allows=LEASE.allows[1:]),
    "an entry that does not know of the lease": lambda: replace(
        LEASE, allows=(WRITTEN.allows[0], *LEASE.allows[1:])),
    "the renewal": lambda: replace(LEASE, allows=LEASE.allows[:-1]),
    "an entry more": lambda: replace(LEASE, allows=(*LEASE.allows, LEASE.allows[0])),
    "the renewal's user": lambda: renewal(user=None),
    "another user's renewal": lambda: renewal(user=User("x", 7)),
    "the renewal's client port": lambda: renewal(client_ports=Ports(1024, 65534)),
    "the renewal's server": lambda: renewal(destinations=replace(
        LEASE.allows[-1].destinations, four=AddressSet.everything(Family.V4))),
    "the renewal's service": lambda: renewal(services=WRITTEN.allows[0].services),
    "the renewal's interface": lambda: renewal(interfaces=WRITTEN.interfaces),
    "the address": lambda: replace(LEASE, interfaces=WRITTEN.interfaces),
    "another address": lambda: replace(LEASE, interfaces=(
        replace(LEASED_WAN, addresses=(ip_interface("192.0.2.78/24"),)), *LEASE.interfaces[1:])),
    "the gateway": lambda: replace(LEASE, interfaces=(
        replace(LEASED_WAN, gateways=()), *LEASE.interfaces[1:])),
    "the log": lambda: replace(LEASE, log=True),
    "a user": lambda: replace(LEASE, users=()),
    "what is assigned": lambda: replace(LEASE, assignments=()),
}  # fmt: skip


def test_nothing_is_lost_on_the_way_to_the_example() -> None:
    assert flaws(LEASE) == []
    assert flaws(WRITTEN) == []


@pytest.mark.parametrize("lost", LOST)
def test_what_is_lost_on_the_way_to_a_lease_is_found(lost: str) -> None:
    assert flaws(LOST[lost]()) != []


@pytest.mark.parametrize("path", ["examples/dhcp.toml", "examples/autoconf.toml"])
def test_every_state_of_the_examples_is_as_written(path: str) -> None:
    policy = read_policy(Path(path))
    for _, found in assignment_states(policy):
        assert [claim.flaws for claim in assignment.claims(policy, found)] == [()]


@pytest.mark.parametrize(
    "text",
    [
        "192.0.2.2/24,192.0.2.1,any",
        "192.0.2.2/24,,192.0.2.7",
        "192.0.2.2/24,192.0.2.1,192.0.2.1,203.0.113.0/25=192.0.2.9,100.64.0.0/10=192.0.2.8",
    ],
)
def test_every_form_of_a_lease_is_as_written(text: str) -> None:
    lease = assigned.parse_assignment(WRITTEN, text)
    found = assigned.with_assignments(WRITTEN, lease)
    assert flaws(found) == []
    routed = replace(found.interfaces[0], routes=(*found.interfaces[0].routes, StaticRoute(
        ip_interface("198.18.0.0/15").network, ip_interface("192.0.2.8").ip)))  # fmt: skip
    assert flaws(replace(found, interfaces=(routed, *found.interfaces[1:]))) != []


def test_a_file_with_the_address_written_in_is_read_as_the_policy_with_the_lease(
    tmp_path: Path,
) -> None:
    """Not even the form of a policy is shared by this one: it is read from a file once more."""
    example = Path("examples/dhcp.toml")
    text = example.read_text().replace('["dhcp", "2001', '["192.0.2.77/24", "2001')
    path = tmp_path / example.name
    path.write_text(text.replace('gateway = "2001', 'gateway = ["192.0.2.1", "2001').replace(
        '2001:db8::1" ', '2001:db8::1"] '))  # fmt: skip
    in_file = read_policy(path)
    *_, (_, leased) = assignment_states(read_policy(example))

    def fixed(found: Policy) -> Policy:
        (wan,) = found.interfaces
        now = assignment._substituted(found, wan, replace(wan, dynamic_families=frozenset()))
        assert isinstance(now, Policy)
        return replace(now, allows=now.allows[:-1], assignments=())

    assert fixed(leased) == in_file


def test_prove_refuses_a_lease_that_loses_a_deny(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which it proved before: both sides of the proof were made of the policy without it."""
    path = tmp_path / "leased.toml"
    path.write_text(Path("examples/dhcp.toml").read_text() + '[[deny]]\nfrom = "mgmt"\n')
    text = path.read_text().replace("[[expect]]\nalways", "[[expect]]\nnever")
    path.write_text(text)
    assert main(["prove", "--quiet", str(path)]) == 0
    original = assigned._with_assignment

    def losing(policy: Policy, lease: assigned.Assignment) -> Policy:
        found = original(policy, lease)
        return replace(found, denies=found.denies[1:], expectations=())

    monkeypatch.setattr(assigned, "_with_assignment", losing)
    capsys.readouterr()
    assert main(["prove", "--quiet", str(path)]) == 1
    assert "denies: it is another than with the address written in" in capsys.readouterr().out


def test_a_state_that_no_example_fits_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was left out in silence, and the rest was said to be proved."""
    monkeypatch.setitem(assigned.EXAMPLES, Family.V4, ("2001:db8::/64",))
    path = tmp_path / "full.toml"
    path.write_text(Path("examples/dhcp.toml").read_text())
    assert main(["prove", str(path)]) == 2
    assert "no example of a lease fits the policy" in capsys.readouterr().err
    assert main(["diff", str(path), str(path)]) == 2
    assert main(["explain", str(path), "--holes"]) == 2
    assert main(["prove", "--quiet", "--lease", "192.0.2.9/24,192.0.2.1", str(path)]) == 0
    assert "with a lease of 192.0.2.9/24" in capsys.readouterr().out
    assert main(["prove", "--lease", "2001:db8::1/64", str(path)]) == 2


def test_a_policy_that_has_taken_all_private_prefixes_still_has_an_example() -> None:
    taken = ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "10.0.0.0/8", "172.16.0.0/12",
             "192.168.0.0/16"]  # fmt: skip
    (wan, lan, *others) = WRITTEN.interfaces
    routes = tuple(StaticRoute(ip_interface(t).network, lan.addresses[0].ip + 8) for t in taken)
    policy = replace(WRITTEN, interfaces=(wan, replace(lan, routes=routes), *others))
    *_, (state, _) = assignment_states(policy)
    assert state == "with a lease of 1.77.77.77/24, gateway 1.77.77.78 from 1.77.77.78"
