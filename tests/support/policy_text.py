"""Policies written in a test, and questions to them."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from pbrinit.analysis import explain
from pbrinit.compiler import rooms
from pbrinit.net.addresses import Family
from pbrinit.net.packet import Ingress
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.policy import Policy
from pbrinit.policy.problems import PolicyError
from pbrinit.policy.reader.reader import read_policy
from pbrinit.semantics.decision import Decision, PolicyDecider

ROUTER = """
hostname = "router"
[interface.wan]
device = "eth0"
address = ["192.0.2.2/24", "2001:db8::2/64"]
gateway = ["192.0.2.1", "2001:db8::1"]
[interface.lan]
device = "eth1"
address = ["10.0.0.1/16", "fd00:10::1/64"]
[interface.dmz]
device = "eth2"
address = ["172.16.0.1/30"]
[network]
mgmt = ["198.51.100.0/24", "2001:db8:5::/48"]
bad = ["198.51.100.64/27", "10.0.66.0/24", "2001:db8:5:6::/64", "fd00:10::66"]
servers = ["10.0.1.0/24", "fd00:10::1:0/112"]
[service]
ssh = ["tcp/22"]
dns = ["udp/53", "tcp/53"]
web = ["tcp/80", "tcp/443"]
ping = ["icmp/echo"]
icmp = ["icmp"]
gre = ["ip/47"]
[user]
updater = 1001
"""
"""Three interfaces, one with the gateway, one without IPv6; and names."""

ROOMS = (
    ROUTER
    + """
sshd = 1002
resolver = 1003
[run.sshd]
command = ["/usr/sbin/dropbear"]
user = "sshd"
[run.updater]
command = ["/usr/bin/updater"]
user = "updater"
[run.resolver]
command = ["/usr/bin/resolver"]
user = "resolver"
"""
)
"""And three rooms: clients of the machine have 32768 to 36863, those of the rooms in this order
36864 to 40959, 40960 to 45055 and 45056 to 49151.
"""

ENTRIES = (
    '[[input]]\non = "wan"\nfrom = "mgmt"\nservice = ["ssh", "ping"]\n'
    '[[output]]\nservice = ["dns", "web"]\nuser = "updater"\n'
    '[[forward]]\nin = "lan"\nout = "wan"\nservice = "web"\n'
    '[[deny]]\nfrom = "bad"\n'
)
"""One entry of each direction, and one that blocks."""


def written(text: str, names: str = ROUTER) -> Policy:
    """The policy of some entries after the names of ROUTER."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "written.toml"
        path.write_text(names + text)
        return read_policy(path)


def problems(folder: Path, text: str) -> list[str]:
    """What is found wrong with a policy of this text, file name left out."""
    path = folder / "policy.toml"
    path.write_text(text)
    with pytest.raises(PolicyError) as refused:
        read_policy(path)
    return [str(problem).removeprefix(f"{path}: ") for problem in refused.value.problems]


def ruling(policy: Policy, question: str) -> Decision:
    """What a policy says of a packet, asked for as `pbrctl explain` is.

    What is sent without a source is the look-up of a program that has none yet.
    """
    asked = explain.parse(question, policy, rooms.programs(policy))
    packet, direction = asked.packet, asked.direction
    assert isinstance(direction, Ingress) or direction.device is None
    return PolicyDecider(policy).decide(packet, direction)


def where(policy: Policy, question: str) -> str:
    """Where a packet gets to that is asked for in words."""
    return ruling(policy, question).where


def check(text: str, *questions: tuple[str, str]) -> None:
    """Each question has its answer under the policy of `text`."""
    policy = written(text)
    told = {question: where(policy, question) for question, _ in questions}
    wrong = {question: told[question] for question, said in questions if told[question] != said}
    assert not wrong, wrong


def by_dhcp(policy: Policy, name: str = "wan") -> Policy:
    """The policy with one interface's IPv4 address and gateway to come by DHCP."""
    return asking(policy, Family.V4, name)


def by_ra(policy: Policy, name: str = "wan") -> Policy:
    """The policy with one interface's IPv6 address and gateway to come by router advertisement."""
    return asking(policy, Family.V6, name)


def asking(policy: Policy, family: Family, name: str) -> Policy:
    """The policy with one interface's address and gateway of a family to be given to it."""

    def now(interfaces: tuple[Interface, ...]) -> tuple[Interface, ...]:
        return tuple(
            replace(
                i,
                addresses=tuple(a for a in i.addresses if a.version != family.version),
                gateways=tuple(g for g in i.gateways if g.version != family.version),
                dynamic_families=i.dynamic_families | {family},
            )
            if i.name == name
            else i
            for i in interfaces
        )

    return replace(
        policy,
        interfaces=now(policy.interfaces),
        allows=tuple(
            replace(e, interfaces=now(e.interfaces), egress_interfaces=now(e.egress_interfaces))
            for e in policy.allows
        ),
        denies=tuple(replace(d, interfaces=now(d.interfaces)) for d in policy.denies),
        expectations=tuple(
            replace(e, interfaces=now(e.interfaces), egress_interfaces=now(e.egress_interfaces))
            for e in policy.expectations
        ),
    )
