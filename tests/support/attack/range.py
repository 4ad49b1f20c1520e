"""One booted image, its wires and the agent inside: shots are fired, and what came of each is told.

In: the files of an image, shots.  Out: `Seen` for each.  No root.

The guest has one processor and takes frames in the order in which they come. After each shot goes
a fence, an echo request that the policy allows: what the guest sends between the answers to two
fences is what it says to the shot between them, and silence needs no waiting.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from scapy.layers.inet import TCP
from scapy.layers.inet6 import ICMPv6MLReport2, ICMPv6ND_NS
from scapy.layers.l2 import ARP, Ether

from factory.image.build import archive
from factory.vm.qemu import Accelerator, Direct, Machine, Nic
from tests.support.attack.act import Act
from tests.support.attack.agent_line import AGENT, BEGIN, END, Inside
from tests.support.attack.markers import Fences
from tests.support.attack.observation import Seen, words
from tests.support.attack.shot import Shot, ip, tags
from tests.support.mac_addresses import GUEST_MACS, PEER_MACS
from tests.support.vm.guest import LOGS, Guest
from tests.support.vm.peer import Peer
from tests.support.vm.wire import Frame, Wire

T = TypeVar("T")
MEMORY = 128
MODULES = "tests/support/attack"
BESIDE = ("room_access.py", "socket_steps.py")
FENCE_SECONDS = 60.0
WINDOW = 8
"""How many fences may be under way."""

BATCH = 500
"""Shots between two looks at the taps, which hold some thousand packets each."""

SETTLE = 0.1

ALL_FRAMES = ("-global", "virtio-net-pci.ctrl_vlan=off", "-global", "virtio-net-pci.ctrl_rx=off")
"""The card hands on every frame, so that it is the kernel that has to drop what is not for it."""


class Bench:
    """A guest under fire. `kept`: ports of the peer whose calls are not hung up."""

    def __init__(
        self, guest: Guest, wires: tuple[Wire, ...], peers: tuple[Peer, ...], inside: Inside,
        fences: Fences,
    ) -> None:  # fmt: skip
        self.guest = guest
        self.wires = wires
        self.peers = peers
        self.inside = inside
        self.kept: set[int] = set()
        self._fences = fences
        self._changed = threading.Condition()
        self._reached = 0
        self._log: list[tuple[int, Frame]] = []
        for nic, wire in enumerate(wires):
            wire.listen(lambda frame, nic=nic: self._hear(nic, frame))  # type: ignore[misc]

    def _hear(self, nic: int, frame: Frame) -> None:
        self._hang_up(nic, frame)
        with self._changed:
            number = Fences.number(frame)
            if number is not None:
                self._reached = max(self._reached, number)
                self._changed.notify_all()
            self._log.append((nic, frame))

    def _hang_up(self, nic: int, frame: Frame) -> None:
        """Answer a SYN-ACK with a RST: nothing stays half open, and none is sent twice."""
        data = frame.data
        six = data[12:14] == b"\x86\xdd"
        at = 14 + (40 if six else (data[14] & 15) * 4)
        protocol = data[20] if six else data[23]
        if protocol != 6 or len(data) < at + 14 or data[at + 13] & 0x3F != 0x12:
            return
        if any(number % 2 == 0 for number in tags(data)):
            return  # a shot that was passed on, see `shot.tag`
        packet = frame.packet
        head, said = packet.payload, packet.payload.payload
        if not isinstance(said, TCP) or said.dport in self.kept:
            return
        reset = TCP(sport=said.dport, dport=said.sport, flags="R", seq=said.ack)
        back = ip(head.dst, head.src) / reset
        self.wires[nic].send(Ether(src=packet.dst, dst=packet.src) / back)

    # Shots

    def fire(self, shots: Sequence[Shot]) -> list[Seen]:
        """Fire all; what came of each, in their order."""
        return [
            seen
            for at in range(0, len(shots), BATCH)
            for seen in self._fire(shots[at : at + BATCH])
        ]

    def _fire(self, shots: Sequence[Shot]) -> list[Seen]:
        since = len(self._log)
        self.inside.do("tapped")
        first = self.fence()
        ends = []
        for shot in shots:
            for frame in shot.frames:
                self.wires[shot.nic].send(frame)
            ends.append(self._send_fence())
            if len(ends) > WINDOW:
                self._wait(ends[-WINDOW])
        if ends:
            self._wait(ends[-1])
        arrived: dict[int, set[tuple[int, int]]] = {}
        for number, version, protocol in self.inside.do("tapped"):
            arrived.setdefault(number, set()).add((version, protocol))
        # The cards have a thread each: what was passed on may be seen after the fence's answer.
        time.sleep(SETTLE)
        heard = self._between(since, [first, *ends])
        passed = self._passed(since, shots)
        return [
            Seen(
                shot,
                tuple(sorted(set().union(*(arrived.get(n, set()) for n in shot.tags)))),
                (
                    *(f for f in heard[end] if f not in passed),
                    *(f for f in passed if _is_of(f, shot)),
                ),
            )
            for shot, end in zip(shots, ends, strict=True)
        ]

    def _passed(self, since: int, shots: Sequence[Shot]) -> list[tuple[int, Frame]]:
        """The frames that carry a shot's packet out by another card, known by its tag."""
        if len(self.wires) == 1:
            return []
        cards = {number: shot.nic for shot in shots for number in shot.tags}
        with self._changed:
            log = self._log[since:]
        return [
            (nic, frame)
            for nic, frame in log
            if any(cards.get(number, nic) != nic for number in tags(frame.data))
        ]

    def fence(self) -> int:
        """Wait until the guest has looked at everything that was sent; the fence's number."""
        number = self._send_fence()
        self._wait(number)
        return number

    def act(self, acts: Sequence[Act]) -> list[tuple[Act, tuple[str, str]]]:
        """Have acts done inside; what the program was told of each, and what left by any card."""
        since, first = len(self._log), self.fence()
        done = []
        for act in acts:
            said = self.inside.do("attempt", act.uid, list(act.steps))
            done.append((act, said, self.fence()))
        heard = self._between(since, [first, *(end for _, _, end in done)])
        return [
            (act, (said, " ".join(dict.fromkeys(words(f.packet) for _, f in heard[end]))))
            for act, said, end in done
        ]

    def left_during(self, work: Callable[[], T]) -> tuple[T, list[Frame]]:
        """Do something; what it gave back, and all that left by any card, background apart."""
        since, first = len(self._log), self.fence()
        result = work()
        end = self.fence()
        return result, [frame for _, frame in self._between(since, [first, end])[end]]

    def _send_fence(self) -> int:
        number, frame = self._fences.frame()
        self.wires[self._fences.nic].send(frame)
        return number

    def _wait(self, number: int) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: self._reached >= number, FENCE_SECONDS):
                raise AssertionError(f"the guest did not answer fence {number}")

    def _between(self, since: int, ends: list[int]) -> dict[int, list[tuple[int, Frame]]]:
        """The frames before each fence's answer, background apart."""
        with self._changed:
            log = self._log[since:]
        found: dict[int, list[tuple[int, Frame]]] = {end: [] for end in ends}
        waiting: list[tuple[int, Frame]] = []
        for nic, frame in log:
            number = Fences.number(frame)
            if number is not None:
                if number in found:
                    found[number] += waiting
                waiting = []
            elif not self._background(nic, frame):
                waiting.append((nic, frame))
        return found

    def _background(self, nic: int, frame: Frame) -> bool:
        """What the kernel says by itself: who has an address of those it may reach, its groups."""
        packet = frame.packet
        if ICMPv6MLReport2 in packet:
            return True
        if ARP in packet and packet[ARP].op == 1:
            return packet[ARP].pdst in self.peers[nic].addresses
        if ICMPv6ND_NS in packet:
            return packet[ICMPv6ND_NS].tgt in self.peers[nic].addresses
        return False


