"""nmap(1) and its results.

In: the namespace to run it in, the target.  Out: ports by their state.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.vm.tap_guest import ToolNamespace

PACE = ("--max-retries", "1", "--min-rate", "2000", "--max-rtt-timeout", "300ms")


@dataclass(frozen=True)
class Scan:
    """Ports (or protocols) that nmap lists, by state, and the number of all others by state."""

    state_by_port: dict[int, str]
    other_states: dict[str, int]

    def ports_in(self, state: str) -> set[int]:
        """The listed ports with a state."""
        return {port for port, port_state in self.state_by_port.items() if port_state == state}

    @property
    def states(self) -> set[str]:
        """All states in the result."""
        return {*self.state_by_port.values(), *self.other_states}

    @property
    def count(self) -> int:
        """How many ports were scanned."""
        return len(self.state_by_port) + sum(self.other_states.values())


def scan(side: ToolNamespace, target: str, *options: str, ports: Sequence[int] | str) -> Scan:
    """Scan a target without host discovery. Raises AssertionError if nmap fails."""
    port_list = ports if isinstance(ports, str) else ",".join(map(str, ports))
    six = ("-6",) if ":" in target else ()
    # The kernel resolves hardware addresses; nmap itself would do so from sources behind the link.
    dropped = side.dropped_frames
    done = side.run(
        "nmap", *six, "-n", "-Pn", "--send-ip", *PACE, *options, "-p", port_list, "-oX", "-", target
    )
    assert done.returncode == 0, done.stderr
    assert side.dropped_frames == dropped, "frames to the appliance were dropped"
    ports_element = ET.fromstring(done.stdout).find("host/ports")  # noqa: S314  nmap's own
    assert ports_element is not None, done.stdout
    return Scan(
        {int(port.attrib["portid"]): _state(port) for port in ports_element.iter("port")},
        {
            each.attrib["state"]: int(each.attrib["count"])
            for each in ports_element.iter("extraports")
        },
    )


def _state(port: ET.Element) -> str:
    state = port.find("state")
    assert state is not None
    return state.attrib["state"]
