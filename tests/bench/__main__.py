"""Measures what a room costs: the same program with one, without one, and without any rules.

In: nothing.  Out: a table, or JSON: nanoseconds a packet, and microseconds a question and a
connection, in both families.  Two namespaces and a veth on this machine's kernel: read the ratios.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pbrinit.cli.build import load
from tests.support.namespaces import bench_acts, room_netns
from tests.support.namespaces.lab import Lab, Namespace

POLICY = """
hostname = "bench"
[interface.wan]
device = "eth0"
address = ["192.0.2.2/24", "2001:db8::2/64"]
gateway = ["192.0.2.1", "2001:db8::1"]
[service]
echo = ["udp/7000", "tcp/7000"]
[user]
echo = 1001
[run.echo]
command = ["/srv/echo"]
user = "echo"
isolate = {isolate}
[[input]]
service = "echo"
run = "echo"
"""
PORT, UID = 7000, 1001
PEER = ("192.0.2.1/24", "2001:db8::1/64")
ADDRESSES = {4: "192.0.2.2", 6: "2001:db8::2"}
PACKETS, QUESTIONS, CONNECTIONS, ROUNDS = 50_000, 3_000, 1_000, 5
NANO, MICRO = 1e9, 1e6
DRAIN_SECONDS = 1.0
"""Until the server has taken what its socket holds."""


@dataclass(frozen=True)
class Cost:
    """What one way to run the program costs in one family, the best of some rounds."""

    way: str
    version: int
    packet_ns: float
    question_us: float
    connection_us: float


@contextmanager
def without_rules() -> Iterator[tuple[Lab, Namespace]]:
    """The program on a machine as a kernel starts."""
    with Lab(PEER, ()) as lab:
        machine = lab.machine
        machine.run("ip", "link", "set", "lo", "up")
        machine.run("ip", "link", "set", "eth0", "up")
        for address in ADDRESSES.values():
            length, nodad = ("64", ("nodad",)) if ":" in address else ("24", ())
            machine.run("ip", "address", "add", f"{address}/{length}", "dev", "eth0", *nodad)
        yield lab, machine


@contextmanager
def with_rules(*, isolated: bool) -> Iterator[tuple[Lab, Namespace]]:
    """The program under the policy, in a room or beside PID 1."""
    with tempfile.TemporaryDirectory() as folder, Lab(PEER, ()) as lab:
        policy = Path(folder, "bench.toml")
        policy.write_text(POLICY.format(isolate=str(isolated).lower()))
        inside = room_netns.enforce(lab.machine, load(policy))
        try:
            yield lab, inside.get("echo", lab.machine)
        finally:
            for room in inside.values():
                room.close()


WAYS: dict[str, Callable[[], AbstractContextManager[tuple[Lab, Namespace]]]] = {
    "no rules": without_rules,
    "the policy, without a room": partial(with_rules, isolated=False),
    "the policy, in a room": partial(with_rules, isolated=True),
}


def measure(way: str) -> Iterator[Cost]:
    """What one way costs, in each family."""
    with WAYS[way]() as (lab, where):
        where.do(bench_acts.serve, PORT, UID)
        try:
            for version, address in ADDRESSES.items():
                lab.peer.do(bench_acts.round_trips, address, PORT, 100)
                rounds = range(ROUNDS)
                asked = [
                    lab.peer.do(bench_acts.round_trips, address, PORT, QUESTIONS) for _ in rounds
                ]
                made = [
                    lab.peer.do(bench_acts.connection_times, address, PORT, CONNECTIONS)
                    for _ in rounds
                ]
                where.do(bench_acts.signal_all, signal.SIGSTOP)
                sent = [lab.peer.do(bench_acts.send, address, PORT, PACKETS) for _ in rounds]
                where.do(bench_acts.signal_all, signal.SIGCONT)
                time.sleep(DRAIN_SECONDS)
                yield Cost(
                    way,
                    version,
                    min(sent) / PACKETS * NANO,
                    min(map(statistics.median, asked)) * MICRO,
                    min(map(statistics.median, made)) * MICRO,
                )
        finally:
            where.do(bench_acts.stop)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="for a program to read")
    asked = parser.parse_args()
    found = [cost for way in WAYS for cost in measure(way)]
    if asked.json:
        print(json.dumps([asdict(cost) for cost in found], indent=2))
        return 0
    table = Table("the program runs with", "IP", "ns a packet", "µs a question", "µs a connection")
    for cost in found:
        row = (cost.packet_ns, cost.question_us, cost.connection_us)
        table.add_row(cost.way, f"v{cost.version}", *(f"{value:,.0f}" for value in row))
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
