"""A hostile program in a room, as root with all that a room may keep: nothing gets out but its own.

Booted once. The same acts are then done by a program without a room, and by root of the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from factory.image.build import Artefacts
from factory.vm.qemu import Accelerator
from pbrinit.policy import room_ids
from pbrinit.policy.reader.reader import read_policy
from tests.adversary.tables import host_kernel, room_kernel, room_wire
from tests.support.attack import images
from tests.support.attack.act import Act
from tests.support.attack.observation import frame_words
from tests.support.attack.range import AttackRange
from tests.support.host_example import MGMT, SELF, STRANGER, VERSIONS
from tests.support.mac_addresses import GUEST_MACS, PEER_MACS
from tests.support.vm.wire import Frame

QUIET = ("sshd", "updater", "resolver")
WIRE = [act for table in room_wire.IN_A_ROOM for act in table()]
BATCH = 40
FLOOD_SECONDS = 4.0
CLIENTS = next(run.client_ports for run in read_policy(images.EVIL).programs if run.name == "evil")


@pytest.fixture(scope="module")
def attack_range(artefacts: Artefacts, accelerated: Accelerator) -> Iterator[AttackRange]:
    """The machine at its prompt; what comes out of the hostile room to the machine is tapped."""
    with images.rooms(artefacts, accelerated) as attack_range:
        for name in QUIET:
            assert attack_range.agent.do("relay", name, "other_processes") == 0
        for family in (2, 10):
            attack_range.agent.do("relay", "sshd", "listen", "tcp", 22, family)
        attack_range.agent.do("tap_device", "r-evil")
        yield attack_range


def tried(
    attack_range: AttackRange, who: str, acts: Sequence[Act]
) -> tuple[list[str], list[Frame]]:
    """Have a program do acts; what it was told of each, and the frames that left."""

    def work() -> list[str]:
        told: list[str] = []
        for at in range(0, len(acts), BATCH):
            steps = [list(act.steps) for act in acts[at : at + BATCH]]
            relay: tuple[Any, ...] = ("relay", who, "attempts") if who else ("attempts",)
            told += attack_range.agent.do(*relay, steps)
        return told

    return attack_range.frames_during(work)


def counter(attack_range: AttackRange, device: str, column: int) -> int:
    """One of /proc/net/dev: packets received by the machine are 1, those sent 9."""
    lines = attack_range.agent.do("read", "/proc/net/dev").splitlines()
    line = next(line for line in lines if line.strip().startswith(f"{device}:"))
    return int(line.partition(":")[2].split()[column])


def from_room(attack_range: AttackRange) -> int:
    """How many packets have come out of the hostile room, whatever became of them."""
    return counter(attack_range, "r-evil", 1)


def into_others(attack_range: AttackRange) -> dict[str, int]:
    """How many packets went into each quiet room so far."""
    return {name: counter(attack_range, f"r-{name}", 9) for name in QUIET}


def anew(attack_range: AttackRange) -> None:
    """The hostile program is started again, in a room that is as it was planned."""
    attack_range.guest.send_line("")
    attack_range.guest.wait_for_prompt()
    attack_range.guest.run("restart evil")
    attack_range.guest.expect("evil: ready")
    attack_range.agent.do("disconnect", "evil")
    attack_range.agent.do("untap")
    attack_range.agent.do("tap_device", "r-evil")


def handed(attack_range: AttackRange) -> list[tuple[int, int]]:
    """Version and protocol of what came from the hostile room to the machine itself."""
    found: list[tuple[int, int]] = attack_range.agent.do("tapped_packets")
    return found


def reachable(attack_range: AttackRange) -> bool:
    """Whether ssh's room answers, in both families."""
    return all(
        attack_range.peers[0].tcp(MGMT[version], SELF[version], 22).verdict == "syn-ack"
        for version in VERSIONS
    )


def is_allowed(frame: Frame) -> bool:
    """Whether the policy lets the hostile programs send this."""
    body = frame.packet.payload
    return (
        body.src in SELF.values()
        and body.dst in STRANGER.values()
        and isinstance(body.payload, TCP)
        and body.payload.dport == room_wire.DEPOT
    )


def as_planned(attack_range: AttackRange) -> bool:
    """Whether the machine finds nothing to complain of."""
    attack_range.guest.send_line("")
    attack_range.guest.wait_for_prompt()
    told = attack_range.guest.run("audit")
    return told.endswith("as planned") and "NOT" not in told


@pytest.fixture(scope="module")
def counts() -> dict[str, list[int]]:
    """Frames on the wire, by table and by who did its acts: the source of the table in docs."""
    return {}


