"""The two programs of `two_room_machine` while the machine's address changes.

In: the machine and its peer.  Out: which program is reached, from where the other one asks.
"""

from __future__ import annotations

from tests.support.namespaces import in_namespace, run_supervisor
from tests.support.namespaces.in_namespace import Question
from tests.support.namespaces.lab import Lab

SECONDS = 10
MGMT = "198.51.100.9"
CLIENT = """
import socket, time
while True:
    one = socket.socket(socket.{family})
    one.settimeout(1)
    try:
        one.connect(("{peer}", 80))
        print("by", one.getsockname()[0])
    except OSError as error:
        print("none:", error.strerror or error)
    time.sleep(0.1)
"""


def client(peer: str) -> str:
    """A program that asks the peer again and again, and prints from where."""
    return CLIENT.format(peer=peer, family="AF_INET6" if ":" in peer else "AF_INET")


def ssh(lab: Lab, address: str, source: str = MGMT) -> str:
    """What the first program says to somebody at that source."""
    return lab.peer.do(in_namespace.ask, Question("tcp", address, 22, source=(source, 0)))


def is_reached(lab: Lab, address: str) -> bool:
    """Whether it answers."""
    return ssh(lab, address) == "answered"


def restarts(lab: Lab) -> dict[str, int]:
    """How often each program was started again."""
    return {p.name: p.restarts for p in lab.machine.do(run_supervisor.statuses)}


def sends_by(lab: Lab, address: str) -> bool:
    """Whether the client's last word is that it has asked from there."""
    return lab.machine.do(run_supervisor.said).rstrip().endswith(f"by {address}")
