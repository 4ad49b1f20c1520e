"""What a room's packets meet: the same where its entries are the same, and only there."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from pbrinit.boot.guard import packet_rules
from pbrinit.boot.network import slots
from pbrinit.compiler.compile import compile_policy
from pbrinit.plan.encode import encode
from pbrinit.policy.reader.reader import read_policy
from pbrinit.wire.bootplan import BootPlan

ROOMS = Path("examples/rooms.toml").read_text()
MANY = ", ".join(
    f'"203.0.{third}.{fourth}/31"' for third in range(8) for fourth in range(0, 256, 2)
)
OTHERS = ", ".join(
    f'"100.64.{third}.{fourth}/31"' for third in range(8) for fourth in range(0, 99, 2)
)
LISTED = ROOMS.replace("[network]", f"[network]\nmany = [{MANY}]").replace(
    'on      = "wan"\nservice = "https"', 'on      = "wan"\nto = "many"\nservice = "https"'
)
BESIDE = '[[between]]\nfrom = "sshd"\nto = "updater"\nservice = "ssh"\n[[between]]'
PINGED = 'from    = "admins"\nservice = "ping"'


@cache
def plan(text: str, folder: Path) -> BootPlan:
    path = folder / "policy.toml"
    path.write_text(text.partition("[[expect]]")[0])
    return encode(compile_policy(read_policy(path, check_files=False)), "policy")


CHANGES = {
    "nothing": (ROOMS, ROOMS, set()),
    "who pings the machine": (ROOMS, ROOMS.replace(PINGED, 'service = "ping"'), {"lo"}),
    "who reaches sshd": (
        ROOMS,
        ROOMS.replace('from    = "admins"\nservice = "ssh"', 'service = "ssh"'),
        {"r-sshd"},
    ),
    "who is an administrator": (
        ROOMS,
        ROOMS.replace('"198.51.100.0/24"', '"203.0.113.0/24"'),
        {"r-sshd", "lo"},
    ),
    "which port sshd has": (ROOMS, ROOMS.replace('"tcp/22"', '"tcp/2222"'), {"r-sshd"}),
    "what sshd may ask": (
        ROOMS,
        f'{ROOMS.partition("[[expect]]")[0]}[[output]]\nservice = "https"\nrun = "sshd"\n',
        {"r-sshd"},
    ),
    "whom sshd reaches inside": (
        ROOMS,
        ROOMS.replace('[[between]]', BESIDE),
        {"r-sshd", "r-updater"},
    ),
    "who is denied": (
        ROOMS,
        ROOMS.partition("[[expect]]")[0] + '[[deny]]\nfrom = "admins"\nservice = "ssh"\n',
        {"r-sshd"},
    ),
    "what the resolver asks": (ROOMS, ROOMS.replace('"udp/53", "tcp/53"', '"udp/53"'),
                               {"r-resolver", "r-updater"}),
    "the router": (ROOMS, ROOMS.replace('"192.0.2.1"', '"192.0.2.9"'), set()),
    "the name": (ROOMS, ROOMS.replace('"appliance"', '"other"'), set()),
    "what is logged": (ROOMS, f"log = true\n{ROOMS}", {"lo"}),
    "a large set of the updater's": (LISTED, LISTED.replace('"203.0.7.0/31"', '"203.0.9.0/31"'),
                                     {"r-updater"}),
    "a large set that is another's": (
        LISTED,
        LISTED.replace("[network]", f"[network]\nothers = [{OTHERS}]").replace(
            '[[input]]', '[[input]]\non = "wan"\nfrom = "others"\nservice = "ping"\n[[input]]', 1),
        {"lo"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("slot", [0, 1])
@pytest.mark.parametrize("what", CHANGES)
def test_which_devices_a_change_is_about(
    what: str, slot: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    before, after, about = CHANGES[what]
    old, new = plan(before, folder), slots.relocate(plan(after, folder), slot)
    devices = {
        packet_rules.MACHINE,
        *(program.room.device for program in old.programs if program.room),
    }
    different = {
        device
        for device in devices
        if packet_rules.of_device(old, device) != packet_rules.of_device(new, device)
    }
    assert different == about


def test_it_has_the_rules_that_decide_and_not_those_of_others(tmp_path: Path) -> None:
    four, six = packet_rules.of_device(plan(ROOMS, tmp_path), "r-sshd")
    assert 10 < len(four) < 30
    assert 10 < len(six) < 40
