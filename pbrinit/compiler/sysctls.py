"""The sysctls that the filter depends on, each with its reason.

In: nothing, or an interface.  Out: `Sysctl` values for the machine and for one device.
Their meaning: Documentation/networking/ip-sysctl.rst of the kernel.
"""

from __future__ import annotations

from collections.abc import Iterable

from pbrinit.net.addresses import Family
from pbrinit.net.services import LOCAL_EPHEMERAL_PORTS, Ports
from pbrinit.plan.plan import Sysctl
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import Direction, Policy

PORT_RANGE = "net/ipv4/ip_local_port_range"
MACHINE = (
    ("net/ipv4/ip_forward", "0", "this machine forwards nothing"),
    ("net/ipv6/conf/all/forwarding", "0", "this machine forwards nothing"),
    ("net/ipv4/ip_local_reserved_ports", "", "rules for answers match the whole range"),
    ("net/ipv4/ip_nonlocal_bind", "0", "every source is an own address"),
    ("net/ipv6/ip_nonlocal_bind", "0", "every source is an own address"),
    ("net/ipv4/ping_group_range", "1\t0", "no user has a ping socket"),
    ("net/ipv4/icmp_echo_ignore_broadcasts", "1", "at most one answer to an echo request"),
    ("net/ipv4/icmp_errors_use_inbound_ifaddr", "0", "errors leave as the route says"),
    ("net/ipv6/icmp/echo_ignore_multicast", "1", "at most one answer to an echo request"),
    ("net/ipv6/icmp/echo_ignore_anycast", "1", "only our own addresses answer"),
    ("net/ipv4/tcp_mtu_probing", "1", "ICMP errors about path MTU do not arrive in IPv4"),
    ("net/ipv4/tcp_syncookies", "1", "a flood of SYNs to an open port does not close it"),
    ("net/ipv4/fwmark_reflect", "0", "answers carry no mark"),
    ("net/ipv6/fwmark_reflect", "0", "answers carry no mark"),
)
"""For the whole machine: key, value, reason."""

DEVICE = {
    Family.V4: (
        ("rp_filter", "2", "the return path is checked; rules check the interface"),
        ("src_valid_mark", "0", "the return path is checked without a mark"),
        ("accept_local", "0", "own addresses do not arrive from outside"),
        ("route_localnet", "0", "nor does 127.0.0.0/8"),
        ("accept_source_route", "0", "a sender does not choose the route"),
        ("accept_redirects", "0", "a neighbour does not change routes"),
        ("secure_redirects", "0", "nor does a gateway"),
        ("send_redirects", "0", "this machine sends no redirects"),
        ("shared_media", "0", "prefixes of other links are not on this link"),
        ("proxy_arp", "0", "only own addresses are answered for"),
        ("arp_ignore", "2", "answer only on the link of the address, to senders of its prefix"),
        ("arp_announce", "2", "requests come from the link's own address"),
        ("arp_accept", "0", "no host adds itself to the neighbour table"),
        ("bc_forwarding", "0", "no broadcast is forwarded"),
        ("drop_gratuitous_arp", "1", "unsolicited packets do not change the neighbour table"),
        ("drop_unicast_in_l2_multicast", "1", "unicast packets in broadcast frames are dropped"),
    ),
    Family.V6: (
        ("accept_ra", "0", "routers do not configure this machine"),
        ("autoconf", "0", "the policy sets the addresses"),
        ("router_solicitations", "0", "the kernel solicits no routers"),
        ("accept_redirects", "0", "a neighbour does not change routes"),
        ("accept_source_route", "-1", "a sender does not choose the route"),
        ("proxy_ndp", "0", "only own addresses are answered for"),
        ("keep_addr_on_down", "1", "addresses stay when the link goes down"),
        ("drop_unsolicited_na", "1", "unsolicited packets do not change the neighbour table"),
        ("drop_unicast_in_l2_multicast", "1", "unicast packets in broadcast frames are dropped"),
        ("use_tempaddr", "0", "the policy sets the addresses"),
    ),
}
"""For one device, by family: key, value, reason."""

ARP_BEYOND = "1", "hosts of this link have addresses beyond its prefix"
ARP_EVERYWHERE = "1", "each device says whom it answers: the higher value counts"
"""What arp_ignore is where on-link routes lead beyond the prefix, and what it is for all devices
(IN_DEV_MAXCONF, linux/inetdevice.h)."""


