"""A device that is found by its MAC address gets its name, whoever has that name before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pbrinit.boot.network.links import LinkError
from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from pbrinit.wire.bootplan import BootPlan
from tests.support.namespaces import in_namespace
from tests.support.namespaces.lab import ActError, Namespace

MACS = {"a": "52:54:00:00:00:0a", "b": "52:54:00:00:00:0b", "c": "52:54:00:00:00:0c"}
HEAD = 'hostname = "swap"\n'


@pytest.fixture
def machine() -> Iterator[Namespace]:
    namespace = Namespace()
    namespace.do(len, ())
    yield namespace
    namespace.close()


def policy(folder: Path, **names: str) -> BootPlan:
    """Interfaces, each with the card that it is to be."""
    path = folder / "swap.toml"
    path.write_text(
        HEAD
        + "".join(
            f'[interface.{name}]\nmac = "{MACS[card]}"\naddress = "10.{number}.0.1/24"\n'
            for number, (name, card) in enumerate(names.items())
        )
    )
    return encode(load(path), "swap")


def plug_in(machine: Namespace, **cards: str) -> None:
    """Cards under the names that the kernel gives them."""
    for number, (name, card) in enumerate(cards.items()):
        machine.run("ip", "link", "add", name, "address", MACS[card], "type", "veth", "peer",
                    "name", f"far{number}")  # fmt: skip


def named(machine: Namespace) -> dict[str, str]:
    """Which card has which name, if it is one of ours."""
    words = (line.split() for line in machine.run("ip", "-br", "link").splitlines())
    found = {word[0].partition("@")[0]: word[2] for word in words}
    cards = {mac: card for card, mac in MACS.items()}
    return {name: cards[mac] for name, mac in found.items() if mac in cards}


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ({"eth0": "a", "eth1": "b"}, {"eth0": "b", "eth1": "a"}),
        ({"eth0": "a", "eth1": "b", "eth2": "c"}, {"eth0": "b", "eth1": "c", "eth2": "a"}),
        ({"eth0": "a", "eth1": "b"}, {"eth1": "a", "eth0": "b"}),
        ({"eth0": "a", "eth1": "b"}, {"wan": "a", "lan": "b"}),
        ({"eth0": "a", "eth1": "b"}, {"eth0": "a", "eth1": "b"}),
        ({"eth0": "a", "eth1": "b"}, {"eth1": "a", "lan": "b"}),
        ({"spare0": "a", "eth0": "b", "eth1": "c"}, {"eth0": "c", "spare0": "b", "eth1": "a"}),
    ],
)
def test_each_card_gets_its_name(
    machine: Namespace, tmp_path: Path, found: dict[str, str], wanted: dict[str, str]
) -> None:
    plug_in(machine, **found)
    assert machine.do(in_namespace.enforce, policy(tmp_path, **wanted)) == []
    assert named(machine) == wanted


def test_a_card_that_nobody_names_has_to_give_its_name_away(
    machine: Namespace, tmp_path: Path
) -> None:
    plug_in(machine, eth0="a", eth1="b")
    machine.run("ip", "link", "set", "eth0", "up")
    assert machine.do(in_namespace.enforce, policy(tmp_path, eth0="b")) == []
    assert named(machine) == {"spare0": "a", "eth0": "b"}
    assert "state DOWN" in machine.run("ip", "link", "show", "spare0")


def test_of_two_cards_with_one_address_it_is_said_what_to_do(
    machine: Namespace, tmp_path: Path
) -> None:
    plug_in(machine, eth0="a", eth1="a")
    said = "eth0 and eth1 both have the MAC address 52:54:00:00:00:0a: take one away, or write"
    with pytest.raises(ActError, match=f"{LinkError.__name__}: {said}"):
        machine.do(in_namespace.enforce, policy(tmp_path, lan="a"))


def test_a_copy_of_an_address_takes_nothing_from_the_card_that_has_its_name(
    machine: Namespace, tmp_path: Path
) -> None:
    plug_in(machine, lan="a", eth1="a")
    assert machine.do(in_namespace.enforce, policy(tmp_path, lan="a")) == []
    assert named(machine) == {"lan": "a", "eth1": "a"}
