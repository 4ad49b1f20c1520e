"""Whatever fails before the links: no interface goes up, and the machine says why."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from factory.image.build import Artefacts
from factory.vm.qemu import Accelerator, Machine, Nic
from pbrinit.cli.build import load
from pbrinit.net.addresses import Family
from pbrinit.plan.encode import encode
from pbrinit.plan.plan import Route, RouteType
from pbrinit.wire import bootplan
from pbrinit.wire.bootplan import BootPlan, LinkPlan
from tests.support.mac_addresses import GUEST_MAC
from tests.support.vm.booted import CLOSED, MEMORY, BootedGuest, boot
from tests.support.vm.built_image import direct, with_plan
from tests.support.vm.guest import BOOT_SECONDS, LOGS, Guest
from tests.support.vm.wire import Wire

PLANNED = load(Path("examples/host.toml"))
PLAN = encode(PLANNED, "host")


def changed(**fields: object) -> bytes:
    """The plan's file with some fields changed, and its checksum right."""
    return bootplan.pack(BootPlan(**{**vars(PLAN), **fields}))


def one_byte_flipped() -> bytes:
    data = bytearray(bootplan.pack(PLAN))
    data[len(data) // 2] ^= 1
    return bytes(data)


def set_twice() -> bytes:
    """A set of 80 prefixes on loopback, of which each route is sent twice."""
    routes = [
        Route(Family.V4, 3000, RouteType.THROW, IPv4Network(f"203.0.{number}.0/24"))
        for number in range(80)
    ]
    loopback = replace(
        PLANNED.links[0], preaddress_routes=(*PLANNED.links[0].preaddress_routes, *routes)
    )
    plan = encode(replace(PLANNED, links=(loopback, *PLANNED.links[1:])), "host")
    [(text, pieces, size, offset)] = plan.links[0].bulks
    first = LinkPlan(**{**vars(plan.links[0]), "bulks": ((text, pieces * 2, size, offset),)})
    return bootplan.pack(BootPlan(**{**vars(plan), "links": (first, *plan.links[1:])}))


FAULTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "damaged": (one_byte_flipped, "the plan: it is damaged, its checksum does not match"),
    "refused": (
        lambda: changed(
            rules=PLAN.rules + PLAN.rules[-1:],
            rule_commands=PLAN.rule_commands + PLAN.rule_commands[-1:],
        ),
        "rules: -6 rule add pref 1 iif lo goto 100000: File exists",
    ),
    "left-over": (
        lambda: changed(kernel_rule_removals=PLAN.kernel_rule_removals[:-1]),
        "the rules read back differ: not in the plan: family 10, preference 0",
    ),
    "set": (set_twice, "loopback and the tables of sets: 80 routes from"),
    "sysctl": (
        lambda: changed(sysctls=(*PLAN.sysctls, ("net/ipv4/no_such_thing", "1"))),
        "sysctls: [Errno 2] No such file or directory",
    ),
}


@pytest.fixture(params=FAULTS, scope="module")
def closed(
    request: pytest.FixtureRequest,
    artefacts: Artefacts,
    accelerated: Accelerator,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[BootedGuest, str]]:
    """The image with one fault in its plan, and what the console must say of it."""
    make, message = FAULTS[request.param]
    initramfs = with_plan(artefacts, tmp_path_factory.mktemp("closed"), make())
    with Wire() as wire:
        machine = Machine(direct(artefacts, initramfs), (Nic(wire.netdev, GUEST_MAC),), MEMORY)
        for booted in boot(f"closed-{request.param}", machine, accelerated, wire):
            yield booted, message


def test_it_stays_closed_and_says_why(closed: tuple[BootedGuest, str]) -> None:
    booted, message = closed
    assert f"{CLOSED}: {message}" in booted.console
    assert booted.guest.run("status") == next(
        line.partition("pbrinit: ")[2] for line in booted.console.splitlines() if message in line
    )
    assert booted.guest.run("probe tcp 192.0.2.1 80").startswith(CLOSED)
    assert booted.wire.frames() == []
    booted.guest.send_line("poweroff")
    booted.guest.expect("going down")
    booted.guest.wait_for_end()
    assert booted.wire.frames() == []


@pytest.mark.parametrize(
    ("ending", "last"), [("reboot", "Restarting system"), ("poweroff", "Power down")]
)
def test_a_damaged_plan_is_followed_by_what_the_policy_wants_done(
    artefacts: Artefacts, accelerated: Accelerator, tmp_path: Path, ending: str, last: str
) -> None:
    plan = bytearray(changed(on_failure=(ending, 2)))
    plan[len(plan) // 2] ^= 1
    initramfs = with_plan(artefacts, tmp_path, bytes(plan))
    with Wire() as wire:
        machine = Machine(direct(artefacts, initramfs), (Nic(wire.netdev, GUEST_MAC),), MEMORY)
        with Guest(f"closed-{ending}", machine, accelerated, LOGS) as guest:
            guest.expect(f"CLOSED: on-failure is {ending}, in 2 s", BOOT_SECONDS)
            closed = time.monotonic()
            guest.expect("going down")
            assert time.monotonic() - closed > 1
            guest.wait_for_end()
            assert f"reboot: {last}" in guest.transcript
        assert wire.frames() == []
