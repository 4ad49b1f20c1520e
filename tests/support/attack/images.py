"""The images that are attacked, booted and prepared: taps are open, ports listen.

In: what `make test` built, and a plan if the shipped one is to be replaced.  Out: an `AttackRange`.
"""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from factory.image.build import Artefacts
from factory.vm.qemu import Accelerator
from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from pbrinit.plan.plan import Plan
from pbrinit.wire import bootplan
from tests.support import router_example
from tests.support.attack.agent_line import ANSWER_SECONDS
from tests.support.attack.markers import Markers
from tests.support.attack.range import AttackRange, boot_range
from tests.support.attack.router_frames import first_shots
from tests.support.host_example import MGMT, NEIGHBOUR, RESOLVER, ROUTER, SELF
from tests.support.vm.built_image import direct, with_plan, with_programs

HOST = Path("examples/host.toml")
EVIL = Path("tests/support/attack/evil.toml")
ROUTER_POLICY = Path("examples/router.toml")


@contextmanager
def gate(
    name: str, artefacts: Artefacts, accelerated: Accelerator, plan: Plan | None = None
) -> Iterator[AttackRange]:
    """examples/host.toml, or another plan for the same machine; a program listens on port 22."""
    on_link = [*ROUTER.values(), *RESOLVER.values(), *NEIGHBOUR.values()]
    markers = Markers(MGMT[4], SELF[4])
    with initramfs_with(artefacts, plan) as initramfs:
        boots = direct(artefacts, initramfs)
        with boot_range(name, boots, accelerated, markers, [on_link]) as attack_range:
            make_ready(attack_range)
            yield attack_range


@contextmanager
def router(artefacts: Artefacts, accelerated: Accelerator) -> Iterator[AttackRange]:
    """examples/router.toml, with a program on port 22; the peer answers for all its addresses."""
    router_addresses = ["192.0.2.1", "2001:db8::1"]
    inside = [
        addresses[version] for addresses in router_example.INSIDE.values() for version in (4, 6)
    ]
    markers = Markers(
        router_example.HOST[4], router_example.ROUTER[router_example.LAN][4], router_example.LAN
    )
    with initramfs_with(artefacts, load(ROUTER_POLICY), "router") as initramfs:
        boots = direct(artefacts, initramfs)
        with boot_range(
            "router", boots, accelerated, markers, [router_addresses, inside]
        ) as attack_range:
            for family in (socket.AF_INET, socket.AF_INET6):
                attack_range.agent.do("listen", "tcp", 22, int(family))
            attack_range.agent.do("tap")
            give_up = time.monotonic() + ANSWER_SECONDS
            while not all(seen.as_expected for seen in attack_range.fire(list(first_shots()))):
                assert time.monotonic() < give_up, "the router passes nothing on"
            yield attack_range


@contextmanager
def rooms(artefacts: Artefacts, accelerated: Accelerator) -> Iterator[AttackRange]:
    """evil.toml, with the agent as each of its programs."""
    on_link = [*ROUTER.values(), *RESOLVER.values(), *NEIGHBOUR.values()]
    markers = Markers(MGMT[4], SELF[4])
    with TemporaryDirectory(prefix="adversary-") as folder:
        boots = with_programs(artefacts, Path(folder), EVIL)
        with boot_range("rooms", boots, accelerated, markers, [on_link]) as attack_range:
            for version in (4, 6):
                assert attack_range.peers[0].ping(MGMT[version], SELF[version]).verdict == "reply"
            yield attack_range


def make_ready(attack_range: AttackRange) -> None:
    """Listen on port 22, have the guest resolve its gateways, and tap all that is delivered."""
    for family in (socket.AF_INET, socket.AF_INET6):
        attack_range.agent.do("listen", "tcp", 22, int(family))
    for version in (4, 6):
        assert attack_range.peers[0].ping(MGMT[version], SELF[version]).verdict == "reply"
    attack_range.agent.do("tap")


@contextmanager
def initramfs_with(artefacts: Artefacts, plan: Plan | None, policy: str = "host") -> Iterator[Path]:
    """A copy of the shipped initramfs, with another plan if one is given.

    The kernel unpacks archive after archive; the last file of a name replaces the others.
    """
    with TemporaryDirectory(prefix="adversary-") as folder:
        if plan is None:
            yield Path(shutil.copy(artefacts.initramfs, folder))
        else:
            yield with_plan(artefacts, Path(folder), bootplan.pack(encode(plan, policy)))
