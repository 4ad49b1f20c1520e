"""The attack range: one booted image, its wires, and the agent in the guest.

In: the files of an image, shots.  Out: an `Observation` for each shot.  No root.

The guest has one processor and handles frames in the order of arrival. After each shot a marker is
sent, an echo request that the policy allows. What the guest sends between the answers to two
markers is its reply to the shot between them, so silence is known without waiting.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from scapy.layers.inet import TCP
from scapy.layers.inet6 import ICMPv6MLReport2, ICMPv6ND_NS
from scapy.layers.l2 import ARP, Ether

from factory.image.build import archive
from factory.vm.qemu import Accelerator, Direct, Machine, Nic
from tests.support.attack.act import Act
from tests.support.attack.agent_line import AGENT, SHIPPED_INIT, AgentLine
from tests.support.attack.markers import Markers
from tests.support.attack.observation import Observation, frame_words
from tests.support.attack.shot import Shot, ip, tags
from tests.support.mac_addresses import GUEST_MACS, PEER_MACS
from tests.support.vm.built_image import INIT, init_archive
from tests.support.vm.guest import LOGS, Guest
from tests.support.vm.peer import Peer
from tests.support.vm.wire import Frame, Wire

T = TypeVar("T")
MEMORY = 128
MODULE_FOLDER = "tests/support/attack"
AGENT_MODULES = ("room_access.py", "socket_steps.py")
MARKER_SECONDS = 60.0
WINDOW = 8
"""How many markers may be unanswered at a time."""

BATCH = 500
"""Shots between two reads of the taps, which hold some thousand packets each."""

SETTLE = 0.1

ALL_FRAMES = ("-global", "virtio-net-pci.ctrl_vlan=off", "-global", "virtio-net-pci.ctrl_rx=off")
"""The card passes every frame to the kernel, so that the kernel has to drop those to others."""


class AttackRange:
    """A guest under attack. `open_ports` are ports of the peer whose connections are not reset."""

    def __init__(
        self, guest: Guest, wires: tuple[Wire, ...], peers: tuple[Peer, ...], agent: AgentLine,
        markers: Markers,
    ) -> None:  # fmt: skip
        self.guest = guest
        self.wires = wires
        self.peers = peers
        self.agent = agent
        self.open_ports: set[int] = set()
        self._markers = markers
        self._changed = threading.Condition()
        self._reached = 0
        self._log: list[tuple[int, Frame]] = []
        for nic, wire in enumerate(wires):
            wire.listen(lambda frame, nic=nic: self._receive(nic, frame))  # type: ignore[misc]

    def _receive(self, nic: int, frame: Frame) -> None:
        self._reset(nic, frame)
        with self._changed:
            number = Markers.number(frame)
            if number is not None:
                self._reached = max(self._reached, number)
                self._changed.notify_all()
            self._log.append((nic, frame))

    def _reset(self, nic: int, frame: Frame) -> None:
        """Answer a SYN-ACK with a RST: nothing stays half open, and none is sent twice."""
        data = frame.data
        six = data[12:14] == b"\x86\xdd"
        at = 14 + (40 if six else (data[14] & 15) * 4)
        protocol = data[20] if six else data[23]
        if protocol != 6 or len(data) < at + 14 or data[at + 13] & 0x3F != 0x12:
            return
        if any(number % 2 == 0 for number in tags(data)):
            return  # a shot that was forwarded, see `shot.tag`
        packet = frame.packet
        head, segment = packet.payload, packet.payload.payload
        if not isinstance(segment, TCP) or segment.dport in self.open_ports:
            return
        reset = TCP(sport=segment.dport, dport=segment.sport, flags="R", seq=segment.ack)
        back = ip(head.dst, head.src) / reset
        self.wires[nic].send(Ether(src=packet.dst, dst=packet.src) / back)

    # Shots

    def fire(self, shots: Sequence[Shot]) -> list[Observation]:
        """Send all shots; the outcome of each, in order."""
        return [
            seen
            for at in range(0, len(shots), BATCH)
            for seen in self._fire(shots[at : at + BATCH])
        ]

    def _fire(self, shots: Sequence[Shot]) -> list[Observation]:
        since = len(self._log)
        self.agent.do("tapped_tags")
        first = self.wait_for_marker()
        ends = []
        for shot in shots:
            for frame in shot.frames:
                self.wires[shot.nic].send(frame)
            ends.append(self._send_marker())
            if len(ends) > WINDOW:
                self._wait(ends[-WINDOW])
        if ends:
            self._wait(ends[-1])
        arrived: dict[int, set[tuple[int, int]]] = {}
        for number, version, protocol in self.agent.do("tapped_tags"):
            arrived.setdefault(number, set()).add((version, protocol))
        # The cards have a thread each: a forwarded frame may arrive after the marker's answer.
        time.sleep(SETTLE)
        replies = self._frames_between(since, [first, *ends])
        forwarded = self._forwarded(since, shots)
        return [
            Observation(
                shot,
                tuple(sorted(set().union(*(arrived.get(n, set()) for n in shot.tags)))),
                (
                    *(f for f in replies[end] if f not in forwarded),
                    *(f for f in forwarded if _carries(f, shot)),
                ),
            )
            for shot, end in zip(shots, ends, strict=True)
        ]

    def _forwarded(self, since: int, shots: Sequence[Shot]) -> list[tuple[int, Frame]]:
        """The frames by which another card sent a shot's packet, known by its tag."""
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

    def wait_for_marker(self) -> int:
        """Wait until the guest has handled everything that was sent; the marker's number."""
        number = self._send_marker()
        self._wait(number)
        return number

    def _wait_for_neighbours(self, since: int) -> int:
        """`wait_for_marker`, and once more where the guest has asked for a neighbour's address:
        what waits for it leaves when the peer's answer is handled. The peer has answered by the
        time that the first marker is back, since it sees frames in their order.
        """
        number = self.wait_for_marker()
        if any(_asks_for_neighbour(frame) for _, frame in self._log[since:]):
            number = self.wait_for_marker()
        return number

    def perform(self, acts: Sequence[Act]) -> list[tuple[Act, tuple[str, str]]]:
        """Have the agent perform acts; the result of each, and what any card sent."""
        since, first = len(self._log), self.wait_for_marker()
        done = []
        for act in acts:
            at = len(self._log)
            result = self.agent.do("attempt", act.uid, list(act.steps))
            done.append((act, result, self._wait_for_neighbours(at)))
        frames = self._frames_between(since, [first, *(end for _, _, end in done)])
        return [
            (act, (said, " ".join(dict.fromkeys(frame_words(f.packet) for _, f in frames[end]))))
            for act, said, end in done
        ]

    def frames_during(self, work: Callable[[], T]) -> tuple[T, list[Frame]]:
        """Call `work`; its result, and all frames that any card sent, except background."""
        since, first = len(self._log), self.wait_for_marker()
        result = work()
        end = self.wait_for_marker()
        return result, [frame for _, frame in self._frames_between(since, [first, end])[end]]

    def _send_marker(self) -> int:
        number, frame = self._markers.frame()
        self.wires[self._markers.nic].send(frame)
        return number

    def _wait(self, number: int) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: self._reached >= number, MARKER_SECONDS):
                raise AssertionError(f"the guest did not answer marker {number}")

    def _frames_between(self, since: int, ends: list[int]) -> dict[int, list[tuple[int, Frame]]]:
        """The frames before each marker's answer, except background."""
        with self._changed:
            log = self._log[since:]
        frames_before: dict[int, list[tuple[int, Frame]]] = {end: [] for end in ends}
        waiting: list[tuple[int, Frame]] = []
        for nic, frame in log:
            number = Markers.number(frame)
            if number is not None:
                if number in frames_before:
                    frames_before[number] += waiting
                    waiting = []
            elif not self._background(nic, frame):
                waiting.append((nic, frame))
        return frames_before

    def _background(self, nic: int, frame: Frame) -> bool:
        """What the kernel sends by itself: queries for the peer's addresses, multicast reports."""
        packet = frame.packet
        if ICMPv6MLReport2 in packet:
            return True
        if ARP in packet and packet[ARP].op == 1:
            return packet[ARP].pdst in self.peers[nic].addresses
        if ICMPv6ND_NS in packet:
            return packet[ICMPv6ND_NS].tgt in self.peers[nic].addresses
        return False


