"""`pbrctl diff` says by the packet what two policies do not have in common."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pbrinit.analysis.diff import CLOSED, OPENED, Change, changes, lines
from pbrinit.cli.main import main
from pbrinit.net.packet import Ingress, Origin, Packet
from pbrinit.policy.policy import Policy
from pbrinit.semantics.decision import DROPPED, LOCAL, PolicyDecider, lookup_flow
from tests.support.generate.edge_packets import Drawn
from tests.support.generate.feasible_packets import real
from tests.support.generate.packets import seeded
from tests.support.policy_text import ROUTER, written

SSH = '[[input]]\non = "wan"\nfrom = "mgmt"\nservice = "ssh"\n'
WEB = '[[forward]]\nin = "lan"\nout = "wan"\nservice = "web"\n'
PACKETS = 1500
HOST = Path("examples/host.toml")


def told(old: str, new: str) -> list[str]:
    return list(lines(list(changes(written(old), written(new)))))


def test_nothing_changes_where_only_the_text_does() -> None:
    assert told(SSH + WEB, WEB + SSH + SSH) == []


IN = [
    "  IPv4 in by wan: tcp/22 from {four}",
    "  IPv6 in by wan: tcp/22 from {six}",
]
OUT = [
    "  IPv4 out by wan: tcp from port 22 to {four}",
    "  IPv6 out by wan: tcp from port 22 to {six}",
]
MGMT = {"four": "198.51.100.0/24", "six": "2001:db8:5::/48"}
BAD = {"four": "198.51.100.64/27", "six": "2001:db8:5:6::/64"}


def filled(texts: list[str], peers: dict[str, str]) -> list[str]:
    return [text.format(**peers) for text in texts]


def test_an_entry_more_opens_what_it_asks_and_its_answers() -> None:
    assert told("", SSH) == [
        "now reachable:",
        *filled(IN, MGMT),
        "let through as answers, also where nobody asked (explain --holes):",
        *filled(OUT, MGMT),
    ]


def test_an_entry_less_closes_them() -> None:
    assert told(SSH, "") == [
        "no longer reachable:",
        *filled(IN, MGMT),
        "no longer let through as answers:",
        *filled(OUT, MGMT),
    ]


def test_a_deny_entry_closes_what_it_takes_away_and_no_more() -> None:
    assert told(SSH, SSH + '[[deny]]\nfrom = "bad"\n') == [
        "no longer reachable:",
        *filled(IN, BAD),
        "no longer let through as answers:",
        *filled(OUT, BAD),
    ]


def test_a_user_is_said_where_not_everybody_is_meant() -> None:
    assert told(SSH, SSH + 'user = "updater"\n') == [
        "no longer let through as answers:",
        *(f"{line} as anybody but updater" for line in filled(OUT, MGMT)),
    ]


def test_what_is_the_same_in_both_families_is_said_once() -> None:
    assert told("", WEB) == [
        "now reachable:",
        "  from lan to wan: tcp/80,443 from anybody to anybody",
        "let through as answers, also where nobody asked (explain --holes):",
        "  from wan to lan: tcp/32768-65534 from ports 80,443 from anybody to anybody",
        "left out: 4 lines of what comes with every address and path (ARP, neighbour discovery, "
        "ICMP errors); see --all",
    ]


def test_what_no_policy_can_do_without_is_said_on_demand() -> None:
    found = list(changes(written(""), written(WEB)))
    assert list(lines(found, everything=True))[4:] == [
        "let through whatever the entries say:",
        "  IPv4 out by lan: icmp 3/4 to anybody as root",
        "  IPv6 out by lan: icmp 2/0 to anybody as root",
        "  IPv4 out by wan: icmp 3/4 to anybody as root",
        "  IPv6 out by wan: icmp 2/0 to anybody as root",
    ]


def test_what_opens_stands_before_what_closes_and_both_before_answers() -> None:
    found = told(SSH, WEB + '[[output]]\non = "wan"\nservice = "dns"\n')
    heads = [line for line in found if not line.startswith(" ")]
    assert [head.partition(" as ")[0].rstrip(":") for head in heads[:4]] == [
        "now reachable",
        "no longer reachable",
        "let through",
        "no longer let through",
    ]
    opened = found[1 : found.index("no longer reachable:")]
    assert [line.split(":")[0].strip() for line in opened] == [
        "from lan to wan",
        "out by wan",
        "out by wan",
    ]


def test_a_long_list_is_counted() -> None:
    names = ", ".join(f'"198.51.100.{n}"' for n in range(0, 200, 2))
    nets = ", ".join(f'"2001:db8:5:{n:x}::/64"' for n in range(0, 200, 2))
    many = f"[network]\nmany = [{names}, {nets}]\n"
    old = written(SSH)
    new = written(SSH + '[[deny]]\nfrom = "many"\n', ROUTER.replace("[network]\n", many))
    assert list(lines(list(changes(old, new))))[1:3] == [
        "  IPv4 in by wan: tcp/22 from 100 addresses (198.51.100.0, 198.51.100.2, 198.51.100.4, …)",
        "  IPv6 in by wan: tcp/22 from 100 prefixes "
        "(2001:db8:5::/64, 2001:db8:5:2::/64, 2001:db8:5:4::/64, …)",
    ]


def holds(change: Change, policy: Policy, asked: tuple[Packet, Origin]) -> bool:
    """Whether a packet is among those of a change."""
    packet, direction = asked
    packets = change.packets
    names = {interface.device: interface.name for interface in policy.interfaces}
    arrives = isinstance(direction, Ingress)
    ingress = names.get(direction.device or "") if arrives else None
    if packets.path.family is not packet.family or packets.path.ingress != ingress:
        return False
    one = lookup_flow(packet, direction)
    users = {user.name: user.uid for user in policy.users} | {"root": 0}
    uids = [users[name] if name in users else int(name) for name in packets.users]
    return (
        (one.protocol in packets.protocols) != packets.other_protocols
        and (arrives or (one.uid in uids) != packets.other_users)
        and (one.source is None or one.source in packets.sources)
        and one.destination in packets.destinations
        and any(p.first <= one.source_port <= p.last for p in packets.source_ports)
        and any(p.first <= one.destination_port <= p.last for p in packets.destination_ports)
    )


FIRST = SSH + WEB + '[[output]]\non = "wan"\nservice = "dns"\nuser = "updater"\n'
SECOND = (
    '[[input]]\nservice = ["ssh", "ping"]\n[[deny]]\nfrom = "bad"\nreject = true\n'
    '[[forward]]\nfrom = "servers"\nservice = ["web", "gre"]\nclients = "1024-65534"\n'
    '[[output]]\nto = "mgmt"\nservice = ["dns", "icmp"]\n'
)


@pytest.mark.parametrize(("one", "other"), [(FIRST, SECOND), (FIRST, ""), (SECOND, WEB)])
def test_a_packet_is_in_a_change_where_the_two_meanings_differ(one: str, other: str) -> None:
    """Asked of packets near what either speaks of."""
    old, new = written(one), written(other)
    found = list(changes(old, new))
    before, after = PolicyDecider(old), PolicyDecider(new)
    differ = 0
    for policy in (old, new):
        random = seeded(one + other)
        for packet, direction in real(Drawn(policy, random).packets(PACKETS)):
            was, becomes = (
                before.decide(packet, direction).where,
                after.decide(packet, direction).where,
            )
            if was == LOCAL and not isinstance(direction, Ingress):
                continue  # to ourselves, which no path is
            asked = (packet, direction)
            opened = any(holds(c, new, asked) for c in found if c.what == OPENED)
            closed = any(holds(c, old, asked) for c in found if c.what == CLOSED)
            assert opened == (becomes not in (DROPPED, was)), f"{packet} {direction}"
            assert closed == (was not in (DROPPED, becomes)), f"{packet} {direction}"
            differ += was != becomes
    assert differ > PACKETS // 10


def test_the_command_has_the_status_of_diff(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = HOST, tmp_path / "new.toml"
    new.write_text(old.read_text().replace('"198.51.100.0/24"', '"198.51.100.0/25"'))
    assert main(["diff", str(old), str(old)]) == 0
    assert capsys.readouterr().out == "nothing changes\n"
    assert main(["diff", str(old), str(new)]) == 1
    told = capsys.readouterr().out
    assert told.startswith("no longer reachable:\n  IPv4 in by wan: icmp from 198.51.100.128/25\n")
    assert main(["diff", "--all", str(old), str(new)]) == 1
    assert capsys.readouterr().out == told
    new.write_text("")
    assert main(["diff", str(old), str(new)]) == 2


def test_json_has_the_sets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = HOST, tmp_path / "new.toml"
    new.write_text(old.read_text().replace('"198.51.100.0/24"', '"198.51.100.0/25"'))
    assert main(["diff", "--json", str(old), str(new)]) == 1
    (first, *others) = json.loads(capsys.readouterr().out)["changes"]
    assert first["change"] == CLOSED
    assert (first["as"], others[-1]["as"]) == ("asked", "answer")
    assert first["in"] == "wan"
    assert first["out"] is None
    assert first["destination_ports"] == [[22, 22]]
    assert first["sources"] == {"addresses": 128, "ranges": 1, "first": ["198.51.100.128/25"]}
