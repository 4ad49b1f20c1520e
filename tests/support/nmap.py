"""nmap(1), and what it says.

In: where to run it, what to scan.  Out: ports by their state.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.vm.tap_guest import Judge

PACE = ("--max-retries", "1", "--min-rate", "2000", "--max-rtt-timeout", "300ms")


@dataclass(frozen=True)
class Scan:
    """Ports (or protocols) that nmap names, by state; and the states of all those it sums up."""

    named: dict[int, str]
    rest: dict[str, int]

    def having(self, state: str) -> set[int]:
        """The ports that it names with a state."""
        return {port for port, found in self.named.items() if found == state}

    @property
    def states(self) -> set[str]:
        """All states there are."""
        return {*self.named.values(), *self.rest}

    @property
    def count(self) -> int:
        """How many ports were looked at."""
        return len(self.named) + sum(self.rest.values())


def scan(judge: Judge, target: str, *options: str, ports: Sequence[int] | str) -> Scan:
    """Scan a target that is taken to be there. Raises AssertionError where nmap fails."""
    wanted = ports if isinstance(ports, str) else ",".join(map(str, ports))
    six = ("-6",) if ":" in target else ()
    # The kernel asks for hardware addresses: from those behind the link nmap would itself.
    lost = judge.lost
    done = judge.run(
        "nmap", *six, "-n", "-Pn", "--send-ip", *PACE, *options, "-p", wanted, "-oX", "-", target
    )
    assert done.returncode == 0, done.stderr
    assert judge.lost == lost, "the appliance was not given every packet"
    found = ET.fromstring(done.stdout).find("host/ports")  # noqa: S314  nmap's own
    assert found is not None, done.stdout
    return Scan(
        {int(port.attrib["portid"]): _state(port) for port in found.iter("port")},
        {each.attrib["state"]: int(each.attrib["count"]) for each in found.iter("extraports")},
    )


def _state(port: ET.Element) -> str:
    state = port.find("state")
    assert state is not None
    return state.attrib["state"]
