"""A machine with a filter in force and the wires at its devices, in network namespaces.

In: a policy, put in force by our plan or by an nftables ruleset; shots and acts.  Out: for each the
observed outcome, a set of words: "arrives", "passes", "answered", "leaves".
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from pbrinit.plan.plan import Plan
from pbrinit.policy.policy import Direction
from pbrinit.policy.reader.reader import read_policy
from tests.support.attack.act import INDEX, Act
from tests.support.attack.observation import EXTENSIONS
from tests.support.attack.shot import Shot, tags
from tests.support.mac_addresses import GUEST_MACS, PEER_MACS
from tests.support.namespaces import in_namespace, nft_acts
from tests.support.namespaces.lab import Namespace

Verdict = frozenset[str]
NOTHING: Verdict = frozenset()
CHUNK = 80
"""Shots between two reads of the taps, which hold some two hundred packets each."""

QUIET = (
    "net/ipv4/icmp_ratelimit=0", "net/ipv4/icmp_ratemask=0", "net/ipv6/icmp/ratelimit=0",
    "net/ipv6/icmp/ratemask=250",
)  # fmt: skip
"""No rate limit for ICMP errors, so that the two filters can be compared."""

FORWARDING = ("net/ipv4/ip_forward=1", "net/ipv6/conf/all/forwarding=1")
IGNORED_TYPES = (b"\x08\x06", nft_acts.MARK_TYPE)
OWN_ICMPV6 = (133, 134, 135, 136, 143)
"""What the kernel sends by itself: neighbour discovery and listener reports."""


class FilteredMachine:
    """A machine with a filter in force."""

    def __init__(self, machine: Namespace, wires: Mapping[str, Namespace]) -> None:
        self._machine = machine
        self._wires = dict(wires)

    def fire(self, shots: Sequence[Shot]) -> list[Verdict]:
        """Send every frame; the outcome of each shot."""
        devices = list(self._wires)
        self._clear_captured()
        self._machine.do(nft_acts.tapped_tags)
        arrived: set[int] = set()
        for at in range(0, len(shots), CHUNK):
            chunk = shots[at : at + CHUNK]
            for nic, several in itertools.groupby(chunk, key=lambda shot: shot.nic):
                frames = [frame for shot in several for frame in shot.frames]
                self._wires[devices[nic]].do(in_namespace.transmit, frames)
            arrived |= {
                number
                for number, version, protocol in self._machine.do(nft_acts.tapped_tags)
                if version == 4 or protocol not in EXTENSIONS
            }
        sent = {device: _by_tag(self._sent_frames(device)) for device in devices}
        return [_verdict(shot, arrived, sent, devices[shot.nic]) for shot in shots]

    def perform(self, doing: Sequence[Act]) -> list[Verdict]:
        """Perform every act; whether it sent anything."""
        self._clear_captured()
        self._machine.do(nft_acts.perform, [(act.uid, act.steps) for act in doing], [*self._wires])
        left: set[int] = set()
        for device in self._wires:
            number = 0
            for frame in self._captured(device):
                if frame[12:14] == nft_acts.MARK_TYPE:
                    number = int.from_bytes(frame[14:18], "big") + 1
                elif _is_of_program(frame):
                    left.add(number)
            assert number == len(doing), f"{device}: {number} of {len(doing)} marks were seen"
        return [frozenset({"leaves"} if at in left else ()) for at in range(len(doing))]

    def _clear_captured(self) -> None:
        for wire in self._wires.values():
            wire.do(nft_acts.clear_captured)

    def _captured(self, device: str) -> list[bytes]:
        frames = self._wires[device].do(in_namespace.captured_frames)
        peer = bytes.fromhex(PEER_MACS[[*self._wires].index(device)].replace(":", ""))
        return [frame for frame in frames if frame[6:12] != peer]

    def _sent_frames(self, device: str) -> list[bytes]:
        own = bytes.fromhex(GUEST_MACS[[*self._wires].index(device)].replace(":", ""))
        return [frame for frame in self._captured(device) if frame[6:12] == own]


def _by_tag(frames: Sequence[bytes]) -> dict[int, list[bytes]]:
    frames_by_tag: dict[int, list[bytes]] = {}
    for frame in frames:
        for number in tags(frame):
            frames_by_tag.setdefault(number, []).append(frame)
    return frames_by_tag


def _verdict(
    shot: Shot, arrived: set[int], sent: Mapping[str, Mapping[int, Sequence[bytes]]], device: str
) -> Verdict:
    back = sent[device]
    observed = {
        "arrives": bool(shot.tags & arrived),
        "answered": any(
            number in back or _acknowledged(shot, number, back) for number in shot.tags
        ),
        "passes": any(shot.tags & each.keys() for name, each in sent.items() if name != device),
    }
    return frozenset(word for word, holds in observed.items() if holds)


def _acknowledged(shot: Shot, number: int, back: Mapping[int, Sequence[bytes]]) -> bool:
    """Whether a SYN-ACK or RST answers it: the next number, the ports exchanged."""
    for frame in back.get(number + 1, ()):
        at = 54 if frame[12:14] == b"\x86\xdd" else 34
        ports = frame[at + 2 : at + 4] + frame[at : at + 2]
        if any(ports in request for request in shot.frames):
            return True
    return False


def _is_of_program(frame: bytes) -> bool:
    six = frame[12:14] == b"\x86\xdd"
    # A listener report has a hop by hop header before it (RFC 3810 5).
    own = six and (frame[20] == 0 or (frame[20] == 58 and frame[54] in OWN_ICMPV6))
    return not own and frame[12:14] not in IGNORED_TYPES


@contextmanager
def with_plan(
    policy: Path, neighbours: Sequence[Sequence[str]], plan: Plan | None = None
) -> Iterator[FilteredMachine]:
    """A machine with the policy's plan in force, or with another plan."""

    def enforce(machine: Namespace) -> None:
        boot_plan = encode(plan or load(policy), policy.stem)
        assert machine.do(in_namespace.enforce, boot_plan) == []

    with _filtered_machine(policy, neighbours, enforce) as side:
        yield side