@pytest.mark.parametrize("who", ["evil", "beside"])
def test_what_is_allowed_gets_out(attack_range: AttackRange, who: str) -> None:
    told, left = tried(attack_range, who, list(room_wire.allowed()))
    assert set(told) == {"begun"}
    assert {frame.packet.payload.version for frame in left} == set(VERSIONS)
    assert all(is_allowed(frame) for frame in left)


@pytest.mark.parametrize("table", room_wire.IN_A_ROOM, ids=lambda table: table.__name__)
def test_root_of_a_room_sends_nothing_that_its_entries_do_not_name(
    attack_range: AttackRange, table: Callable[[], Iterable[Act]], counts: dict[str, list[int]]
) -> None:
    before, came = into_others(attack_range), from_room(attack_range)
    acts = list(table())
    _, left = tried(attack_range, "evil", acts)
    came = from_room(attack_range) - came
    assert came > len(acts) // 3, "hardly anything was sent"
    assert [frame_words(frame.packet) for frame in left] == []
    assert into_others(attack_range) == before
    counts[table.__name__] = [len(acts), len(left)]


def test_of_all_that_it_sent_the_machine_itself_was_handed_nothing(
    attack_range: AttackRange,
) -> None:
    assert handed(attack_range) == []


def test_the_kernel_has_no_frames_for_it(attack_range: AttackRange) -> None:
    """No packet sockets, and no other family but four: nobody forges a frame, or sees another's."""
    acts = [act for act in host_kernel.families() if act.uid == 0]
    told, left = tried(attack_range, "evil", acts)
    assert (set(told), left) == ({"EAFNOSUPPORT at socket"}, [])


@pytest.mark.parametrize("table", room_kernel.IN_A_ROOM, ids=lambda table: table.__name__)
def test_what_leads_out_of_a_room_is_refused(
    attack_range: AttackRange, table: Callable[[], Iterable[Act]]
) -> None:
    acts = list(table())
    told, _ = tried(attack_range, "evil", acts)
    done = [act.what for act, said in zip(acts, told, strict=True) if said.startswith("done")]
    assert done == []


def test_of_others_it_sees_nothing_and_goes_nowhere(attack_range: AttackRange) -> None:
    assert attack_range.agent.do("relay", "evil", "other_processes") == 0
    assert attack_range.agent.do("relay", "evil", "writable_files", "/proc/sys") == []
    assert set(attack_range.agent.do("relay", "evil", "enter_namespaces")) == {"EPERM"}


def test_of_the_machine_and_of_other_programs_it_reads_no_word(attack_range: AttackRange) -> None:
    """Neither as root with all capabilities, nor as a user; who may read it does."""
    words = Path("tests/support/attack/secret_of_updater").read_text().split()[-1]
    assert attack_range.agent.do("relay", "updater", "files_with", words) == [
        "/etc/secret/of-updater"
    ]
    for who in ("evil", "sshd", "resolver", "beside"):
        assert attack_range.agent.do("relay", who, "files_with", words) == []
        assert attack_range.agent.do("relay", who, "files_with", "link set r-resolver up") == []


def test_the_way_up_from_any_root_ends_at_its_own(attack_range: AttackRange) -> None:
    told = attack_range.agent.do("relay", "evil", "leave_chroot")
    assert {"etc", "usr", "tmp"} <= set(told)
    assert "init" not in told


def test_it_becomes_its_own_users_and_these_are_nobody_elses(attack_range: AttackRange) -> None:
    first = room_ids.FIRST + 3 * room_ids.COUNT
    mapped, become = attack_range.agent.do("relay", "evil", "user_ids")
    assert mapped == ["0", str(first), str(room_ids.COUNT)]
    assert become == [0, 1, 1001, 1002, 65534, 65535]
    mapped, become = attack_range.agent.do("relay", "updater", "user_ids")
    assert mapped == ["0", str(room_ids.FIRST + room_ids.COUNT), str(room_ids.COUNT)]
    assert become == [1002]


def test_a_device_that_takes_the_name_of_a_rooms_is_taken_away(attack_range: AttackRange) -> None:
    """By root of the machine, who alone can: the room of the updater gets no packet by it."""
    told, _ = tried(attack_range, "", list(room_kernel.forged("r-updater")))
    assert told == ["done"] * len(told)
    attack_range.guest.expect("r-updater: is not the device that was made; it is removed")
    assert not any(
        "r-updater" in line for line in attack_range.agent.do("read", "/proc/net/dev").split()
    )
    attack_range.guest.send_line("")
    attack_range.guest.wait_for_prompt()
    attack_range.guest.run("restart updater")
    attack_range.guest.expect("updater: ready")
    attack_range.agent.do("disconnect", "updater")
    assert attack_range.agent.do("relay", "updater", "other_processes") == 0
    assert as_planned(attack_range)


