"""Interfaces: one by one, and side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from pbrinit.net.addresses import Family
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.problems import PolicyError
from pbrinit.policy.reader.reader import read_policy

WAN = (
    '[interface.wan]\nmac = "52:54:00:12:34:56"\naddress = "192.0.2.2/24"\ngateway = "192.0.2.1"\n'
)


def interfaces(folder: Path, text: str) -> tuple[Interface, ...]:
    (folder / "policy.toml").write_text('hostname = "gate"\n' + text)
    return read_policy(folder / "policy.toml").interfaces


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(PolicyError) as refused:
        interfaces(folder, text)
    return [f"{one.key}: {one.what}" for one in refused.value.problems]


def test_a_device_found_by_its_mac_gets_the_interfaces_name(tmp_path: Path) -> None:
    (wan,) = interfaces(tmp_path, WAN.replace("52:54:00:12:34:56", "52:54:00:AB:cd:56"))
    assert (wan.name, wan.device, wan.mac) == ("wan", "wan", "52:54:00:ab:cd:56")


def test_one_text_says_the_same_as_a_list_of_one(tmp_path: Path) -> None:
    assert interfaces(tmp_path, WAN) == interfaces(
        tmp_path, WAN.replace('"192.0.2.2/24"', '["192.0.2.2/24"]')
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a-very-long-name", "interface.a-very-long-name: is not a device name"),
        ("lo", "interface.lo: is not a device name"),
        ("default", "interface.default: is not a device name"),
        ("all", "interface.all: is not a device name"),
        ("r-wan", "interface.r-wan: the devices of rooms begin with r-"),
    ],
)
def test_a_device_cannot_be_renamed_to_everything(tmp_path: Path, name: str, expected: str) -> None:
    assert problems(tmp_path, WAN.replace("wan", name)) == [expected]


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ('mac = "52:54:00:12:34:56"\naddress = "10.0.0.1/8"\n',
         "interface.lan.mac: is wan's MAC address too"),
        ('device = "wan"\naddress = "10.0.0.1/8"\n', "interface.lan.device: is wan's device too"),
        ('device = "eth1"\naddress = "10.0.0.1/8"\ngateway = "10.0.0.2"\n',
         "interface.lan.gateway: wan has a gateway for IPv4 too"),
        ('device = "eth1"\naddress = "192.0.2.130/25"\n',
         "interface.lan.address: 192.0.2.130/25 overlaps with wan's 192.0.2.2/24"),
        ('device = "eth1"\naddress = "192.0.2.2/24"\n',
         "interface.lan.address: 192.0.2.2/24 overlaps with wan's 192.0.2.2/24"),
    ],
)  # fmt: skip
def test_two_interfaces_do_not_share(tmp_path: Path, other: str, expected: str) -> None:
    assert problems(tmp_path, f"{WAN}[interface.lan]\n{other}") == [expected]


def test_each_family_may_have_its_gateway_on_another_interface(tmp_path: Path) -> None:
    lan = 'device = "eth1"\naddress = "fd00::1/64"\ngateway = "fd00::2"\n'
    assert len(interfaces(tmp_path, f"{WAN}[interface.lan]\n{lan}")) == 2


BY_RA = '[interface.wan]\ndevice = "eth0"\naddress = "ra"\n'
BY_DHCP = '[interface.wan]\ndevice = "eth0"\naddress = "dhcp"\n'
LAN = '[interface.lan]\ndevice = "eth1"\naddress = "10.0.0.1/16"\n'


def test_an_address_by_dhcp_stands_alone_or_beside_ipv6(tmp_path: Path) -> None:
    (wan,) = interfaces(tmp_path, BY_DHCP)
    assert wan.dynamic_families == {Family.V4}
    assert (wan.addresses, wan.gateways) == ((), ())
    assert wan.awaiting_address(Family.V4)
    six = 'address = ["dhcp", "2001:db8::2/64"]\ngateway = "2001:db8::1"'
    (wan,) = interfaces(tmp_path, BY_DHCP.replace('address = "dhcp"', six))
    assert wan.dynamic_families == {Family.V4}
    assert [str(address) for address in (*wan.addresses, *wan.gateways)] == [
        "2001:db8::2/64", "2001:db8::1"
    ]  # fmt: skip


def test_an_address_by_router_advertisement_stands_alone_or_beside_ipv4(tmp_path: Path) -> None:
    (wan,) = interfaces(tmp_path, BY_RA)
    assert wan.dynamic_families == {Family.V6}
    assert (wan.awaiting_address(Family.V6), wan.awaiting_address(Family.V4)) == (True, False)
    four = 'address = ["192.0.2.2/24", "ra"]\ngateway = "192.0.2.1"'
    (wan,) = interfaces(tmp_path, BY_RA.replace('address = "ra"', four))
    assert wan.dynamic_families == {Family.V6}
    assert wan.awaiting_address(Family.V6)
    assert [str(address) for address in (*wan.addresses, *wan.gateways)] == [
        "192.0.2.2/24", "192.0.2.1"
    ]  # fmt: skip


def test_both_addresses_may_be_given_to_one_interface_or_to_two(tmp_path: Path) -> None:
    (wan,) = interfaces(tmp_path, BY_RA.replace('"ra"', '["dhcp", "ra"]'))
    assert wan.dynamic_families == {Family.V4, Family.V6}
    assert (wan.addresses, wan.gateways) == ((), ())
    two = BY_DHCP + BY_RA.replace("wan", "lan").replace("eth0", "eth1")
    assert [i.dynamic_families for i in interfaces(tmp_path, two)] == [{Family.V4}, {Family.V6}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BY_RA + BY_RA.replace("wan", "lan").replace("eth0", "eth1"),
         'interface.wan.address: lan has "ra" too'),
        (BY_RA + '[interface.lan]\ndevice = "eth1"\naddress = "fd00::1/64"\ngateway = "fd00::2"\n',
         "interface.lan.gateway: wan gets its gateway by router advertisement"),
        (BY_RA.replace('"ra"', '["ra", "2001:db8::2/64"]'),
         'interface.wan.address: has "ra" and 2001:db8::2/64'),
        (BY_RA + 'gateway = "2001:db8::1"\n', "interface.wan.gateway: 2001:db8::1 is set"),
        (BY_RA + 'gateway = "fe80::1"\n', "interface.wan.gateway: fe80::1 is set"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_router_advertisement(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert problems(tmp_path, text) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BY_DHCP + BY_DHCP.replace("wan", "lan").replace("eth0", "eth1"),
         'interface.wan.address: lan has "dhcp" too'),
        (BY_DHCP + LAN + 'gateway = "10.0.0.2"\n',
         "interface.lan.gateway: wan gets its gateway by DHCP"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_dhcp(tmp_path: Path, text: str, expected: str) -> None:
    assert problems(tmp_path, text) == [expected]


def test_a_router_may_lead_to_everybody_who_is_not_on_another_link(tmp_path: Path) -> None:
    lan = LAN.replace("10.0.0.1/16", "fd00:10::1/64")
    names = '[network]\nmgmt = "2001:db8:5::/48"\ninner = "fd00:10::/96"\n'
    entry = '[service]\nssh = "tcp/22"\n[[input]]\non = "wan"\nservice = "ssh"\nfrom = '
    assert interfaces(tmp_path, BY_RA + lan + names + entry + '"mgmt"\n')
    assert problems(tmp_path, BY_RA + lan + names + entry + '"inner"\n') == [
        "input[1].from: fd00:10::/96 cannot be reached by wan"
    ]


def test_a_lease_may_lead_to_everybody_who_is_not_on_another_link(tmp_path: Path) -> None:
    """Whether it does, the lease says; a policy is not held to what is not known yet."""
    names = (
        '[network]\nmgmt = "198.51.100.0/24"\ninner = "10.0.3.0/24"\n[service]\nssh = "tcp/22"\n'
    )
    entry = '[[input]]\non = "wan"\nservice = "ssh"\nfrom = '
    assert interfaces(tmp_path, BY_DHCP + LAN + names + entry + '"mgmt"\n')
    assert problems(tmp_path, BY_DHCP + LAN + names + entry + '"inner"\n') == [
        "input[1].from: 10.0.3.0/24 cannot be reached by wan"
    ]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ('arp-from = "100.64.0.0/10"', []),
        ('arp-from = ["0.0.0.0/0"]', []),
        ('arp-from = "2001:db8:9::/48"',
         ["interface.wan.arp-from: IPv6 has no ARP (write prefixes of IPv4)"]),
        ('arp-from = "10.0.0.7/8"',
         ["interface.wan.arp-from: 10.0.0.7/8 has bits set beyond its length"
          ' (did you mean "10.0.0.0/8"?)']),
    ],
)  # fmt: skip
def test_arp_may_be_answered_to_others_who_are_behind_it(
    tmp_path: Path, more: str, expected: list[str]
) -> None:
    gateway = 'address = "192.0.2.2/24"\ngateway = "192.0.2.1"\n'
    policy = HEAD_OF_ARP.format(wan=gateway + more)
    path = tmp_path / "arp.toml"
    path.write_text(policy)
    try:
        read_policy(path)
        found = []
    except PolicyError as error:
        found = [str(each).removeprefix(f"{path}: ") for each in error.problems]
    assert found == expected


HEAD_OF_ARP = """
hostname = "arp"
[interface.wan]
device = "eth0"
{wan}
[interface.lan]
device = "eth1"
address = "198.51.100.1/24"
"""


@pytest.mark.parametrize(
    ("wan", "what"),
    [
        ('address = "192.0.2.2/24"\narp-from = "100.64.0.0/10"', "cannot be reached by wan"),
        ('address = "192.0.2.2/24"\ngateway = "192.0.2.1"\narp-from = "198.51.100.7"',
         "198.51.100.7/32 cannot be reached by wan (it is behind lan)"),
        ('address = "2001:db8::2/64"\narp-from = "100.64.0.0/10"', "it has no IPv4 address"),
    ],
)  # fmt: skip
def test_arp_is_not_answered_to_who_is_not_behind_it(tmp_path: Path, wan: str, what: str) -> None:
    path = tmp_path / "arp.toml"
    path.write_text(HEAD_OF_ARP.format(wan=wan))
    with pytest.raises(PolicyError) as refused:
        read_policy(path)
    assert any(what in str(each) for each in refused.value.problems)