@contextmanager
def with_nftables(
    policy: Path, neighbours: Sequence[Sequence[str]], ruleset: Path
) -> Iterator[FilteredMachine]:
    """A machine with the policy's addresses and an nftables ruleset; it forwards if needed."""

    def enforce(machine: Namespace) -> None:
        machine.run("ip", "link", "set", "lo", "up")
        for interface in read_policy(policy).interfaces:
            machine.run("ip", "link", "set", interface.device, "up")
            for address in interface.addresses:
                machine.run("ip", "address", "add", str(address), "dev", interface.device)
            for gateway in interface.gateways:
                machine.run("ip", "route", "add", "default", "via", str(gateway))
        if any(entry.direction is Direction.FORWARD for entry in read_policy(policy).allows):
            machine.run("sysctl", "-qw", *FORWARDING)
        machine.run("nft", "-f", str(ruleset.resolve()))
        machine.do(in_namespace.wait_for_addresses)

    with _filtered_machine(policy, neighbours, enforce) as side:
        yield side


@contextmanager
def _filtered_machine(
    policy: Path, neighbours: Sequence[Sequence[str]], enforce: Callable[[Namespace], None]
) -> Iterator[FilteredMachine]:
    """The machine. Its neighbour table is complete, so no neighbour has to answer."""
    devices = [interface.device for interface in read_policy(policy).interfaces]
    with ExitStack() as stack:
        machine = _namespace(stack)
        wires = {}
        for device, mac, peer_mac in zip(devices, GUEST_MACS, PEER_MACS, strict=False):
            wires[device] = wire = _namespace(stack)
            wire.run("sysctl", "-qw", "net/ipv6/conf/default/disable_ipv6=1")
            machine.run(
                "ip", "link", "add", device, "address", mac, "type", "veth",
                "peer", "name", "eth0", "address", peer_mac, "netns", str(wire.pid),
            )  # fmt: skip
            wire.run("ip", "link", "set", "eth0", "up")
            wire.do(in_namespace.capture)
        index = machine.run("cat", "/sys/class/net/eth0/ifindex")
        assert int(index) == INDEX, f"eth0 is device {index}, the acts use {INDEX}"
        enforce(machine)
        machine.run("sysctl", "-qw", *QUIET)
        for device, mac, addresses in zip(devices, PEER_MACS, neighbours, strict=False):
            for address in addresses:
                machine.run("ip", "neigh", "replace", address, "lladdr", mac, "dev", device,
                            "nud", "permanent")  # fmt: skip
        machine.do(nft_acts.tap)
        yield FilteredMachine(machine, wires)


def _namespace(stack: ExitStack) -> Namespace:
    namespace = Namespace()
    stack.callback(namespace.close)
    namespace.do(len, ())
    return namespace
