"""What arrived and went nowhere, by kind, from the kernel's own counters.

In: nothing.  Out: each kind with its count since boot and what it means.  Source: the counters
of RFC 4293 in /proc/net/snmp and snmp6, Linux's own in /proc/net/netstat and
/proc/net/stat/rt_cache; where each is counted is said by the function of Linux 6.12.

What a program here is refused, it is told at once, and no counter counts it.
"""

from __future__ import annotations

SNMP, NETSTAT, SNMP6 = "/proc/net/snmp", "/proc/net/netstat", "/proc/net/snmp6"
ROUTES = "/proc/net/stat/rt_cache"

KINDS = (
    ("refused", "IPv4", SNMP, "Ip:", ("InAddrErrors",),
     "no rule let it in, by a device that passes nothing on (ip_error)"),
    ("no-way-back", "IPv4", NETSTAT, "TcpExt:", ("IPReversePathFilter",),
     "nobody there is spoken to: the return path check (__fib_validate_source)"),
    ("no-route", "IPv4", ROUTES, "", ("in_no_route",),
     "refused, of the whole machine: by every device and every room, ARP as well"
     " (ip_route_input_slow)"),
    ("martian", "IPv4", ROUTES, "", ("in_martian_src", "in_martian_dst"),
     "an address that no packet has here, of the whole machine; no-way-back is part of it"),
    ("damaged", "IPv4", SNMP, "Ip:", ("InHdrErrors", "InDiscards"),
     "a header that cannot be, or no memory for it (ip_rcv_core)"),
    ("in-pieces", "IPv4", SNMP, "Ip:", ("ReasmFails",),
     "fragments that never became whole (ip_frag_queue)"),
    ("not-delivered", "IPv6", SNMP6, "",
     ("Ip6InReceives", "-Ip6InDelivers", "-Ip6OutForwDatagrams", "-Ip6ReasmReqds", "Ip6ReasmOKs"),
     "what arrived, less what was delivered or passed on: a blackhole counts nothing by itself"
     " (ip6_blk_hole_entry_template)"),
    ("no-route", "IPv6", SNMP6, "", ("Ip6InNoRoutes", "Ip6InAddrErrors"),
     "part of the above: no rule at all, or an address that no packet has (ip6_pkt_drop)"),
    ("damaged", "IPv6", SNMP6, "", ("Ip6InHdrErrors", "Ip6InTruncatedPkts", "Ip6InDiscards"),
     "part of the above: a header that cannot be, or no memory for it (ip6_rcv_core)"),
    ("in-pieces", "IPv6", SNMP6, "", ("Ip6ReasmFails",),
     "fragments that never became whole (ip6_frag_queue)"),
    ("nobody-listens", "both", SNMP, "Udp:", ("NoPorts",),
     "let in over IPv4, to a UDP port that no program has (__udp4_lib_rcv)"),
    ("overrun", "both", NETSTAT, "TcpExt:", ("ListenDrops",),
     "let in, to a program that does not take connections fast enough (tcp_conn_request)"),
)  # fmt: skip
"""Name, family, file, line, counters and meaning; what begins with - is taken off."""


def read() -> list[dict[str, str | int]]:
    """Each kind: `kind`, `family`, `count`, `about`.

    Raises OSError where the kernel has no such file.
    """
    files: dict[tuple[str, str], dict[str, int]] = {}
    counters: list[dict[str, str | int]] = []
    for kind, family, path, line, names, about in KINDS:
        if (path, line) not in files:
            files[path, line] = _hexadecimal(path) if path == ROUTES else _decimal(path, line)
        values = files[path, line]
        count = sum(
            -values.get(name[1:], 0) if name.startswith("-") else values.get(name, 0)
            for name in names
        )
        counters.append({"kind": kind, "family": family, "count": max(count, 0), "about": about})
    return counters


def lines(counters: list[dict[str, str | int]]) -> list[str]:
    """The same for a person."""
    return [
        f"{counter['count']:>10}  {counter['family']}  {counter['kind']}: {counter['about']}"
        for counter in counters
    ]


def _rows(path: str) -> list[list[str]]:
    with open(path) as file:  # noqa: PTH123  pathlib is not in the image
        return [row.split() for row in file]


def _decimal(path: str, line: str) -> dict[str, int]:
    """Two lines of names and values after `line`, or a name and a value on each line."""
    rows = _rows(path)
    if not line:
        return {name: int(value) for name, value in rows}
    names, values = (row[1:] for row in rows if row[0] == line)
    return dict(zip(names, map(int, values), strict=True))


def _hexadecimal(path: str) -> dict[str, int]:
    """A line of names, then one for each processor (rt_cpu_seq_show, net/ipv4/route.c)."""
    names, *processors = _rows(path)
    totals = [sum(int(value, 16) for value in column) for column in zip(*processors, strict=True)]
    return dict(zip(names, totals, strict=True))
