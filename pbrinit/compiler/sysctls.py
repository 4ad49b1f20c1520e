"""The sysctls that the filter relies on, each with its reason.

In: nothing, or an interface.  Out: `Sysctl` values for the machine and for one device.
Source of each meaning: Documentation/networking/ip-sysctl.rst of the kernel.
"""

from __future__ import annotations

from collections.abc import Iterable

from pbrinit.net.addresses import Family
from pbrinit.net.services import EPHEMERAL, Ports
from pbrinit.plan.plan import Sysctl
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import Direction, Policy

PORT_RANGE = "net/ipv4/ip_local_port_range"
MACHINE = (
    ("net/ipv4/ip_forward", "0", "this machine passes nothing on"),
    ("net/ipv6/conf/all/forwarding", "0", "this machine passes nothing on"),
    ("net/ipv4/ip_local_reserved_ports", "", "answer rules name the whole range"),
    ("net/ipv4/ip_nonlocal_bind", "0", "a source is our own"),
    ("net/ipv6/ip_nonlocal_bind", "0", "a source is our own"),
    ("net/ipv4/ping_group_range", "1\t0", "no user has a ping socket"),
    ("net/ipv4/icmp_echo_ignore_broadcasts", "1", "one echo request, at most one answer"),
    ("net/ipv4/icmp_errors_use_inbound_ifaddr", "0", "errors leave as the route says"),
    ("net/ipv6/icmp/echo_ignore_multicast", "1", "one echo request, at most one answer"),
    ("net/ipv6/icmp/echo_ignore_anycast", "1", "only our own addresses answer"),
    ("net/ipv4/tcp_mtu_probing", "1", "ICMP's word on path MTU is not heard in IPv4"),
    ("net/ipv4/tcp_syncookies", "1", "a flood of SYNs to an open port does not close it"),
    ("net/ipv4/fwmark_reflect", "0", "answers carry no mark"),
    ("net/ipv6/fwmark_reflect", "0", "answers carry no mark"),
)
"""Of the whole machine: key, value, reason."""

DEVICE = {
    Family.V4: (
        ("rp_filter", "2", "the return path is asked; which interface is right, the rules say"),
        ("src_valid_mark", "0", "the return path is asked without a mark"),
        ("accept_local", "0", "our own address does not come in from outside"),
        ("route_localnet", "0", "nor does 127.0.0.0/8"),
        ("accept_source_route", "0", "a sender does not choose the way"),
        ("accept_redirects", "0", "a neighbour does not change routes"),
        ("secure_redirects", "0", "nor does a gateway"),
        ("send_redirects", "0", "this machine tells nobody his routes"),
        ("shared_media", "0", "prefixes of other links are not on this one"),
        ("proxy_arp", "0", "only our own addresses are answered for"),
        ("arp_ignore", "2", "only by the link that has the address, to a sender of its prefix"),
        ("arp_announce", "2", "the link's own address asks"),
        ("arp_accept", "0", "nobody enters himself into the neighbour table"),
        ("bc_forwarding", "0", "no broadcast is passed on"),
        ("drop_gratuitous_arp", "1", "nobody changes the neighbour table unasked"),
        ("drop_unicast_in_l2_multicast", "1", "a frame to everybody asks one machine nothing"),
    ),
    Family.V6: (
        ("accept_ra", "0", "routers do not configure this machine"),
        ("autoconf", "0", "addresses are the policy's"),
        ("router_solicitations", "0", "no router is asked to"),
        ("accept_redirects", "0", "a neighbour does not change routes"),
        ("accept_source_route", "-1", "a sender does not choose the way"),
        ("proxy_ndp", "0", "only our own addresses are answered for"),
        ("keep_addr_on_down", "1", "a cable that comes back finds its addresses"),
        ("drop_unsolicited_na", "1", "nobody changes the neighbour table unasked"),
        ("drop_unicast_in_l2_multicast", "1", "a frame to everybody asks one machine nothing"),
        ("use_tempaddr", "0", "addresses are the policy's"),
    ),
}
"""Of one device, by family: key, value, reason."""


