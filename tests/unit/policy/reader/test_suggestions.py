"""A policy that is nearly right is refused with what was likely meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from pbrinit.policy.reader.keys import POLICY
from pbrinit.policy.reader.schema_types import (
    KEY_HINTS,
    NamedTables,
    StringsOrTable,
    Table,
    TableArray,
)
from tests.support.policy_text import problems

SOUND = Path("examples/host.toml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('on      = "wan"', 'on = "any"',
         'input[1].on: no interface is named "any" (leave it out: that means every interface)'),
        ('user    = "updater"', 'user = "any"',
         'output[1].user: no user is named "any" (leave it out: that means any user)'),
        ('user    = "updater"', 'run = "any"',
         'output[1].run: no program is named "any" (leave it out: that means every program that has'
         ' no room)'),
        ('service = "dns"', 'service = "any"',
         'output[1].service: no service is named "any" (name each; a deny entry without service'),
        ('service = ["ssh", "ping"]', 'service = "ssh, ping"',
         'no service is named "ssh, ping" (put each in quotes of its own: ["ssh", "ping"])'),
        ('from    = "mgmt"', 'from = "mgmt, resolver"',
         'input[1].from: no network is named "mgmt, resolver" (put each in quotes of its own: '
         '["mgmt", "resolver"])'),
        ('["192.0.2.2/24", "2001:db8::2/64"]', '"192.0.2.2/24, 2001:db8::2/64"',
         '(put each in quotes of its own: ["192.0.2.2/24", "2001:db8::2/64"])'),
        ('"tcp/443"', '"tcp/80,443"',
         'service.https[1]: "tcp/80,443" has no port number (put each in quotes of its own: '
         '["tcp/80", "tcp/443"])'),
        ("tcp/22", "TCP/22", 'service.ssh[1]: "TCP/22" is not a service (did you mean "tcp/22"?)'),
        ("tcp/22", "22/tcp", 'service.ssh[1]: "22/tcp" is not a service (did you mean "tcp/22"?)'),
        ("tcp/22", "tcp:22", 'service.ssh[1]: "tcp:22" is not a service (did you mean "tcp/22"?)'),
        ("tcp/22", "64/2", 'service.ssh[1]: "64/2" is not a service (such as "tcp/22"'),
        ("tcp/22", "2001:db8::2/64", 'service.ssh[1]: "2001:db8::2/64" is not a service (such as'),
        ("tcp/22", "0/tcp", 'service.ssh[1]: "0/tcp" is not a service (such as "tcp/22"'),
        ("198.51.100.0/24", "198.51.100.0/255.255.255.0",
         'network.mgmt[1]: 198.51.100.0/255.255.255.0 has no length from 0 to 32 after the / '
         '(did you mean "198.51.100.0/24"?)'),
        ('on      = "wan"', 'on = "eth0"',
         'input[1].on: no interface is named "eth0" (that is the device: write "wan", its name)'),
        ('from    = "mgmt"', 'from = "198.51.100.0/24"',
         'input[1].from: no network is named "198.51.100.0/24" (give it a name: NAME = '
         '"198.51.100.0/24" in [network], and write "NAME" here)'),
        ('from    = "mgmt"', 'from = "not 2001:db8::/32"',
         'no network is named "2001:db8::/32" (give it a name: NAME = "2001:db8::/32" in'),
        ('from    = "mgmt"', 'from = "198.51.100.0/24, 203.0.113.0/24"',
         '(give it a name: NAME = ["198.51.100.0/24", "203.0.113.0/24"] in [network], and'),
        ('from    = "mgmt"', 'from = "198.51.100.7/24"',
         "(give it a name in [network], and write that name here)"),
        ('service = "dns"', 'service = "udp/53"',
         '(give it a name: NAME = "udp/53" in [service], and write "NAME" here)'),
        ('service = "dns"', 'service = "icmp/echo"',
         '(write ping = "icmp/echo" in [service], and "ping" here)'),
        ('service = "dns"', 'service = "icmp"', '(write icmp = "icmp" in [service])'),
        ('service = "dns"', 'service = "53"',
         '(write NAME = "tcp/53", or "udp/53", in [service])'),
        ('user    = "updater"', 'user = "root"', "(write root = 0 in [user])"),
        ("tcp/22", "icmp/8",
         'service.ssh[1]: "icmp/8" is not a service (of ICMP there are "icmp/echo" (ping) and'),
        ("198.51.100.0/24", "198.51.100.1-198.51.100.4",
         'network.mgmt[1]: "198.51.100.1-198.51.100.4" is not a prefix (a range is written as '
         'prefixes: ["198.51.100.1/32", "198.51.100.2/31", "198.51.100.4/32"])'),
        ("198.51.100.0/24", "198.51.100.16 - 31",
         '(a range is written as prefixes: ["198.51.100.16/28"])'),
        ("198.51.100.0/24", "2001:db8::-2001:db8::f",
         '(a range is written as prefixes: ["2001:db8::/124"])'),
        ("198.51.100.0/24", "0.0.0.1-255.255.255.254",
         "(a range is written as prefixes: 62 prefixes)"),
        ("198.51.100.0/24", "198.51.100.9-198.51.100.1",
         'is not a prefix (such as "198.51.100.0/24")'),
        ('from    = "mgmt"', 'from = "198.51.100.0-198.51.100.7"',
         "(give it a name in [network], and write that name here; a range is written as prefixes: "
         '["198.51.100.0/29"])'),
        ('service = "dns"', 'service = "UDP/53"',
         "(give it a name in [service], and write that name here)"),
        ('from    = "mgmt"', 'clients = "1024-65534"',
         "input[1].clients: there is no such key here (it belongs in [[output]] or [[forward]])"),
        ("[network]", 'from = "mgmt"\n[network]',
         "interface.wan.from: there is no such key here (it belongs in an entry: [[input]], "),
        ('hostname = "gate"', 'hostname = "gate"\naddress = "192.0.2.9"',
         "address: there is no such key here (it belongs in [interface.NAME])"),
        ("[network]", 'on-failure = "stay"\n[network]',
         "wan.on-failure: there is no such key here (it belongs at the beginning of the file,"),
    ],
)  # fmt: skip
def test_what_is_nearly_right_is_refused_with_what_was_meant(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    assert old in SOUND
    found = problems(tmp_path, SOUND.replace(old, new))
    assert any(expected in problem for problem in found), found


def test_a_key_below_a_section_is_found_where_it_strayed_to(tmp_path: Path) -> None:
    text = SOUND.replace('hostname = "gate"', "").replace("1001\n", '1001\nhostname = "gate"\n')
    assert "hostname: is missing (it is in [user]: write it above that)" in problems(tmp_path, text)


def _keys(shape: object) -> set[str]:
    """The keys of a table, and of those in it."""
    match shape:
        case Table(keys=keys):
            return {name for key in keys for name in {key.name, *_keys(key.type)}}
        case NamedTables(inner=inner) | TableArray(inner=inner) | StringsOrTable(table=inner):
            return _keys(inner)
    return set()


def test_every_key_that_has_a_home_is_one_of_the_language() -> None:
    assert set(KEY_HINTS) <= _keys(POLICY)