def _is_of(found: tuple[int, Frame], shot: Shot) -> bool:
    return found[0] != shot.nic and bool(shot.tags & tags(found[1].data))


@contextmanager
def booted(
    name: str, boots: Direct, accelerated: Accelerator, fences: Fences,
    cards: Sequence[Iterable[str]],
) -> Iterator[Bench]:  # fmt: skip
    """Boot an image with the agent's archive beside it, a card for each set of peer's addresses."""
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="bench-"))
        beside = Path(folder) / "initramfs"
        assert boots.initrd is not None
        beside.write_bytes(boots.initrd.read_bytes() + agent_archive())
        wires = tuple(
            stack.enter_context(Wire(LOGS / f"adversary-{name}-{number}.pcap"))
            for number in range(len(cards))
        )
        nics = tuple(Nic(wire.netdev, mac) for wire, mac in zip(wires, GUEST_MACS, strict=False))
        peers = tuple(
            Peer(wire, *macs, addresses)
            for wire, macs, addresses in zip(
                wires, zip(PEER_MACS, GUEST_MACS, strict=True), cards, strict=False
            )
        )
        inside = stack.enter_context(Inside())
        direct = Direct(boots.kernel, beside, f"{boots.cmdline} {BEGIN} {END}")
        machine = Machine(direct, nics, MEMORY)
        guest = stack.enter_context(
            Guest(f"adversary-{name}", machine, accelerated, LOGS, [*inside.options, *ALL_FRAMES])
        )
        inside.wait()
        guest.wait_for_prompt()
        yield Bench(guest, wires, peers, inside, fences)


def agent_archive() -> bytes:
    """The agent as an archive that the kernel unpacks beside what is shipped."""
    own = AGENT.read_bytes()
    files = {
        "agent.py": own,
        f"{MODULES}/agent.py": own,
        **{f"{MODULES}/{name}": AGENT.with_name(name).read_bytes() for name in BESIDE},
    }
    data = archive("adversary", files)
    return subprocess.run(["zstd", "-q", "-c"], input=data, check=True, capture_output=True).stdout
