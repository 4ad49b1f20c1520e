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
from pbrinit.policy.reader.reader import read
from tests.adversary.tables import host_kernel, room_kernel, room_wire
from tests.support.attack import images
from tests.support.attack.act import Act
from tests.support.attack.observation import words
from tests.support.attack.range import Bench
from tests.support.host_example import MGMT, SELF, STRANGER, VERSIONS
from tests.support.mac_addresses import GUEST_MACS, PEER_MACS
from tests.support.vm.wire import Frame

QUIET = ("sshd", "updater", "resolver")
WIRE = [act for table in room_wire.IN_A_ROOM for act in table()]
BATCH = 40
FLOOD_SECONDS = 4.0
CLIENTS = next(run.clients for run in read(images.EVIL).runs if run.name == "evil")


@pytest.fixture(scope="module")
def bench(artefacts: Artefacts, accelerated: Accelerator) -> Iterator[Bench]:
    """The machine at its prompt; what comes out of the hostile room to the machine is tapped."""
    with images.rooms(artefacts, accelerated) as bench:
        for name in QUIET:
            assert bench.inside.do("relay", name, "processes") == 0
        for family in (2, 10):
            bench.inside.do("relay", "sshd", "listen", "tcp", 22, family)
        bench.inside.do("tap_device", "r-evil")
        yield bench


def tried(bench: Bench, who: str, acts: Sequence[Act]) -> tuple[list[str], list[Frame]]:
    """Have a program do acts; what it was told of each, and the frames that left."""

    def work() -> list[str]:
        told: list[str] = []
        for at in range(0, len(acts), BATCH):
            steps = [list(act.steps) for act in acts[at : at + BATCH]]
            relay: tuple[Any, ...] = ("relay", who, "attempts") if who else ("attempts",)
            told += bench.inside.do(*relay, steps)
        return told

    return bench.left_during(work)


def counter(bench: Bench, device: str, column: int) -> int:
    """One of /proc/net/dev: packets received by the machine are 1, those sent 9."""
    lines = bench.inside.do("read", "/proc/net/dev").splitlines()
    line = next(line for line in lines if line.strip().startswith(f"{device}:"))
    return int(line.partition(":")[2].split()[column])


def from_room(bench: Bench) -> int:
    """How many packets have come out of the hostile room, whatever became of them."""
    return counter(bench, "r-evil", 1)


def into_others(bench: Bench) -> dict[str, int]:
    """How many packets went into each quiet room so far."""
    return {name: counter(bench, f"r-{name}", 9) for name in QUIET}


def anew(bench: Bench) -> None:
    """The hostile program is started again, in a room that is as it was planned."""
    bench.guest.send_line("")
    bench.guest.wait_for_prompt()
    bench.guest.run("restart evil")
    bench.guest.expect("evil: here")
    bench.inside.do("forget", "evil")
    bench.inside.do("untap")
    bench.inside.do("tap_device", "r-evil")


def handed(bench: Bench) -> list[tuple[int, int]]:
    """Version and protocol of what came from the hostile room to the machine itself."""
    found: list[tuple[int, int]] = bench.inside.do("handed")
    return found


