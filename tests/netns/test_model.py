"""The model and this machine's kernel are of one mind, and it shows where they are not."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from ipaddress import IPv6Network
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pbrinit.cli.build import load
from pbrinit.compiler.compile import compile_policy
from pbrinit.net.addresses import Family
from pbrinit.net.services import LOCAL_EPHEMERAL_PORTS, Ports, Protocol
from pbrinit.plan.plan import LOOPBACK, Action, Plan
from pbrinit.policy.assigned import with_example_assignments
from pbrinit.policy.reader.reader import read_policy
from tests.support.generate.packets import Packets, seeded
from tests.support.generate.plan_mutants import a_rule, changed, swapped, without
from tests.support.model_vs_kernel import Host
from tests.tools import fuzz

DRAWN = 16
PACKETS = 2000
EXAMPLES = sorted(Path("examples").glob("*.toml"))


@pytest.fixture(scope="module")
def example() -> Iterator[Host]:
    """A namespace with the example plan in force."""
    host = Host(load(Path("examples/host.toml")))
    yield host
    host.close()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_kernel_decides_as_the_model_does_for_the_examples(path: Path) -> None:
    """With all that they are to be given."""
    compared, passed = asked_alike(compile_policy(with_example_assignments(read_policy(path))))
    assert compared > 4 * PACKETS
    assert passed > compared // 10


@pytest.mark.parametrize("name", ["dhcp", "autoconf"])
def test_the_kernel_decides_as_the_model_does_while_addresses_are_awaited(name: str) -> None:
    """There are fewer packets that can be sent, and hardly any that pass."""
    compared, passed = asked_alike(load(Path(f"examples/{name}.toml")))
    assert compared > 3 * PACKETS
    assert passed > 100


def asked_alike(plan: Plan) -> tuple[int, int]:
    """Model and kernel agree on what is drawn; how many packets that were, and passed."""
    host = Host(plan)
    try:
        packets = itertools.islice(Packets(host.plan, seeded("1")), 5 * PACKETS)
        compared, passed, found = host.differences(host.plan, packets)
    finally:
        host.close()
    assert not found, fuzz.told(found[0])
    return compared, passed


@settings(max_examples=DRAWN, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**64), draw=st.sampled_from(fuzz.KINDS))
def test_the_kernel_decides_as_the_model_does_for_any_policy_and_any_plan(
    seed: int, draw: fuzz.Drawn
) -> None:
    text, _, _, found = fuzz.one(str(seed), PACKETS, draw)
    assert not found, f"{text}\n{fuzz.told(found[0])}"


SSH = {"iif": "eth0", "note": "input[1]", "action": Action.LOOKUP, "family": Family.V4}
SSH_6 = {**SSH, "family": Family.V6}
PORT_6 = {"destination_ports": Ports(22, 22), "action": Action.GOTO, "family": Family.V6}
TCP_6 = {"iif": "eth0", "protocol": Protocol.TCP, "action": Action.GOTO, "family": Family.V6}
FROM_CLIENTS = {
    "protocol": Protocol.UDP,
    "source_ports": LOCAL_EPHEMERAL_PORTS,
    "action": Action.GOTO,
}
MUTANTS: dict[str, Callable[[Plan], Plan]] = {
    "input dropped": lambda plan: without(plan, **SSH),
    "IPv6 input dropped": lambda plan: without(plan, **SSH_6),
    "input refused": lambda plan: changed(plan, {"action": Action.BLACKHOLE}, **SSH),
    "any source": lambda plan: changed(plan, {"source": None}, **SSH_6),
    "wider source": lambda plan: changed(plan, {"source": IPv6Network("2001:db8:4::/47")}, **SSH_6),
    "one port more": lambda plan: changed(plan, {"destination_ports": Ports(22, 23)}, **PORT_6),
    "another protocol": lambda plan: changed(plan, {"protocol": Protocol.UDP}, **TCP_6),
    "any user": lambda plan: changed(plan, {"uid": None}, note="output[2]", uid=1001),
    "any user's port": lambda plan: changed(
        plan, {"source_ports": Ports(1, 65534)}, **FROM_CLIENTS
    ),
    "no hairpin": lambda plan: without(plan, note="from a bound socket"),
    "no return path": lambda plan: without(plan, note="output[2]", argument=100),
    "no way for answers": lambda plan: without(
        plan, note="input[1]", iif=LOOPBACK, family=Family.V6
    ),
    "our own address from outside": lambda plan: without(
        plan, note="spoofed: our own address", family=Family.V6
    ),
    "foreign source": lambda plan: without(
        plan, note="not an own source address", family=Family.V6
    ),
    "no loopback": lambda plan: without(plan, note="to this machine"),
    "dispatch swapped": lambda plan: swapped(
        plan,
        a_rule(plan, note="arrives by wan", family=Family.V4),
        a_rule(plan, note="arrives by a device that the policy does not name", family=Family.V4),
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_model_of_another_plan_is_found_out(example: Host, mutant: str) -> None:
    other = MUTANTS[mutant](example.plan)
    packets = Packets(example.plan, seeded("2"))
    asked = itertools.chain(packets.edges(), itertools.islice(packets, 5 * PACKETS))
    assert example.differences(other, asked)[2]


def test_every_edge_of_every_rule_is_where_the_model_has_it(example: Host) -> None:
    assert example.differences(example.plan, Packets(example.plan, seeded("3")).edges())[2] == []