ROOM = (
    ("net/ipv4/ip_unprivileged_port_start", "0", "rules decide which ports are reached"),
    ("net/ipv4/ping_group_range", "1\t0", "no user has a ping socket"),
    ("net/ipv4/tcp_mtu_probing", "1", "ICMP errors about path MTU do not arrive"),
    ("net/ipv4/tcp_syncookies", "1", "a flood of SYNs to an open port does not close it"),
    ("net/ipv6/conf/all/accept_ra", "0", "routers do not configure a room"),
    ("net/ipv6/conf/default/accept_ra", "0", "routers do not configure a room"),
    ("net/ipv6/conf/default/router_solicitations", "0", "the kernel solicits no routers"),
    ("net/ipv6/conf/default/addr_gen_mode", "1", "it has the machine's addresses only"),
    ("net/ipv6/conf/default/accept_dad", "0", "the machine has checked its addresses already"),
)
"""For a room, before it has a device: key, value, reason."""


def machine(client_ports: Ports = LOCAL_EPHEMERAL_PORTS) -> tuple[Sysctl, ...]:
    """What is set once, before any link: for the machine, and the defaults of every device."""
    everywhere = [
        Sysctl(
            f"net/{_name(family)}/conf/{group}/{key}",
            *(ARP_EVERYWHERE if (group, key) == ("all", "arp_ignore") else (value, reason)),
        )
        for family, entries in DEVICE.items()
        for key, value, reason in entries
        for group in ("all", "default")
    ]
    return (_port_range(client_ports), *(Sysctl(*entry) for entry in MACHINE), *everywhere)


def room(client_ports: Ports) -> tuple[Sysctl, ...]:
    """What is set in a room whose ephemeral ports are these."""
    return (_port_range(client_ports), *(Sysctl(*entry) for entry in ROOM))


def _port_range(ports: Ports) -> Sysctl:
    return Sysctl(PORT_RANGE, f"{ports.first}\t{ports.last}", "rules for answers match it")


def device(name: str, *, six: bool, beyond: bool = False) -> tuple[Sysctl, ...]:
    """What is set on a device that exists before the defaults of `machine` are set. `beyond` is for
    one whose link has hosts with addresses beyond its prefix.

    IPv6 is off where the policy gives the interface no IPv6 address.
    """
    entries = [
        Sysctl(
            f"net/{_name(family)}/conf/{name}/{key}",
            *(ARP_BEYOND if beyond and key == "arp_ignore" else (value, reason)),
        )
        for family, sysctls in DEVICE.items()
        for key, value, reason in sysctls
    ]
    path = f"net/ipv6/conf/{name}/disable_ipv6"
    disabled = "0" if six else "1"
    return (*entries, Sysctl(path, disabled, "IPv6 only where the policy has an address"))


def room_device(name: str, *, six: bool) -> tuple[Sysctl, ...]:
    """What is set on the machine's end of a veth that leads into a room."""
    path = f"net/ipv6/conf/{name}/addr_gen_mode"
    return (
        *device(name, six=six),
        Sysctl(path, "1", "no link-local address: the machine sends nothing by it"),
    )


def forwarding(
    policy: Policy, families: Iterable[Family], logged: Iterable[Interface]
) -> tuple[Sysctl, ...]:
    """What switches forwarding on, as the last step. IPv4 has a switch for each device by which
    packets arrive (ip_route_input_slow), IPv6 one for the machine (ip6_forward).

    Where refused packets are logged, IPv4 forwarding is on for the devices by which they arrive:
    only then the kernel generates an ICMP error (ip_error). The rules still decide what is
    forwarded, and that is proved.
    """
    machine: list[Sysctl] = []
    reasons = {i.device: "the kernel sends errors about what it refuses" for i in logged}
    for family in families:
        if family is Family.V6:
            machine.append(Sysctl("net/ipv6/conf/all/forwarding", "1", "the policy forwards"))
            continue
        forwards = (a for a in policy.allows if a.direction is Direction.FORWARD or a.room)
        reasons |= {i.device: "the policy forwards here" for allow in forwards
                    for i in (*allow.interfaces, *allow.egress_interfaces)
                    if i.addresses_of(family)}  # fmt: skip
        reasons |= {program.device: "the policy forwards here" for program in policy.rooms}
    devices = (Sysctl(f"net/ipv4/conf/{device}/forwarding", "1", reason)
               for device, reason in reasons.items())  # fmt: skip
    return (*devices, *machine)


def _name(family: Family) -> str:
    return f"ipv{family.version}"
