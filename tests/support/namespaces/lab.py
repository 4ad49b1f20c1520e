"""Two machines on one wire: each a network namespace, joined by a veth pair named eth0.

In: a plan for the one, addresses for the other.  Out: what each sees.  Needs root, or a
user namespace in which `make test` runs everything where it is not started by root.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def until(true: Callable[[], bool], seconds: float) -> bool:
    """Whether it comes true in that time."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


class ActError(Exception):
    """What went wrong inside a namespace, with its traceback."""


class Namespace:
    """One network namespace, with an agent in it; it goes when the agent goes."""

    def __init__(self) -> None:
        self._agent = subprocess.Popen(
            ["unshare", "--net", "--mount", sys.executable, "-m", "tests.support.namespaces.agent"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    @property
    def pid(self) -> int:
        """A process in the namespace."""
        return self._agent.pid

    def do(self, act: Callable[P, T], *arguments: P.args, **_: P.kwargs) -> T:
        """Have a function of a module done in the namespace; raises ActError where it raises."""
        assert self._agent.stdin is not None
        assert self._agent.stdout is not None
        pickle.dump((act, arguments), self._agent.stdin)
        self._agent.stdin.flush()
        good, result = pickle.load(self._agent.stdout)
        if not good:
            raise ActError(result)
        answer: T = result
        return answer

    def run(self, *command: str) -> str:
        """Run a command in the namespace; raises where it fails."""
        inside = ["nsenter", f"--target={self.pid}", "--net", "--mount", *command]
        return subprocess.run(inside, check=True, capture_output=True, text=True).stdout

    def close(self) -> None:
        """End the agent and with it the namespace."""
        assert self._agent.stdin is not None
        self._agent.stdin.close()
        try:
            self._agent.wait(5)
        except subprocess.TimeoutExpired:
            self._agent.kill()
            self._agent.wait()
        assert self._agent.stdout is not None
        self._agent.stdout.close()


class Lab:
    """The machine and its peers. The peers' ends are up; the machine's are left to the plan.

    A peer has addresses on the link, and others behind it: for those it does not answer
    ARP and neighbour discovery, so that only a machine that uses its gateway reaches them.
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
        # Without a link-local address that is not tentative it asks for no neighbour
        # (ndisc_solicit, net/ipv6/ndisc.c), and the first question would wait a second more.
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
