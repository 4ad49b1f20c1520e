"""A machine with a password before its command line, a page for Prometheus, and a log of who was
refused."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether

from factory.image.build import Artefacts, archive
from factory.vm.qemu import Accelerator, Machine, Nic
from pbrinit.boot.observe.reject_log import LINES_AT_ONCE
from pbrinit.cli.build import loaded
from pbrinit.plan.encode import encode
from pbrinit.wire import bootplan, password_hash
from tests.support.attack.agent_line import AgentLine
from tests.support.attack.range import agent_archive
from tests.support.host_example import MGMT, NEIGHBOUR, RESOLVER, ROUTER, SELF, STRANGER
from tests.support.mac_addresses import GUEST_MAC, MAC
from tests.support.vm.booted import MEMORY
from tests.support.vm.built_image import direct, with_files
from tests.support.vm.guest import BOOT_SECONDS, LOGS, Guest
from tests.support.vm.peer import Peer
from tests.support.vm.probe import Probe, Tcp, Udp
from tests.support.vm.wire import Wire

SECRET, PORT, UID, NOBODY = "correct horse", 9100, 900, 65534
ASKED = r"^password: "
WRONG = "that is not the password"
AGENT_MEMORY = 8
"""Megabytes, for the Python that is beside the shipped programs."""

POLICY = f"""
[console]
password = "{password_hash.hash_password(SECRET)}"

[metrics]
port = {PORT}
user = "metrics"

[[input]]
on = "wan"
from = "mgmt"
service = "metrics"
user = "metrics"
"""


@dataclass(frozen=True)
class Locked:
    """The guest before its password, its wire's far end, and the agent inside."""

    guest: Guest
    peer: Peer
    inside: AgentLine


@pytest.fixture(scope="module")
def locked(
    artefacts: Artefacts, accelerated: Accelerator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Locked]:
    folder = tmp_path_factory.mktemp("locked")
    text = Path("examples/host.toml").read_text()
    text = text.replace("[service]\n", f'[service]\nmetrics = ["tcp/{PORT}"]\n')
    path = folder / "host.toml"
    text = text.replace("[user]\n", f"[user]\nmetrics = {UID}\n")
    path.write_text(f"log = true\n{text}{POLICY}")
    policy, plan = loaded(path)
    assert policy.password is not None
    initramfs = with_files(
        artefacts,
        folder,
        archive("etc/pbrinit", {"plan": bootplan.pack(encode(plan, "host"))}),
        archive("etc/pbrinit", {"password": policy.password.encode()}, 0o400),
    )
    initramfs.write_bytes(initramfs.read_bytes() + agent_archive())
    boots = direct(artefacts, initramfs)
    with Wire(LOGS / "boot-locked.pcap") as wire, AgentLine() as inside:
        there = [*ROUTER.values(), *RESOLVER.values(), *NEIGHBOUR.values()]
        machine = Machine(boots, (Nic(wire.netdev, GUEST_MAC),), MEMORY + AGENT_MEMORY)
        with Guest("locked", machine, accelerated, LOGS, inside.options) as guest:
            inside.wait()
            guest.expect(ASKED, BOOT_SECONDS)
            yield Locked(guest, Peer(wire, MAC, GUEST_MAC, there), inside)


def test_nothing_but_the_password_gets_in_and_each_mistake_takes_longer(locked: Locked) -> None:
    guest, waited = locked.guest, []
    for typed in ("status\n", "\x03\x1c\x1a\x13\n", "\x04", "correct\n"):
        start = time.monotonic()
        guest.press(typed)
        guest.expect(WRONG)
        waited.append(time.monotonic() - start)
        guest.expect(ASKED)
    assert all(at >= least for at, least in zip(waited, (1, 2, 4, 8), strict=True)), waited
    assert "in force, as planned" not in guest.transcript
    assert "status" not in guest.transcript.partition("password: ")[2], "what is typed is shown"


def test_what_is_typed_while_it_waits_is_not_taken(locked: Locked) -> None:
    """Or a list of words could be typed at once."""
    guest = locked.guest
    guest.press("wrong\n")
    time.sleep(3)
    guest.press(f"{SECRET}\n")
    guest.expect(WRONG, 60)
    guest.expect(ASKED)
    assert guest.drain(3) == ""


def test_the_password_gets_in(locked: Locked) -> None:
    locked.guest.press(f"{SECRET}\n")
    locked.guest.wait_for_prompt()
    assert "in force, as planned" in locked.guest.run("status")
    assert SECRET not in locked.guest.transcript


def test_only_root_reads_the_hash(locked: Locked) -> None:
    for name in ("password", "policy.toml"):
        for uid, told in ((0, "done"), (NOBODY, "EACCES at open")):
            opened = [("open", f"/etc/pbrinit/{name}", 0)]
            assert locked.inside.do("attempt", uid, opened) == told


