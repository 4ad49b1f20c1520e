"""The images that are put under fire, booted and made ready: taps set, ports listened on.

In: what `make test` built, and a plan where it is not to be the shipped one.  Out: a `Bench`.
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
from tests.support.attack.markers import Fences
from tests.support.attack.range import Bench, booted
from tests.support.attack.router_frames import first_words
from tests.support.host_example import MGMT, NEIGHBOUR, RESOLVER, ROUTER, SELF
from tests.support.vm.built_image import direct, with_plan, with_programs

HOST = Path("examples/host.toml")
EVIL = Path("tests/support/attack/evil.toml")
ROUTER_POLICY = Path("examples/router.toml")


@contextmanager
def gate(
    name: str, artefacts: Artefacts, accelerated: Accelerator, plan: Plan | None = None
) -> Iterator[Bench]:
    """examples/host.toml, or another plan for the same machine; a program listens on port 22."""
    on_link = [*ROUTER.values(), *RESOLVER.values(), *NEIGHBOUR.values()]
    fences = Fences(MGMT[4], SELF[4])
    with image(artefacts, plan) as initramfs:
        boots = direct(artefacts, initramfs)
        with booted(name, boots, accelerated, fences, [on_link]) as bench:
            make_ready(bench)
            yield bench


@contextmanager
def router(artefacts: Artefacts, accelerated: Accelerator) -> Iterator[Bench]:
    """examples/router.toml, with a program on port 22; everybody answers who is asked for."""
    near = ["192.0.2.1", "2001:db8::1"]
    inside = [place[version] for place in router_example.INSIDE.values() for version in (4, 6)]
    fences = Fences(
        router_example.HOST[4], router_example.ROUTER[router_example.LAN][4], router_example.LAN
    )
    with image(artefacts, load(ROUTER_POLICY), "router") as initramfs:
        boots = direct(artefacts, initramfs)
        with booted("router", boots, accelerated, fences, [near, inside]) as bench:
            for family in (socket.AF_INET, socket.AF_INET6):
                bench.inside.do("listen", "tcp", 22, int(family))
            bench.inside.do("tap")
            give_up = time.monotonic() + ANSWER_SECONDS
            while not all(seen.good for seen in bench.fire(list(first_words()))):
                assert time.monotonic() < give_up, "the router passes nothing on"
            yield bench


@contextmanager
def rooms(artefacts: Artefacts, accelerated: Accelerator) -> Iterator[Bench]:
    """evil.toml, with the agent as each of its programs."""
    on_link = [*ROUTER.values(), *RESOLVER.values(), *NEIGHBOUR.values()]
    fences = Fences(MGMT[4], SELF[4])
    with TemporaryDirectory(prefix="adversary-") as folder:
        boots = with_programs(artefacts, Path(folder), EVIL)
        with booted("rooms", boots, accelerated, fences, [on_link]) as bench:
            for version in (4, 6):
                assert bench.peers[0].ping(MGMT[version], SELF[version]).verdict == "reply"
            yield bench


def make_ready(bench: Bench) -> None:
    """Listen on port 22, tell the guest where its gateways are, and tap all that is delivered."""
    for family in (socket.AF_INET, socket.AF_INET6):
        bench.inside.do("listen", "tcp", 22, int(family))
    for version in (4, 6):
        assert bench.peers[0].ping(MGMT[version], SELF[version]).verdict == "reply"
    bench.inside.do("tap")


@contextmanager
def image(artefacts: Artefacts, plan: Plan | None, policy: str = "host") -> Iterator[Path]:
    """The shipped initramfs in a place of its own, its plan written over by another if given.

    The kernel unpacks archive after archive, and the last file of a name stays.
    """
    with TemporaryDirectory(prefix="adversary-") as folder:
        if plan is None:
            yield Path(shutil.copy(artefacts.initramfs, folder))
        else:
            yield with_plan(artefacts, Path(folder), bootplan.pack(encode(plan, policy)))