def test_whatever_it_changes_of_its_own_network_it_sends_nothing_more(
    attack_range: AttackRange,
) -> None:
    before, came = into_others(attack_range), from_room(attack_range)
    acts = [*room_wire.ends(), *room_wire.neighbours(), *room_wire.sockets()]
    for changes in (room_kernel.changes(), room_kernel.another_wire()):
        told, left = tried(attack_range, "evil", list(changes))
        assert set(told) == {"done"}
        _, more = tried(attack_range, "evil", acts)
        assert [frame_words(frame.packet) for frame in (*left, *more)] == []
    assert from_room(attack_range) - came > len(acts) // 3
    assert into_others(attack_range) == before
    assert handed(attack_range) == []
    assert reachable(attack_range)
    assert as_planned(attack_range)


def test_as_nobody_it_reaches_the_machine_and_nothing_beyond(attack_range: AttackRange) -> None:
    """What no rule decides: docs/meaning.md, its last part."""
    anew(attack_range)
    before = into_others(attack_range)
    told, left = tried(attack_range, "evil", [*room_kernel.no_address(), *room_wire.from_nobody()])
    assert (set(told), left) == ({"done"}, [])
    assert handed(attack_range) == [(4, 17), (4, 17)]
    assert into_others(attack_range) == before
    anew(attack_range)


@pytest.mark.parametrize("who", ["beside", ""])
def test_without_a_room_some_of_it_gets_out(
    attack_range: AttackRange, who: str, counts: dict[str, list[int]]
) -> None:
    """By a user's program beside PID 1, and by root of the machine: docs/ways-out.md."""
    for table in room_wire.IN_A_ROOM:
        _, left = tried(attack_range, who, list(table()))
        counts[table.__name__].append(len(left))
    assert any(numbers[-1] for numbers in counts.values())


def test_a_flood_out_of_a_room_and_into_it_stops_nothing(attack_range: AttackRange) -> None:
    """Nine packets in ten are not allowed; into the room go answers that nobody asked for."""
    before = into_others(attack_range)
    floods = [
        (act.steps[0][1], act.steps[1][1], act.steps[1][3][0])
        for act in (*room_wire.ends(), *room_wire.from_own_ports())
    ]

    def work() -> int:
        attack_range.agent.do("relay", "evil", "flood", FLOOD_SECONDS, floods)
        for frame in into_room(3000):
            attack_range.wires[0].send(frame)
        assert all(reachable(attack_range) for _ in range(3))
        sent: int = attack_range.agent.do("relay", "evil", "flood_count")
        return sent

    sent, left = attack_range.frames_during(work)
    assert sent > 1000
    assert sum(map(is_allowed, left)) > 100
    others = [frame for frame in left if not is_allowed(frame) and not is_ssh(frame)]
    assert {frame_words(frame.packet) for frame in others} == set()
    after = into_others(attack_range)
    assert (after["updater"], after["resolver"]) == (before["updater"], before["resolver"])
    assert reachable(attack_range)
    assert as_planned(attack_range)


def is_ssh(frame: Frame) -> bool:
    """Whether it is an answer of ssh to an administrator."""
    body = frame.packet.payload
    return body.dst in MGMT.values() and isinstance(body.payload, TCP) and body.payload.sport == 22


def into_room(count: int) -> Iterator[bytes]:
    """Answers of the depot to clients of the hostile room."""
    for number in range(count):
        answer = TCP(sport=room_wire.DEPOT, dport=CLIENTS.first + number % 4096, flags="R")
        packet = IP(src=STRANGER[4], dst=SELF[4]) / answer
        yield bytes(Ether(src=PEER_MACS[0], dst=GUEST_MACS[0]) / packet)


def test_the_counts_are_what_the_docs_say(counts: dict[str, list[int]]) -> None:
    heads = ("on the wire came", "of", "from a room", "from beside PID 1", "from root there")
    rows = [f"| {' | '.join(heads)} |", f"|---|{'---:|' * (len(heads) - 1)}"]
    for table in room_wire.IN_A_ROOM:
        numbers = " | ".join(f"{number:,}" for number in counts[table.__name__])
        rows.append(f"| {room_wire.TITLES[table.__name__]} | {numbers} |")
    whole = "\n".join(rows)
    assert whole in Path("docs/rooms.md").read_text(), whole