def _asks_for_neighbour(frame: Frame) -> bool:
    packet = frame.packet
    return (ARP in packet and packet[ARP].op == 1) or ICMPv6ND_NS in packet


def _carries(sent: tuple[int, Frame], shot: Shot) -> bool:
    return sent[0] != shot.nic and bool(shot.tags & tags(sent[1].data))


@contextmanager
def boot_range(
    name: str, image: Direct, accelerated: Accelerator, markers: Markers,
    cards: Sequence[Iterable[str]],
) -> Iterator[AttackRange]:  # fmt: skip
    """Boot an image with the agent's archive after it, a card for each set of peer addresses."""
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="attack-"))
        initramfs = Path(folder) / "initramfs"
        assert image.initrd is not None
        initramfs.write_bytes(image.initrd.read_bytes() + agent_archive())
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
        agent = stack.enter_context(AgentLine())
        machine = Machine(replace(image, initrd=initramfs), nics, MEMORY)
        guest = stack.enter_context(
            Guest(f"adversary-{name}", machine, accelerated, LOGS, [*agent.options, *ALL_FRAMES])
        )
        agent.wait()
        guest.wait_for_prompt()
        yield AttackRange(guest, wires, peers, agent, markers)


def agent_archive() -> bytes:
    """The agent as an archive that the kernel unpacks after the shipped image, and that replaces
    `/init`: the kernel accepts no command line but its own.
    """
    own = AGENT.read_bytes()
    files = {
        "agent.py": own,
        f"{MODULE_FOLDER}/agent.py": own,
        **{f"{MODULE_FOLDER}/{name}": AGENT.with_name(name).read_bytes() for name in AGENT_MODULES},
    }
    shipped = {SHIPPED_INIT: INIT.read_bytes()}
    data = archive("adversary", files) + archive("adversary", shipped, 0o555) + init_archive(own)
    return subprocess.run(["zstd", "-q", "-c"], input=data, check=True, capture_output=True).stdout