def reachable(bench: Bench) -> bool:
    """Whether ssh's room answers, in both families."""
    return all(
        bench.peers[0].tcp(MGMT[version], SELF[version], 22).verdict == "syn-ack"
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


def as_planned(bench: Bench) -> bool:
    """Whether the machine finds nothing to complain of."""
    bench.guest.send_line("")
    bench.guest.wait_for_prompt()
    told = bench.guest.run("audit")
    return told.endswith("as planned") and "NOT" not in told


@pytest.fixture(scope="module")
def counts() -> dict[str, list[int]]:
    """Frames on the wire, by table and by who did its acts: the source of the table in docs."""
    return {}


@pytest.mark.parametrize("who", ["evil", "beside"])
def test_what_is_allowed_gets_out(bench: Bench, who: str) -> None:
    told, left = tried(bench, who, list(room_wire.allowed()))
    assert set(told) == {"begun"}
    assert {frame.packet.payload.version for frame in left} == set(VERSIONS)
    assert all(is_allowed(frame) for frame in left)


@pytest.mark.parametrize("table", room_wire.IN_A_ROOM, ids=lambda table: table.__name__)
def test_root_of_a_room_sends_nothing_that_its_entries_do_not_name(
    bench: Bench, table: Callable[[], Iterable[Act]], counts: dict[str, list[int]]
) -> None:
    before, came = into_others(bench), from_room(bench)
    acts = list(table())
    _, left = tried(bench, "evil", acts)
    came = from_room(bench) - came
    assert came > len(acts) // 3, "hardly anything was sent"
    assert [words(frame.packet) for frame in left] == []
    assert into_others(bench) == before
    counts[table.__name__] = [len(acts), len(left)]


def test_of_all_that_it_sent_the_machine_itself_was_handed_nothing(bench: Bench) -> None:
    assert handed(bench) == []


def test_the_kernel_has_no_frames_for_it(bench: Bench) -> None:
    """No packet sockets, and no other family but four: nobody forges a frame, or sees another's."""
    acts = [act for act in host_kernel.families() if act.uid == 0]
    told, left = tried(bench, "evil", acts)
    assert (set(told), left) == ({"EAFNOSUPPORT at socket"}, [])


@pytest.mark.parametrize("table", room_kernel.IN_A_ROOM, ids=lambda table: table.__name__)
def test_what_leads_out_of_a_room_is_refused(
    bench: Bench, table: Callable[[], Iterable[Act]]
) -> None:
    acts = list(table())
    told, _ = tried(bench, "evil", acts)
    done = [act.what for act, said in zip(acts, told, strict=True) if said.startswith("done")]
    assert done == []


def test_of_others_it_sees_nothing_and_goes_nowhere(bench: Bench) -> None:
    assert bench.inside.do("relay", "evil", "processes") == 0
    assert bench.inside.do("relay", "evil", "writable", "/proc/sys") == []
    assert set(bench.inside.do("relay", "evil", "namespaces")) == {"EPERM"}


def test_whatever_it_changes_of_its_own_network_it_sends_nothing_more(bench: Bench) -> None:
    before, came = into_others(bench), from_room(bench)
    acts = [*room_wire.ends(), *room_wire.neighbours(), *room_wire.sockets()]
    for changes in (room_kernel.changes(), room_kernel.another_wire()):
        told, left = tried(bench, "evil", list(changes))
        assert set(told) == {"done"}
        _, more = tried(bench, "evil", acts)
        assert [words(frame.packet) for frame in (*left, *more)] == []
    assert from_room(bench) - came > len(acts) // 3
    assert into_others(bench) == before
    assert handed(bench) == []
    assert reachable(bench)
    assert as_planned(bench)


def test_as_nobody_it_reaches_the_machine_and_nothing_beyond(bench: Bench) -> None:
    """What no rule decides: docs/meaning.md, its last part."""
    anew(bench)
    before = into_others(bench)
    told, left = tried(bench, "evil", [*room_kernel.no_address(), *room_wire.from_nobody()])
    assert (set(told), left) == ({"done"}, [])
    assert handed(bench) == [(4, 17), (4, 17)]
    assert into_others(bench) == before
    anew(bench)


@pytest.mark.parametrize("who", ["beside", ""])
def test_without_a_room_some_of_it_gets_out(
    bench: Bench, who: str, counts: dict[str, list[int]]
) -> None:
    """By a user's program beside PID 1, and by root of the machine: docs/ways-out.md."""
    for table in room_wire.IN_A_ROOM:
        _, left = tried(bench, who, list(table()))
        counts[table.__name__].append(len(left))
    assert any(numbers[-1] for numbers in counts.values())


def test_a_flood_out_of_a_room_and_into_it_stops_nothing(bench: Bench) -> None:
    """Nine packets in ten are not allowed; into the room go answers that nobody asked for."""
    before = into_others(bench)
    floods = [
        (act.steps[0][1], act.steps[1][1], act.steps[1][3][0])
        for act in (*room_wire.ends(), *room_wire.from_own_ports())
    ]

    def work() -> int:
        bench.inside.do("relay", "evil", "flood", FLOOD_SECONDS, floods)
        for frame in into_room(3000):
            bench.wires[0].send(frame)
        assert all(reachable(bench) for _ in range(3))
        sent: int = bench.inside.do("relay", "evil", "flooded")
        return sent

    sent, left = bench.left_during(work)
    assert sent > 1000
    assert sum(map(is_allowed, left)) > 100
    others = [frame for frame in left if not is_allowed(frame) and not is_ssh(frame)]
    assert {words(frame.packet) for frame in others} == set()
    after = into_others(bench)
    assert (after["updater"], after["resolver"]) == (before["updater"], before["resolver"])
    assert reachable(bench)
    assert as_planned(bench)


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
