"""The rules of one address family, from the entries of the policy.

In: the `CompileContext` of one family.  Out: `Rule` values with their preferences: the dispatch,
then the bands of `output_rules` and `input_rules`, then the tail, then those of `room_rules`.
"""

from __future__ import annotations

from pbrinit.compiler.assembler import Label
from pbrinit.compiler.context import CompileContext
from pbrinit.compiler.input_rules import input_rules
from pbrinit.compiler.layout import DISPATCH, INPUT, INPUT_SIZE, OUTPUT, ROOM_SIZE, ROOMS, TAIL
from pbrinit.compiler.links import arp_beyond
from pbrinit.compiler.log_rules import log_rules
from pbrinit.compiler.output_rules import COMMON_FIRST, output_rules
from pbrinit.compiler.room_rules import room_rules
from pbrinit.net.addresses import Family, InterfaceAddress, Prefix, host
from pbrinit.plan.plan import LOOPBACK, TABLE_LOCAL, TABLE_MAIN, Action, Rule
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.programs import ROOT

EVERY_PROTOCOL = range(1, 256)
"""All protocols that a rule can match: `ipproto 0` means any. So 0 is left to ARP's look-ups."""


def family_rules(context: CompileContext) -> list[Rule]:
    """Every rule of one family, lowest preference first.

    Raises CompileError.
    """
    policy, code = context.policy, context.code
    output, tail = Label("output"), Label("the tail")
    inputs = [Label(f"arrives by {interface.name}") for interface in policy.interfaces]
    rooms = [Label(f"from the room {program.name}") for program in policy.rooms]
    code.band("the dispatch", DISPATCH + 1, OUTPUT)
    code.goto(output, iif=LOOPBACK, note="sent from here")
    for interface, label in zip(policy.interfaces, inputs, strict=True):
        code.goto(label, iif=interface.device, note=f"arrives by {interface.name}")
    for program, label in zip(policy.rooms, rooms, strict=True):
        code.goto(label, iif=program.device, note=f"from the room {program.name}")
    code.add(Action.BLACKHOLE, note="arrives by a device that the policy does not name")
    code.band("output", OUTPUT, INPUT)
    code.mark(output)
    output_rules(context, tail)
    for number, (interface, label) in enumerate(zip(policy.interfaces, inputs, strict=True)):
        first = INPUT + number * INPUT_SIZE
        code.band(interface.name, first, first + INPUT_SIZE)
        code.mark(label)
        input_rules(context, interface, tail)
    code.band("the tail", TAIL, TAIL + INPUT_SIZE)
    code.mark(tail)
    _tail(context)
    for number, (program, label) in enumerate(zip(policy.rooms, rooms, strict=True)):
        first = ROOMS + number * ROOM_SIZE
        code.band(f"the room {program.name}", first, first + ROOM_SIZE)
        code.mark(label)
        room_rules(context, program)
    return code.rules()


def _tail(context: CompileContext) -> None:
    """Refuse what arrives. In IPv4 every protocol is refused by its number, the common ones first.
    What is left is ARP: arp_process looks up with protocol 0, which no rule can match.

    Where every refused packet is logged, the kernel has to generate an ICMP error, which
    `output_rules` routes to this machine; a blackhole generates none. Where deny entries have a log
    of their own, what they name comes first.
    """
    policy, code = context.policy, context.code
    for interface in policy.interfaces:
        log_rules(context, interface)
    refuse = Action.PROHIBIT if policy.log else Action.BLACKHOLE
    if context.family is Family.V4:
        code.add(Action.NOP, note="every protocol that has a number")
        others = (number for number in EVERY_PROTOCOL if number not in COMMON_FIRST)
        for protocol in (*COMMON_FIRST, *others):
            action = refuse if protocol in COMMON_FIRST else Action.BLACKHOLE
            code.add(action, protocol=protocol, note="not allowed")
        for interface in policy.interfaces:
            for address in interface.addresses_of(context.family):
                for prefix in dict.fromkeys((address.network, *arp_beyond(interface))):
                    _accept_arp(context, interface, address, prefix)
    last = Action.BLACKHOLE if context.family is Family.V4 else refuse
    code.add(last, note="everything else")


def _accept_arp(
    context: CompileContext, interface: Interface, address: InterfaceAddress, on_link: Prefix
) -> None:
    own = host(address)
    context.code.add(
        Action.LOOKUP, TABLE_MAIN, iif=LOOPBACK, source=own, destination=on_link, uid=ROOT,
        note="ARP's return path",
    )  # fmt: skip
    context.code.add(
        Action.LOOKUP, TABLE_LOCAL, iif=interface.device, source=on_link, destination=own,
        note="ARP",
    )  # fmt: skip
