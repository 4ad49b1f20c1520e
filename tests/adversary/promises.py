"""What is promised, and the table of probes that tests it: the source of docs/security.md's table.

In: the tables of this folder.  Out: the table in Markdown; `python -m tests.adversary.promises`
prints it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tests.adversary.tables import (
    host_fields,
    host_groups,
    host_inside,
    host_kernel,
    host_raw,
    host_tricks,
    host_wire,
    router_wire,
)
from tests.support.attack import held_connection

PROMISES: tuple[tuple[str, Callable[[], Iterable[Any]]], ...] = (
    ("A port is reached by those whom an entry names, and by nobody else", host_wire.ports),
    ("A service's port as source reaches client ports alone", host_wire.own_ports),
    ("A protocol that no entry names is not handed on: all 256", host_wire.protocols),
    ("TCP's flags open nothing: all 256 of them", host_wire.flags),
    ("A source that nobody behind the interface has is not heard", host_wire.spoofed),
    ("A frame that is not to our hardware address asks nothing", host_wire.hardware),
    ("Groups and broadcasts reach no more than hosts do", host_wire.groups),
    ("From 0.0.0.0 only what the kernel does not look up arrives", host_wire.from_nobody),
    ("ICMP of every type is answered by what the policy allows", host_wire.icmp_types),
    ("A machine that does not forward passes nothing on", host_wire.passing),
    ("A fragment reaches no port, in whatever order it comes", host_tricks.fragments),
    ("An atomic fragment reaches no port", host_tricks.atomic),
    ("A fragment that writes over another's ports reaches no port", host_tricks.overlapping),
    ("IP options open nothing, source routes are refused", host_tricks.options),
    ("Extension headers hide no port", host_tricks.chains),
    ("Damaged headers are answered by nothing", host_tricks.damaged),
    ("What is within a tunnel or a VLAN is not unpacked", host_tricks.inside_others),
    ("Fields that no rule looks at open and close nothing", host_fields.headers),
    ("What comes with TCP fast open is let in as a plain SYN is", host_fields.fast_open),
    ("Errors that are forged about a connection do not end it", held_connection.errors),
    ("Between two networks passes what a forward entry names, and its answer", router_wire.passing),
    ("A source that lives behind another interface passes nothing", router_wire.spoofed),
    ("Fragments, options and headers open no way through", router_wire.tricks),
    ("TCP's flags open no way through", router_wire.flags),
    ("ICMP passes between those who may ping each other", router_wire.icmp_types),
    ("A VLAN's frames do not pass", router_wire.tagged),
    ("A router's own addresses are reached from the side that has them", router_wire.to_itself),
    ("No preparation of a socket sends where no entry leads", host_inside.sockets),
    ("The ways of one user are no other's", host_inside.others_ways),
    ("Raw sockets and headers of one's own send nothing more", host_raw.raw),
    ("In IPv6 no group is spoken to; IPv4: see the ways out", host_groups.groups),
    ("The kernel has four address families", host_kernel.families),
    ("The kernel lacks, or root alone has, what would undo the rules", host_kernel.kernel),
)


def table() -> str:
    """The table, with a link from each promise to its probes, and their sum."""
    rows = ["| promised | probes | where |", "|---|---:|---|"]
    total = 0
    for promise, probes in PROMISES:
        count = sum(1 for _ in probes())
        total += count
        module = probes.__module__.rpartition(".")[2]
        file = probes.__module__.replace(".", "/")
        where = f"[`{module}.{probes.__name__}`](../{file}.py)"
        rows.append(f"| {promise} | {count:,} | {where} |")
    rows.append(f"| | **{total:,}** | |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
