"""What the kernel's martian lines would tell of a plan: `python -m tests.tools.martian_lines`.

In: nothing; root, and a kernel with CONFIG_IP_ROUTE_VERBOSE.  Out: for each of some packets what
the log of who was refused says, and how many martian lines the kernel prints; then how many it
prints of a flood.  docs/running.md tells what follows.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from tests.support.namespaces import in_namespace, run_reject_log
from tests.support.namespaces.lab import Lab

POLICY = """
log = true
hostname = "martians"
[interface.wan]
device  = "eth0"
address = "192.0.2.2/24"
gateway = "192.0.2.1"
[interface.lan]
device  = "eth1"
address = "10.0.0.1/16"
[network]
many = { file = "many.txt" }
[service]
ssh = "tcp/22"
[[input]]
service = "ssh"
[[deny]]
from = "many"
"""
MANY = "".join(f"198.18.{n}.0/25\n" for n in range(1, 41))
OWN, ALL, GROUP = "192.0.2.2", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:fb"


def _syn(source: str, destination: str, port: int = 22) -> Packet:
    return IP(src=source, dst=destination) / TCP(sport=40000, dport=port, flags="S")


def _hello(destination: str) -> Packet:
    return IP(src="192.0.2.77", dst=destination) / UDP(sport=68, dport=67) / b"hello"


CASES: dict[str, tuple[Packet, str | None]] = {
    "our own address": (_syn(OWN, OWN), None),
    "our own, of the other interface": (_syn("10.0.0.1", OWN), None),
    "an address that lives behind the other interface": (_syn("10.0.9.9", OWN), None),
    "a stranger, to a port that nobody serves": (_syn("203.0.113.7", OWN, 23), None),
    "from 127.0.0.9": (_syn("127.0.0.9", OWN), None),
    "from 224.0.0.9": (_syn("224.0.0.9", OWN), None),
    "from 255.255.255.255": (_syn("255.255.255.255", OWN), None),
    "to 127.0.0.1": (_syn("203.0.113.7", "127.0.0.1"), None),
    "to 0.0.0.0": (_syn("203.0.113.7", "0.0.0.0"), None),
    "one of 40 prefixes that a deny entry names": (_syn("198.18.7.7", OWN), None),
    "a neighbour, to 255.255.255.255": (_hello("255.255.255.255"), ALL),
    "a neighbour, to 224.0.0.251": (_hello("224.0.0.251"), GROUP),
}


class _Ring:
    """The kernel's log from now on."""

    def __init__(self) -> None:
        self._file = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self._file, 0, os.SEEK_END)

    def lines(self) -> list[str]:
        """What is new of it, of martians."""
        found = []
        while True:
            try:
                found.append(os.read(self._file, 8192).decode(errors="replace"))
            except BlockingIOError:
                return [line for line in found if "martian" in line or "ll header" in line]


def main() -> None:
    """Run it."""
    with tempfile.TemporaryDirectory() as folder, Lab(["192.0.2.1/24"], []) as lab:
        path = Path(folder) / "martians.toml"
        path.write_text(POLICY)
        path.with_name("many.txt").write_text(MANY)
        lab.connect("eth1", ["10.0.1.7/16"], [])
        assert lab.machine.do(in_namespace.enforce, encode(load(path), "martians")) == []
        lab.machine.run("sysctl", "-qw", "net.ipv4.conf.all.log_martians=1")
        lab.machine.do(run_reject_log.start)
        own, ours = lab.peer.do(in_namespace.mac), lab.machine.do(in_namespace.mac)
        ring = _Ring()

        def send(packet: Packet, hardware: str, times: int = 1) -> None:
            frame = bytes(Ether(src=own, dst=hardware) / packet)
            lab.peer.do(in_namespace.transmit, [frame] * times)

        print(f"{'what arrives':50} {'the log says':38} lines of the kernel")
        for name, (packet, hardware) in CASES.items():
            before = lab.machine.do(run_reject_log.entries)[0]
            send(packet, hardware or ours)
            heard_of, _, lines = lab.machine.do(run_reject_log.entries)
            said = lines[0].partition(" ")[2] if heard_of > before else "-"
            print(f"{name:50} {said:45} {len(ring.lines()):>12}")
        time.sleep(6)
        ring.lines()
        start = time.monotonic()
        for _ in range(20):
            send(CASES["from 127.0.0.9"][0], ours, 2000)
            time.sleep(1)
        print(
            f"40000 from 127.0.0.9 in {time.monotonic() - start:.0f} s: {len(ring.lines())} lines"
        )
        lab.machine.do(run_reject_log.stop)


if __name__ == "__main__":
    main()