def test_the_console_explains_and_counts(locked: Locked) -> None:
    guest = locked.guest
    told = guest.run(f"explain in wan tcp {MGMT[4]}:40000 > {SELF[4]}:22")
    assert told == (
        "allowed: it is for this machine (table local)\n"
        "the answer: allowed: it leaves by eth0 (table main)"
    )
    told = guest.run(f"explain in wan tcp [{STRANGER[6]}]:40000 > [{SELF[6]}]:22")
    assert told.startswith("dropped: ")
    assert re.search(r"^ +\d+  IPv4  refused: no rule let it in", guest.run("drops"), re.MULTILINE)
    guest.send_line("watch")
    guest.expect(r"\(Ctrl-C ends\)")
    guest.expect(r"\(Ctrl-C ends\)")
    guest.press("\x03")
    guest.wait_for_prompt()


def test_the_program_tells_a_user_the_same_in_json(locked: Locked) -> None:
    status, said = locked.inside.do("program", NOBODY, "/usr/bin/pbrctl", "status", "--json")
    assert status == 0, said
    told = json.loads(said)
    assert told["as_planned"] is True
    assert told["hostname"] == "gate"
    for command in ("audit", "rules"):
        status, said = locked.inside.do("program", NOBODY, "/usr/bin/pbrctl", command)
        assert status == 0
        assert said.strip() == locked.guest.run(command).strip()
    assert locked.inside.do("program", NOBODY, "/usr/bin/pbrctl", "-c", "sh")[0] == 2


@pytest.mark.parametrize("version", [4, 6])
def test_the_page_is_read_from_the_wire_by_who_may(locked: Locked, version: int) -> None:
    request = b"GET /metrics HTTP/1.1\r\nHost: gate\r\n\r\n"
    said = locked.peer.tcp_talk(MGMT[version], SELF[version], PORT, request, timeout=10)
    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'pbrinit_link_up{device="eth0",interface="wan"} 1\n' in said
    assert locked.peer.tcp(STRANGER[version], SELF[version], PORT).verdict == "silence"


@pytest.mark.parametrize("version", [4, 6])
def test_who_is_refused_is_named_on_the_console_and_hears_nothing(
    locked: Locked, version: int
) -> None:
    source = STRANGER[version]
    probes: list[Probe] = [Tcp(source, SELF[version], port, 40000 + port) for port in (23, 8080)]
    probes += [Udp(source, SELF[version], 53, sport=40053)]
    marker = Tcp(MGMT[version], SELF[version], PORT)
    before = time.monotonic()
    results = locked.peer.probes(probes, 10, marker=marker)
    assert [result.verdict for result in results] == ["silence"] * 3
    where = "{}:{}" if version == 4 else "[{}]:{}"
    for kind, port in (("tcp", 23), ("tcp", 8080), ("udp", 53)):
        ends = where.format(source, 40000 + port), where.format(SELF[version], port)
        locked.guest.expect(re.escape(f"pbrinit: refused: {kind} {ends[0]} > {ends[1]}"))
    locked.guest.send_line("")
    locked.guest.wait_for_prompt()
    told = locked.guest.run("refused")
    assert told.splitlines()[0].endswith(f"udp {ends[0]} > {ends[1]}")
    assert re.fullmatch(r"\d+ heard of, \d+ of them not said", told.splitlines()[-1])
    said = [f.packet for f in locked.peer.wire.frames(since=before)]
    assert [p.summary() for p in said if source in (getattr(p.payload, "dst", ""),)] == []


def test_who_claims_to_be_us_is_named_and_a_flood_of_it_is_not_said(locked: Locked) -> None:
    """Of IPv4, where no socket of ours hears of it; of the flood a line a second, and who may is
    answered meanwhile.
    """
    own, far = SELF[4], locked.peer
    ends = Ether(src=MAC, dst=GUEST_MAC) / IP(src=own, dst=own)
    before = time.monotonic()
    far.wire.send(ends / TCP(sport=40222, dport=22, flags="S"))
    locked.guest.expect(re.escape(f"pbrinit: refused: tcp {own}:40222 > {own}:22"))
    locked.guest.send_line("")
    locked.guest.wait_for_prompt()
    for port in range(2000):
        far.wire.send(ends / UDP(sport=40000 + port, dport=9))
    request = b"GET /metrics HTTP/1.1\r\nHost: gate\r\n\r\n"
    said = far.tcp_talk(MGMT[4], own, PORT, request, timeout=20)
    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    lines = locked.guest.drain(1).count("pbrinit: refused: ")
    assert lines <= LINES_AT_ONCE + time.monotonic() - before
    locked.guest.send_line("")
    locked.guest.wait_for_prompt()
    frames = [frame.packet for frame in far.wire.frames(since=before)]
    assert [p.summary() for p in frames if getattr(p.payload, "dst", "") == own
            and p.src == GUEST_MAC] == []  # fmt: skip


def test_all_is_as_planned_with_the_log(locked: Locked) -> None:
    assert locked.guest.run("audit").endswith(": as planned")
