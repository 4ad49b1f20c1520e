"""What every plan has, whatever the policy."""

from __future__ import annotations

import itertools
import math
from ipaddress import ip_address
from pathlib import Path

import pytest

from pbrinit.cli.build import load
from pbrinit.compiler.compile import compile_policy
from pbrinit.compiler.layout import FEW
from pbrinit.model.fib import Fib, Flow, Lookup
from pbrinit.net.addresses import Family, family_of
from pbrinit.plan.plan import Action, Plan, Rule
from pbrinit.policy.reader.reader import read_policy

EXAMPLES = sorted(Path("examples").glob("*.toml"))


@pytest.fixture(scope="module", params=EXAMPLES, ids=lambda path: path.stem)
def plan(request: pytest.FixtureRequest) -> Plan:
    """The plan of each example."""
    return load(request.param)


def of(plan: Plan, family: Family) -> list[Rule]:
    """The rules of one family, in the order in which the kernel asks them."""
    return sorted((r for r in plan.rules if r.family is family), key=lambda r: r.preference)


def test_the_same_policy_makes_the_same_plan() -> None:
    assert compile_policy(read_policy(EXAMPLES[0])) == compile_policy(read_policy(EXAMPLES[0]))


@pytest.mark.parametrize("family", Family)
def test_no_two_rules_have_one_preference(plan: Plan, family: Family) -> None:
    preferences = [rule.preference for rule in of(plan, family)]
    assert len(preferences) == len(set(preferences))


@pytest.mark.parametrize("family", Family)
def test_a_goto_leads_forward_to_a_rule_that_is_there(plan: Plan, family: Family) -> None:
    places = {rule.preference for rule in of(plan, family)}
    for rule in of(plan, family):
        if rule.action is Action.GOTO:
            assert rule.argument in places
            assert rule.argument > rule.preference


@pytest.mark.parametrize("family", Family)
def test_what_no_rule_names_meets_a_rule_that_refuses_everything(
    plan: Plan, family: Family
) -> None:
    last = of(plan, family)[-1]
    dispatch_end = of(plan, family)[1 + len(plan.links) - 1]
    for rule in (last, dispatch_end):
        assert rule.action is Action.BLACKHOLE
        assert (rule.iif, rule.source, rule.destination, rule.protocol) == (None,) * 4


@pytest.mark.parametrize("family", Family)
def test_the_kernel_looks_into_packets_for_ports(plan: Plan, family: Family) -> None:
    """Without such a rule the return path would not see ports (fib_rule_requires_fldissect)."""
    assert any(rule.protocol and rule.iif != "lo" for rule in of(plan, family))


def test_what_is_sent_asks_the_local_table_for_single_addresses_alone(plan: Plan) -> None:
    """`lookup local` with a wide destination would let broadcasts out."""
    for rule in plan.rules:
        local = rule.argument == 255 and rule.action is Action.LOOKUP
        if local and rule.iif == "lo" and rule.family is Family.V4:
            assert rule.destination is not None
            assert rule.destination.is_loopback or rule.destination.prefixlen == 32


@pytest.mark.parametrize("family", Family)
def test_a_rule_names_addresses_of_its_own_family_alone(plan: Plan, family: Family) -> None:
    """The kernel refuses any other, and the machine would stay closed."""
    for rule in of(plan, family):
        for prefix in (rule.source, rule.destination):
            assert prefix is None or family_of(prefix) is family


@pytest.mark.parametrize("family", Family)
def test_no_rule_is_out_of_reach(plan: Plan, family: Family) -> None:
    rules = of(plan, family)
    led_to = {rule.argument for rule in rules if rule.action is Action.GOTO}
    for before, rule in itertools.pairwise(rules):
        always = Rule(family, before.preference, before.action, before.argument, note=before.note)
        ends = before.action in (Action.GOTO, Action.BLACKHOLE, Action.PROHIBIT)
        assert rule.preference in led_to or not (ends and before == always)


def test_a_prefix_that_is_everything_is_no_selector(tmp_path: Path) -> None:
    """The kernel would not tell it back, and the machine would stay closed."""
    policy = tmp_path / "any.toml"
    text = Path("examples/host.toml").read_text().partition("[[expect]]")[0]
    policy.write_text(text.replace('"198.51.100.0/24", "2001:db8:5::/48"', '"0.0.0.0/0", "::/0"'))
    for rule in load(policy).rules:
        for prefix in (rule.source, rule.destination):
            assert prefix is None or prefix.prefixlen > 0


def asked(fib: Fib, places: dict[int, int], flow: Flow) -> int:
    """How many rules the kernel looks at for one look-up; `places` are those of preferences."""
    start = count = 0
    for step in fib.look_up(Lookup.INPUT, flow).steps:
        at = places[step.rule.preference]
        count += at - start + 1
        led = step.rule.action is Action.GOTO and step.rule.argument is not None
        start = places[step.rule.argument or 0] if led else at + 1
    return count


@pytest.mark.parametrize("services", [10, 100, 1000])
def test_the_cost_grows_with_the_logarithm_of_the_number_of_services(
    tmp_path: Path, services: int
) -> None:
    path = tmp_path / "many.toml"
    names = [f"s{number}" for number in range(services)]
    path.write_text(
        'hostname = "many"\n[interface.wan]\ndevice = "eth0"\naddress = "192.0.2.2/24"\n'
        'gateway = "192.0.2.1"\n[network]\n'
        + "".join(f'n{n} = "198.51.100.{n}"\n' for n in range(10))
        + "[service]\n"
        + "".join(f'{name} = "tcp/{20 * n + 1}"\n' for n, name in enumerate(names))
        + "".join(
            f'[[input]]\nservice = "{name}"\nfrom = "n{n % 10}"\n' for n, name in enumerate(names)
        )
    )
    plan = load(path)
    fib = Fib(plan, {})
    places = {rule.preference: at for at, rule in enumerate(of(plan, Family.V4))}
    source, own = ip_address("198.51.100.3"), ip_address("192.0.2.2")
    most = max(
        asked(fib, places, Flow(Family.V4, "eth0", source, own, 6, 50000, port))
        for port in range(1, 20 * services, 7)
    )
    assert most <= 20 + FEW * (1 + math.log(services, FEW))


def crowded(count: int) -> str:
    """A policy in which so many services are asked, and as many answered, each by its own user."""
    numbers = range(count)
    return (
        'hostname = "crowded"\n[interface.wan]\ndevice = "eth0"\naddress = "192.0.2.2/24"\n'
        'gateway = "192.0.2.1"\n[user]\n'
        + "".join(f"u{n} = {2000 + n}\n" for n in numbers)
        + "[service]\n"
        + "".join(f'i{n} = "tcp/{1000 + 3 * n}"\no{n} = "tcp/{5000 + 3 * n}"\n' for n in numbers)
        + "".join(
            f'[[input]]\nservice = "i{n}"\nuser = "u{n}"\n'
            f'[[output]]\nservice = "o{n}"\nuser = "u{n}"\n'
            for n in numbers
        )
    )


def test_rules_grow_with_the_services_asked_and_answered_not_with_their_product(
    tmp_path: Path,
) -> None:
    path = tmp_path / "crowded.toml"
    sizes = []
    for count in (10, 20, 30):
        path.write_text(crowded(count))
        sizes.append(len(load(path).rules))
    assert sizes[2] - sizes[1] <= 1.2 * (sizes[1] - sizes[0])
