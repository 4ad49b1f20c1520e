"""Whether a plan sets every sysctl that the model, and docs/security.md, rely on.

In: a `Policy` and its `Plan`.  Out: `Claim` values.  The lists are written here from
Documentation/networking/ip-sysctl.rst, apart from the compiler's. A setting that is in no list is
a flaw too: nobody has said what it does to a packet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pbrinit.analysis.claim import Claim, Flaw
from pbrinit.net.addresses import Family
from pbrinit.plan.plan import Plan, Sysctl
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import Policy

PORT_RANGE = "net/ipv4/ip_local_port_range"
"""What it has to be, and whose ports it may not have, `port_slices` checks."""

MACHINE: Mapping[str, str] = {
    "net/ipv4/ip_forward": "0",
    "net/ipv4/ip_local_reserved_ports": "",
    "net/ipv4/ip_nonlocal_bind": "0",
    "net/ipv4/ping_group_range": "1\t0",
    "net/ipv4/icmp_echo_ignore_broadcasts": "1",
    "net/ipv4/icmp_errors_use_inbound_ifaddr": "0",
    "net/ipv4/tcp_mtu_probing": "1",
    "net/ipv4/tcp_syncookies": "1",
    "net/ipv4/fwmark_reflect": "0",
    "net/ipv6/conf/all/forwarding": "0",
    "net/ipv6/ip_nonlocal_bind": "0",
    "net/ipv6/icmp/echo_ignore_multicast": "1",
    "net/ipv6/icmp/echo_ignore_anycast": "1",
    "net/ipv6/fwmark_reflect": "0",
}
"""Of the machine: sockets have own addresses alone and no user opens a ping socket, the kernel's
own answers carry no mark and leave as the route says, and nothing is forwarded before the links are
as planned."""

DEVICE: Mapping[str, Mapping[str, str]] = {
    "ipv4": {
        "rp_filter": "2",
        "src_valid_mark": "0",
        "accept_local": "0",
        "route_localnet": "0",
        "accept_source_route": "0",
        "accept_redirects": "0",
        "secure_redirects": "0",
        "send_redirects": "0",
        "shared_media": "0",
        "proxy_arp": "0",
        "arp_ignore": "2",
        "arp_announce": "2",
        "arp_accept": "0",
        "bc_forwarding": "0",
        "drop_gratuitous_arp": "1",
        "drop_unicast_in_l2_multicast": "1",
    },
    "ipv6": {
        "accept_ra": "0",
        "autoconf": "0",
        "router_solicitations": "0",
        "accept_redirects": "0",
        "accept_source_route": "-1",
        "proxy_ndp": "0",
        "keep_addr_on_down": "1",
        "drop_unsolicited_na": "1",
        "drop_unicast_in_l2_multicast": "1",
        "use_tempaddr": "0",
    },
}
"""Of a device, and of `all` and `default`: what arrives is checked by its return path, no packet
and no neighbour changes routes, addresses or neighbours' entries, and own addresses alone are
answered for. For some of these the kernel takes the higher of a device's value and that of `all`,
for others it takes both, so they have to be the same everywhere (IN_DEV_MAXCONF, IN_DEV_ORCONF)."""

ARP_IGNORE = "net/ipv4/conf/{}/arp_ignore"
ARP_FOR_ALL = "1"
"""Of `all`: so a device alone can answer those beyond its prefix, and has 1 where such hosts are on
its link. Every other device has 2, which is the higher one."""

ROOM: Mapping[str, str] = {
    "net/ipv4/ip_unprivileged_port_start": "0",
    "net/ipv4/ping_group_range": "1\t0",
    "net/ipv4/tcp_mtu_probing": "1",
    "net/ipv4/tcp_syncookies": "1",
    "net/ipv6/conf/all/accept_ra": "0",
    "net/ipv6/conf/default/accept_ra": "0",
    "net/ipv6/conf/default/router_solicitations": "0",
    "net/ipv6/conf/default/addr_gen_mode": "1",
    "net/ipv6/conf/default/accept_dad": "0",
}
"""Inside a room: it has the addresses that the plan gives it, at once, and no others."""


def claims(policy: Policy, plan: Plan) -> Iterator[Claim]:
    """The settings of the machine, of its devices and of its rooms."""
    set_at_last = _effective(plan.sysctls)
    needed = {**MACHINE, **_of_device("all"), **_of_device("default")}
    needed[ARP_IGNORE.format("all")] = ARP_FOR_ALL
    yield Claim("each setting of the machine is as the model assumes",
                tuple(_compared("", needed, set_at_last)))  # fmt: skip
    yield Claim("each setting of a device is as the model assumes", tuple(_devices(policy, plan)))
    yield Claim(
        "each setting in a room is as the model assumes",
        tuple(
            flaw
            for planned in plan.programs
            if planned.room is not None
            for flaw in _compared(
                f"room {planned.program.name}: ", ROOM, _effective(planned.room.sysctls)
            )
        ),
    )
    yield Claim("forwarding alone is switched on at last", tuple(_forwarding(plan)))


def _of_device(name: str) -> dict[str, str]:
    return {
        f"net/{family}/conf/{name}/{key}": value
        for family, settings in DEVICE.items()
        for key, value in settings.items()
    }


def _effective(sysctls: Iterable[Sysctl]) -> dict[str, str]:
    """What is set when all is set. To change ip_forward changes other settings of every device
    (inet_forward_change), so what was set before it does not count.
    """
    found: dict[str, str] = {}
    for sysctl in sysctls:
        if sysctl.key == "net/ipv4/ip_forward":
            found = {k: v for k, v in found.items() if not k.startswith("net/ipv4/conf/")}
        found[sysctl.key] = sysctl.value
    return found


def _compared(where: str, needed: Mapping[str, str], found: Mapping[str, str]) -> Iterator[Flaw]:
    for key, value in needed.items():
        if key not in found:
            yield Flaw(f"{where}{key}", f"it is not set, and has to be {value!r}")
        elif found[key] != value:
            yield Flaw(f"{where}{key}", f"it is {found[key]!r}, and has to be {value!r}")
    for key in found:
        if key not in needed and key != PORT_RANGE:
            yield Flaw(f"{where}{key}", "nothing is known of this setting")


def _devices(policy: Policy, plan: Plan) -> Iterator[Flaw]:
    """IPv6 is on where an interface has an address of it or is to get one. It is on for a room
    where it is on anywhere, or where rooms reach each other; the machine has no address there.
    """
    six = {i.device: i.has_family(Family.V6) for i in policy.interfaces}
    in_rooms = any(six.values()) or bool(policy.room_allows)
    beyond = {i.device for i in policy.interfaces if _has_hosts_beyond(i)}
    for link in plan.links[1:]:
        of_room = link.device not in six
        needed = _of_device(link.device)
        if link.device in beyond:
            needed[ARP_IGNORE.format(link.device)] = "1"
        on = in_rooms if of_room else six[link.device]
        needed[f"net/ipv6/conf/{link.device}/disable_ipv6"] = "0" if on else "1"
        if of_room:
            needed[f"net/ipv6/conf/{link.device}/addr_gen_mode"] = "1"
        yield from _compared("", needed, _effective(link.sysctls))


def _has_hosts_beyond(interface: Interface) -> bool:
    """Whether hosts of its link may have IPv4 addresses that are in none of its prefixes."""
    routes = interface.active_routes(Family.V4)
    routers = [route.via for route in routes]
    if gateway := interface.gateway(Family.V4):
        routers.append(gateway)
    networks = [address.network for address in interface.addresses_of(Family.V4)]
    return bool(interface.arp_from) or any(
        router is None or not any(router in network for network in networks) for router in routers
    )


def _forwarding(plan: Plan) -> Iterator[Flaw]:
    """What they let pass is asked of every packet; here only that they are nothing else."""
    allowed = {f"net/ipv4/conf/{link.device}/forwarding" for link in plan.links[1:]}
    allowed.add("net/ipv6/conf/all/forwarding")
    for sysctl in plan.forwarding_sysctls:
        if sysctl.key not in allowed or sysctl.value != "1":
            yield Flaw(f"{sysctl.key}={sysctl.value}", "it switches no forwarding on")