ROOM = (
    ("net/ipv4/ip_unprivileged_port_start", "0", "which ports lead here, the rules say"),
    ("net/ipv4/ping_group_range", "1\t0", "no user has a ping socket"),
    ("net/ipv4/tcp_mtu_probing", "1", "ICMP's word on path MTU does not get here"),
    ("net/ipv4/tcp_syncookies", "1", "a flood of SYNs to an open port does not close it"),
    ("net/ipv6/conf/all/accept_ra", "0", "routers do not configure a room"),
    ("net/ipv6/conf/default/accept_ra", "0", "routers do not configure a room"),
    ("net/ipv6/conf/default/router_solicitations", "0", "no router is asked to"),
    ("net/ipv6/conf/default/addr_gen_mode", "1", "its addresses are the machine's"),
    ("net/ipv6/conf/default/accept_dad", "0", "the machine has made sure of them"),
)
"""Of a room, before it has a device: key, value, reason."""


def machine(clients: Ports = EPHEMERAL) -> tuple[Sysctl, ...]:
    """What is set once, before any link: the machine's own, and the start of every device."""
    everywhere = [
        Sysctl(f"net/{_name(family)}/conf/{group}/{key}", value, reason)
        for family, entries in DEVICE.items()
        for key, value, reason in entries
        for group in ("all", "default")
    ]
    return (_port_range(clients), *(Sysctl(*entry) for entry in MACHINE), *everywhere)


def room(clients: Ports) -> tuple[Sysctl, ...]:
    """What is set in a room whose clients take these ports."""
    return (_port_range(clients), *(Sysctl(*entry) for entry in ROOM))


def _port_range(clients: Ports) -> Sysctl:
    return Sysctl(PORT_RANGE, f"{clients.first}\t{clients.last}", "answer rules name it")


def device(name: str, *, six: bool) -> tuple[Sysctl, ...]:
    """What is set on a device that was there before the machine's own were.

    IPv6 is off where the policy gives the interface no address of it.
    """
    found = [
        Sysctl(f"net/{_name(family)}/conf/{name}/{key}", value, reason)
        for family, entries in DEVICE.items()
        for key, value, reason in entries
    ]
    path = f"net/ipv6/conf/{name}/disable_ipv6"
    silent = "0" if six else "1"
    return (*found, Sysctl(path, silent, "IPv6 only where the policy has an address"))


def room_device(name: str, *, six: bool) -> tuple[Sysctl, ...]:
    """What is set on the end of a veth that leads into a room."""
    path = f"net/ipv6/conf/{name}/addr_gen_mode"
    return (*device(name, six=six), Sysctl(path, "1", "the machine says nothing by it"))


def forwarding(
    policy: Policy, families: Iterable[Family], logged: Iterable[Interface]
) -> tuple[Sysctl, ...]:
    """What is set last of all where the policy forwards: IPv4 asks the device that a packet comes
    in by (ip_route_input_slow) and IPv6 the machine (ip6_forward).

    Where who was refused is logged, IPv4 is switched to it for the devices that they come by: only
    then the kernel speaks of a refusal (ip_error). What passes is still what the rules say, and is
    proved.
    """
    found: list[Sysctl] = []
    why = {i.device: "the kernel speaks of what it refuses" for i in logged}
    for family in families:
        if family is Family.V6:
            found.append(Sysctl("net/ipv6/conf/all/forwarding", "1", "the policy forwards"))
            continue
        ends = (e for e in policy.entries if e.direction is Direction.FORWARD or e.room)
        why |= {i.device: "the policy forwards here" for entry in ends
                for i in (*entry.interfaces, *entry.ways_out) if i.own(family)}  # fmt: skip
        why |= {run.device: "the policy forwards here" for run in policy.rooms}
    devices = (Sysctl(f"net/ipv4/conf/{device}/forwarding", "1", reason)
               for device, reason in why.items())  # fmt: skip
    return (*devices, *found)


def _name(family: Family) -> str:
    return f"ipv{family.version}"
