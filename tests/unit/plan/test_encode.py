"""A plan in bytes: what a room of it is made of, in order."""

from __future__ import annotations

from pathlib import Path

from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from pbrinit.policy import room_ids
from pbrinit.policy.reader.programs import IN_A_ROOM
from pbrinit.wire.bootplan import ROOM_READY_GROUP, BootPlan, LinkPlan

POLICY = """
hostname = "gate"
[interface.wan]
device = "eth0"
address = ["192.0.2.2/24", "2001:db8::2/64"]
gateway = "192.0.2.1"
[service]
ssh = "tcp/22"
[user]
sshd = 1001
other = 1002
[run.sshd]
command = ["/usr/sbin/sshd", "-F"]
user = "sshd"
keep = [{keep}]
environment = {{ HOME = "/home/sshd" }}
memory = "24 MiB"
[run.other]
command = ["/bin/true"]
user = "other"
isolate = false
restart = "on-failure"
processes = 7
[[input]]
service = "ssh"
run = "sshd"
"""


def plan_of(folder: Path, keep: str = '"kill"') -> BootPlan:
    path = folder / "gate.toml"
    path.write_text(POLICY.format(keep=keep))
    return encode(load(path), "gate")


def door(plan: BootPlan) -> LinkPlan:
    return next(link for link in plan.links if link.room)


def test_a_room_has_its_links_up_before_addresses_and_these_before_routes(tmp_path: Path) -> None:
    room = plan_of(tmp_path).programs[0].room
    assert room is not None
    texts = [text for text, _, _ in room.messages]
    assert texts == [
        "link set lo up",
        "link set eth0 up",
        "address add 192.0.2.2/32 dev eth0",
        "address add 2001:db8::2/128 dev eth0 nodad",
        "-4 route add 192.0.2.0/24 via 169.254.0.1 dev eth0 onlink src 192.0.2.2"
        " table main proto static",
        "-4 route add default via 169.254.0.1 dev eth0 onlink src 192.0.2.2"
        " table main proto static",
        "-6 route add 2001:db8::/64 via fe80::1 dev eth0 onlink src 2001:db8::2"
        " table main proto static",
        "-4 neigh add 169.254.0.1 lladdr 02:70:62:72:00:00 dev eth0 nud permanent",
        "-6 neigh add fe80::1 lladdr 02:70:62:72:00:00 dev eth0 nud permanent",
    ]
    assert room.device == "r-sshd"
    assert len(room.veth[2]) == 1


def test_the_way_into_a_room_is_marked_when_it_is_made_and_not_before(tmp_path: Path) -> None:
    texts = [text for text, _, _ in door(plan_of(tmp_path)).messages]
    assert texts[0] == "link set r-sshd up"
    assert texts[-1] == f"link set r-sshd group {ROOM_READY_GROUP}"


def test_forwarding_of_a_room_is_switched_on_with_the_room(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    assert ("net/ipv4/conf/r-sshd/forwarding", "1") in door(plan).sysctls
    assert [key for key, _ in plan.forwarding_sysctls if "r-sshd" in key] == []
    assert ("net/ipv4/conf/eth0/forwarding", "1") in plan.forwarding_sysctls


def test_a_program_keeps_what_the_policy_says_and_has_a_small_environment(tmp_path: Path) -> None:
    first, second = plan_of(tmp_path, keep='"net_raw", "chown"').programs
    assert (first.capabilities, second.capabilities) == (1 << 13 | 1, 0)
    assert (first.restart, first.command) == ("always", ("/usr/sbin/sshd", "-F"))
    assert dict(first.environment)["HOME"] == "/home/sshd"
    assert dict(second.environment) == {"HOME": "/tmp", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}  # noqa: S108
    assert (second.room, second.restart) == (None, "on-failure")


def test_the_users_of_a_room_are_others_on_the_machine(tmp_path: Path) -> None:
    first, second = plan_of(tmp_path).programs
    assert first.room is not None
    assert first.room.ids == (room_ids.FIRST, room_ids.COUNT)
    assert (first.uid, second.uid) == (room_ids.FIRST + 1001, 1002)


def test_a_program_has_its_share_in_bytes(tmp_path: Path) -> None:
    first, second = plan_of(tmp_path).programs
    assert (first.memory, first.processes, first.open_files, first.cpu_weight) == (
        24 << 20, 64, 1024, 100,
    )  # fmt: skip
    assert (second.memory, second.processes) == (0, 7)


def test_every_capability_that_can_be_kept_has_a_number(tmp_path: Path) -> None:
    words = ", ".join(f'"{name}"' for name in IN_A_ROOM)
    kept = plan_of(tmp_path, keep=words).programs[0].capabilities
    assert kept.bit_count() == len(IN_A_ROOM)
