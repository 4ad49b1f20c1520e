"""Two machines on one wire: two network namespaces, joined by a veth pair named eth0.

In: a plan for the machine, addresses for the peer.  Out: what each of them observes.  Needs root,
or a user namespace; `make test` creates one if root does not start it.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from functools import cache
from types import TracebackType
from typing import ParamSpec, TypeVar

from tests.support.namespaces import agent

END_SECONDS = 5
P = ParamSpec("P")
T = TypeVar("T")


def wait_until(true: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition becomes true in that time."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


class ActError(Exception):
    """A call inside a namespace raised an exception; the message is its traceback."""


@cache
def _forker() -> socket.socket:
    """The socket to the process that forks agents; that process ends when this one ends."""
    ours, theirs = socket.socketpair()
    with theirs:
        subprocess.Popen(
            # In namespaces of its own too: scapy is imported where there is no device.
            ["unshare", "--net", "--mount", sys.executable, "-m", agent.__name__,
             str(theirs.fileno())],
            stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
        )  # fmt: skip
    return ours


class Namespace:
    """A network namespace with an agent process; it exists as long as the agent runs."""

    def __init__(self) -> None:
        acts, answers = os.pipe(), os.pipe()
        socket.send_fds(_forker(), [b"1"], [acts[0], answers[1]])
        for end in (acts[0], answers[1]):
            os.close(end)
        self._acts, self._answers = os.fdopen(acts[1], "wb"), os.fdopen(answers[0], "rb")
        self.pid: int = pickle.load(self._answers)
        """A process in the namespace."""
        self._process = os.pidfd_open(self.pid)

    def do(self, act: Callable[P, T], *arguments: P.args, **_: P.kwargs) -> T:
        """Call a function in the namespace; raises ActError if it raises an exception."""
        pickle.dump((act, arguments), self._acts)
        self._acts.flush()
        good, result = pickle.load(self._answers)
        if not good:
            raise ActError(result)
        answer: T = result
        return answer

    def run(self, *command: str) -> str:
        """Run a command in the namespace; raises CalledProcessError if it fails."""
        inside = ["nsenter", f"--target={self.pid}", "--net", "--mount", *command]
        return subprocess.run(inside, check=True, capture_output=True, text=True).stdout

    def close(self) -> None:
        """End the agent and with it the namespace."""
        self._acts.close()
        ended = select.poll()
        ended.register(self._process, select.POLLIN)  # pidfd_open(2)
        if not ended.poll(1000 * END_SECONDS):
            signal.pidfd_send_signal(self._process, signal.SIGKILL)
            ended.poll()
        os.close(self._process)
        self._answers.close()


class Lab:
    """The machine and its peers. The peers' ends are up; the plan sets up the machine's ends.

    A peer has addresses on the link, and others behind it. For those behind it the peer does not
    answer ARP and neighbour discovery, so only a machine that uses its gateway reaches them.
    """

    def __init__(self, on_link: Iterable[str], behind: Iterable[str]) -> None:
        self.machine = Namespace()
        self.peers: list[Namespace] = []
        self.peer = self.connect("eth0", on_link, behind)

    def connect(self, device: str, on_link: Iterable[str], behind: Iterable[str]) -> Namespace:
        """A peer at the other end of one of the machine's devices, where it is eth0."""
        peer = Namespace()
        self.peers.append(peer)
        peer.do(len, ())
        self.machine.do(len, ())
        self.machine.run(
            "ip", "link", "add", device, "type", "veth", "peer", "name", "eth0",
            "netns", str(peer.pid),
        )  # fmt: skip
        peer.run("ip", "link", "set", "lo", "up")
        for where, addresses in (("eth0", on_link), ("lo", behind)):
            for address in addresses:
                nodad = ("nodad",) if ":" in address else ()
                peer.run("ip", "address", "add", address, "dev", where, *nodad)
        # Until its link-local address is no longer tentative the peer resolves no neighbour
        # (ndisc_solicit, net/ipv6/ndisc.c), and the first probe would wait a second longer.
        settings = ("ipv4/conf/all/arp_announce=2", "ipv4/conf/all/arp_ignore=1")
        for setting in (*settings, "ipv6/conf/eth0/accept_dad=0"):
            peer.run("sysctl", "-qw", f"net/{setting}")
        peer.run("ip", "link", "set", "eth0", "up")
        return peer

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for namespace in (*self.peers, self.machine):
            namespace.close()
