"""The two programs of `two_room_machine` while the machine's address changes.

In: the machine and its peer.  Out: whether program one is reached, from where program two connects.
"""

from __future__ import annotations

from tests.support.namespaces import in_namespace, run_supervisor
from tests.support.namespaces.in_namespace import Probe
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
    """A program that connects to the peer again and again, and prints its own address."""
    return CLIENT.format(peer=peer, family="AF_INET6" if ":" in peer else "AF_INET")


def ssh_result(lab: Lab, address: str, source: str = MGMT) -> str:
    """The result of a TCP probe of program one, from a source address."""
    return lab.peer.do(in_namespace.send_probe, Probe("tcp", address, 22, source=(source, 0)))


def is_reached(lab: Lab, address: str) -> bool:
    """Whether program one answers."""
    return ssh_result(lab, address) == "answered"


def restart_counts(lab: Lab) -> dict[str, int]:
    """How often each program was started again."""
    return {p.name: p.restarts for p in lab.machine.do(run_supervisor.statuses)}


def sends_from(lab: Lab, address: str) -> bool:
    """Whether the last line of program two says that it connected from this address."""
    return lab.machine.do(run_supervisor.output).rstrip().endswith(f"by {address}")
