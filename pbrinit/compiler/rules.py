"""The rules of one address family, from the entries of the policy.

In: the `Ground` of one family.  Out: `Rule` values with their preferences: the
dispatch, then the bands of `output` and `arrival`, then the tail, then those of `departure`.
"""

from __future__ import annotations

from pbrinit.compiler import log_rules
from pbrinit.compiler.assembler import Assembly, Label
from pbrinit.compiler.context import Ground
from pbrinit.compiler.input_rules import Arrival
from pbrinit.compiler.layout import DISPATCH, INPUT, INPUT_SIZE, OUTPUT, ROOM_SIZE, ROOMS, TAIL
from pbrinit.compiler.output_rules import COMMON_FIRST, Output
from pbrinit.compiler.room_rules import Departure
from pbrinit.net.addresses import Family, InterfaceAddress, host
from pbrinit.plan.plan import LOOPBACK, TABLE_LOCAL, TABLE_MAIN, Action, Rule
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.programs import ROOT

EVERY_PROTOCOL = range(1, 256)
"""All that a rule can name: `ipproto 0` means any, which leaves 0 to ARP's look-ups."""


def family_rules(ground: Ground) -> list[Rule]:
    """Every rule of one family, lowest preference first.

    Raises CompileError.
    """
    policy, family = ground.policy, ground.family
    code = Assembly(family)
    output, tail = Label("output"), Label("the tail")
    arrivals = [Label(f"arrives by {interface.name}") for interface in policy.interfaces]
    doors = [Label(f"from the room {run.name}") for run in policy.rooms]
    code.band("the dispatch", DISPATCH + 1, OUTPUT)
    code.goto(output, iif=LOOPBACK, note="sent from here")
    for interface, label in zip(policy.interfaces, arrivals, strict=True):
        code.goto(label, iif=interface.device, note=f"arrives by {interface.name}")
    for run, label in zip(policy.rooms, doors, strict=True):
        code.goto(label, iif=run.device, note=f"from the room {run.name}")
    code.add(Action.BLACKHOLE, note="arrives by a device without a name")
    code.band("output", OUTPUT, INPUT)
    code.mark(output)
    Output(code, ground).write(tail)
    for number, (interface, label) in enumerate(zip(policy.interfaces, arrivals, strict=True)):
        first = INPUT + number * INPUT_SIZE
        code.band(interface.name, first, first + INPUT_SIZE)
        code.mark(label)
        Arrival(code, interface, ground).write(tail)
    code.band("the tail", TAIL, TAIL + INPUT_SIZE)
    code.mark(tail)
    _tail(code, ground)
    for number, (run, label) in enumerate(zip(policy.rooms, doors, strict=True)):
        first = ROOMS + number * ROOM_SIZE
        code.band(f"the room {run.name}", first, first + ROOM_SIZE)
        code.mark(label)
        Departure(code, run, ground).write()
    return code.rules()


def _tail(code: Assembly, ground: Ground) -> None:
    """In IPv4 every protocol is refused by its number, the common ones first, so that what is
    left is ARP: arp_process looks up with protocol 0, which no rule can name.

    Where it is logged who was refused, the kernel is made to speak about it: `Output` leads what
    it says to this machine. A blackhole would be silent. Where deny entries are logged by
    themselves, what they name comes first.
    """
    policy, family = ground.policy, ground.family
    for interface in policy.interfaces:
        log_rules.write(code, interface, ground)
    heard = Action.PROHIBIT if policy.log else Action.BLACKHOLE
    if family is Family.V4:
        code.add(Action.NOP, note="every protocol that has a number")
        others = (p for p in EVERY_PROTOCOL if p not in COMMON_FIRST)
        for protocol in (*COMMON_FIRST, *others):
            action = heard if protocol in COMMON_FIRST else Action.BLACKHOLE
            code.add(action, protocol=protocol, note="not allowed")
        for interface in policy.interfaces:
            for address in interface.own(family):
                _arp(code, interface, address)
    last = Action.BLACKHOLE if family is Family.V4 else heard
    code.add(last, note="nothing is left")


def _arp(code: Assembly, interface: Interface, address: InterfaceAddress) -> None:
    own, network = host(address), address.network
    code.add(
        Action.LOOKUP, TABLE_MAIN, iif=LOOPBACK, source=own, destination=network, uid=ROOT,
        note="ARP's return path",
    )  # fmt: skip
    code.add(
        Action.LOOKUP, TABLE_LOCAL, iif=interface.device, source=network, destination=own,
        note="ARP",
    )  # fmt: skip
