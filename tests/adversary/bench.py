"""One booted image, its wires and the agent inside: shots are fired, and what came of each is told.

In: the files of an image, shots.  Out: `Seen` for each.  No root.

The guest has one processor and takes frames in the order in which they come. After each shot goes
a fence, an echo request that the policy allows: what the guest sends between the answers to two
fences is what it says to the shot between them, and silence needs no waiting.
"""

from __future__ import annotations

import itertools
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6MLReport2, ICMPv6ND_NA, ICMPv6ND_NS
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from factory.image import archive
from factory.qemu import Accelerator, Direct, Machine, Nic
from tests.adversary.acts import Act
from tests.adversary.inside import AGENT, BEGIN, END, Inside
from tests.adversary.shot import Shot, ip, tags
from tests.boot.guest import Guest
from tests.boot.peer import Peer
from tests.boot.probe import answer
from tests.boot.wire import Frame, Wire

LOGS = Path("build/log")
MEMORY = 128
FENCE_ID = 0xFE11
FENCE_SECONDS = 60.0
WINDOW = 8
"""How many fences may be under way."""

BATCH = 500
"""Shots between two looks at the taps, which hold some thousand packets each."""

SETTLE = 0.1

EXTENSIONS = (0, 43, 44, 60)
"""IPv6 headers that a raw socket sees as protocols; what they carry may still be dropped."""
PEER_MACS = ("52:54:00:00:00:fe", "52:54:00:00:01:fe")
GUEST_MACS = ("52:54:00:12:34:56", "52:54:00:12:34:57")


ALL_FRAMES = ("-global", "virtio-net-pci.ctrl_vlan=off", "-global", "virtio-net-pci.ctrl_rx=off")
"""The card hands on every frame, so that it is the kernel that has to drop what is not for it."""


@dataclass(frozen=True)
class Seen:
    """What came of a shot. `frames`: what the guest sent, by any of its cards."""

    shot: Shot
    arrived: tuple[tuple[int, int], ...]
    frames: tuple[tuple[int, Frame], ...]

    @property
    def answer(self) -> str:
        """What came back by the card of the shot, and was not passed on to it."""
        back = (told(frame.packet) for nic, frame in self.frames if nic == self.shot.nic)
        return " ".join(dict.fromkeys(back))

    @property
    def passed(self) -> bool:
        """Whether it left by another card."""
        return any(nic != self.shot.nic and self.shot.tags & tags(frame.data)
                   for nic, frame in self.frames)  # fmt: skip

    @property
    def stray(self) -> tuple[str, ...]:
        """What left by another card and is not the packet of the shot."""
        return tuple(
            told(frame.packet)
            for nic, frame in self.frames
            if nic != self.shot.nic and not self.shot.tags & tags(frame.data)
        )

    @property
    def handed_on(self) -> bool:
        """Whether a protocol was handed what the packet carries."""
        return any(version == 4 or number not in EXTENSIONS for version, number in self.arrived)

    @property
    def good(self) -> bool:
        """Whether all is as the shot says."""
        return (
            self.handed_on == self.shot.arrives
            and self.answer in (self.shot.answer, *([""] if self.shot.limited else []))
            and self.passed == self.shot.passes
            and not self.stray
        )


@dataclass
class Fences:
    """Echo requests from `source` to `own`, which are answered."""

    source: str
    own: str
    nic: int = 0
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def frame(self) -> tuple[int, bytes]:
        """The next one, and its number."""
        number = next(self._numbers)
        data = number.to_bytes(8, "big")
        echo = ICMP(id=FENCE_ID, seq=number & 0xFFFF) / data
        ether = Ether(src=PEER_MACS[self.nic], dst=GUEST_MACS[self.nic])
        return number, bytes(ether / IP(src=self.source, dst=self.own) / echo)

    @staticmethod
    def number(frame: Frame) -> int | None:
        """The number of the fence that a frame answers."""
        data = frame.data
        if data[12:14] != b"\x08\x00" or data[23] != 1 or data[34:36] != b"\0\0":
            return None
        if int.from_bytes(data[38:40], "big") != FENCE_ID:
            return None
        return int.from_bytes(data[42:50], "big")


class Bench:
    """A guest under fire."""

    def __init__(
        self, guest: Guest, wires: tuple[Wire, ...], peers: tuple[Peer, ...], inside: Inside,
        fences: Fences,
    ) -> None:  # fmt: skip
        self.guest = guest
        self.wires = wires
        self.peers = peers
        self.inside = inside
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
        packet = frame.packet
        head, said = packet.payload, packet.payload.payload
        if not isinstance(said, TCP):
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


def told(packet: Packet) -> str:
    """What a frame says to a shot, in a word or two."""
    said = answer(packet)
    if said is None:
        return words(packet)
    # With ECN a SYN-ACK has one flag more (RFC 3168 6.1.1).
    return "syn-ack" if said.verdict == "tcp SAE" else said.verdict


def words(packet: Packet) -> str:
    """Whose frame it is and what it asks."""
    body = packet.payload
    inner = body.payload
    found = packet.summary()
    if isinstance(body, ARP):
        found = f"arp who-has {body.pdst}" if body.op == 1 else "arp reply"
    elif isinstance(inner, ICMP):
        found = f"icmp {inner.type}/{inner.code}"
    elif isinstance(inner, ICMPv6ND_NS):
        found = f"who-has {inner.tgt}"
    elif isinstance(inner, ICMPv6ND_NA):
        found = f"neighbour {inner.tgt}"
    elif isinstance(inner, TCP | UDP):
        kind = "tcp" if isinstance(inner, TCP) else "udp"
        found = f"{kind} {body.src}:{inner.sport} > {body.dst}:{inner.dport}"
    elif isinstance(body, IP):
        found = f"protocol {body.proto} {body.src} > {body.dst}"
    return found


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
    data = archive("adversary", {"agent.py": AGENT.read_bytes()})
    return subprocess.run(["zstd", "-q", "-c"], input=data, check=True, capture_output=True).stdout
