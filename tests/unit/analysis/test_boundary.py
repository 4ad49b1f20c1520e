"""What is asked about a plan on the appliance, where nothing can be proved, is not nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from pbrinit.analysis import boundary
from pbrinit.cli.appliance.candidate import Candidate, Situation
from pbrinit.cli.build import load, loaded
from pbrinit.plan.encode import encode
from pbrinit.policy.policy import Policy
from pbrinit.policy.problems import PolicyError

HOST = encode(load(Path("examples/host.toml")), "host")
EXAMPLES = ("host", "router", "kiosk", "bastion")
OTHER = {
    "another port": ("host", '"tcp/22"', '"tcp/23"'),
    "one port more": ("host", '"tcp/22"', '"tcp/22-23"'),
    "half of a network": ("host", "198.51.100.0/24", "198.51.100.0/25"),
    "a wider network of IPv6": ("host", "2001:db8:5::/48", "2001:db8:4::/47"),
    "another user": ("host", "updater = 1001", "updater = 1002"),
    "another address": ("host", "192.0.2.2/24", "192.0.2.3/24"),
    "another who is not denied": ("router", '"not mailer"', '"not server"'),
    "no word to who is denied": ("router", "reject  = true", "reject  = false"),
    "clients with other ports": ("router", 'clients = "1024-65534"', 'clients = "1024-65533"'),
    "another host behind it": ("router", "203.0.113.80/32", "203.0.113.81/32"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_is_what_it_means_at_all_its_corners(name: str) -> None:
    found = boundary.check(*loaded(Path(f"examples/{name}.toml")))
    assert found.wrong == ()
    assert found.count > 1000


@pytest.mark.parametrize("difference", OTHER)
def test_the_plan_of_another_policy_is_found_out(tmp_path: Path, difference: str) -> None:
    name, old, new = OTHER[difference]
    text = Path(f"examples/{name}.toml").read_text()
    assert old in text
    path = tmp_path / "other.toml"
    path.write_text(text.replace(old, new))
    policy, _ = loaded(Path(f"examples/{name}.toml"))
    assert boundary.check(policy, load(path)).wrong


def test_a_policy_that_breaks_its_own_expectation_is_no_candidate(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    text = Path("examples/host.toml").read_text()
    path.write_text(f'{text}\n[[expect]]\nnever = {{ on = "wan", service = "ssh" }}\n')
    with pytest.raises(PolicyError) as told:
        Candidate.read(path, Situation.of(HOST))
    assert "expect[" in str(told.value)


def test_a_plan_that_is_not_its_policy_is_no_candidate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = load(Path("examples/kiosk.toml"))

    def miscompile(_: Policy) -> object:
        return other

    monkeypatch.setattr("pbrinit.cli.build.compile_policy", miscompile)
    path = tmp_path / "host.toml"
    path.write_text(Path("examples/host.toml").read_text())
    with pytest.raises(PolicyError, match="and it should be"):
        Candidate.read(path, Situation.of(HOST))
