"""Who was refused is written down, and that opens nothing and floods nothing."""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from pbrinit.boot.observe import reject_log
from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from pbrinit.wire.bootplan import BootPlan
from tests.support.host_example import LENGTH, ON_LINK, PEER, SELF, UPDATER
from tests.support.namespaces import in_namespace, run_pbrctl, run_reject_log
from tests.support.namespaces.lab import Lab

versions = pytest.mark.parametrize("version", [4, 6])
STRANGER = {version: PEER[version]["stranger"] for version in (4, 6)}
MGMT = {version: PEER[version]["mgmt"] for version in (4, 6)}


@pytest.fixture(scope="module")
def logging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, BootPlan]]:
    """The example's machine with `log = true`, its logger, and its peer."""
    path = tmp_path_factory.mktemp("refused") / "host.toml"
    path.write_text("log = true\n" + Path("examples/host.toml").read_text())
    plan = encode(load(path), "host")
    on_link = [f"{a}/{LENGTH[v]}" for v, named in ON_LINK.items() for a in named.values()]
    behind = [*MGMT.values(), *STRANGER.values(), *(f"203.0.113.{n}" for n in range(20, 60))]
    behind += [f"2001:db8:7::{n:x}" for n in range(20, 60)]
    with Lab(on_link, behind) as lab:
        assert lab.machine.do(in_namespace.enforce, plan) == []
        for port in (22, 80):
            lab.machine.do(in_namespace.serve, "tcp", port)
        for version in (4, 6):  # so that neighbours know each other
            probe = in_namespace.Probe("tcp", SELF[version], 22, source=(MGMT[version], 0))
            assert lab.peer.do(in_namespace.send_probe, probe) == "answered"
        lab.machine.do(run_reject_log.start)
        yield lab, plan
        lab.machine.do(run_reject_log.stop)


@pytest.fixture(autouse=True)
def rested() -> None:
    """The kernel speaks of a sender once a second, six times at once: let it have its breath."""
    time.sleep(1.1)


def knock(lab: Lab, *packets: Packet) -> None:
    hardware = lab.machine.do(in_namespace.mac)
    own = lab.peer.do(in_namespace.mac)
    lab.peer.do(in_namespace.transmit, [bytes(Ether(src=own, dst=hardware) / p) for p in packets])


def told_since(lab: Lab, before: tuple[int, int, list[str]]) -> list[str]:
    return run_reject_log.new_entries(lab.machine.do(run_reject_log.entries), before)


def syn(version: int, source: str, port: int) -> Packet:
    header = IP if version == 4 else IPv6
    return header(src=source, dst=SELF[version]) / TCP(sport=40000, dport=port, flags="S")


@versions
def test_who_knocks_where_he_may_not_is_named(logging: tuple[Lab, BootPlan], version: int) -> None:
    lab, plan = logging
    before = lab.machine.do(run_reject_log.entries)
    knock(lab, syn(version, STRANGER[version], 23))
    probe = in_namespace.Probe("udp", SELF[version], 53, source=(STRANGER[version], 41000))
    assert lab.peer.do(in_namespace.send_probe, probe) == "silence"
    where = "{}:{}" if version == 4 else "[{}]:{}"
    ends = [
        where.format(address, port)
        for address, port in (
            (STRANGER[version], 40000),
            (SELF[version], 23),
            (STRANGER[version], 41000),
            (SELF[version], 53),
        )
    ]
    assert told_since(lab, before) == [f"tcp {ends[0]} > {ends[1]}", f"udp {ends[2]} > {ends[3]}"]
    said = lab.machine.do(run_reject_log.console_lines)
    assert said[-1].endswith(f"pbrinit: refused: udp {ends[2]} > {ends[3]}")
    answer, _ = lab.machine.do(run_pbrctl.query, plan, f"explain in wan tcp {ends[0]} > {ends[1]}")
    assert answer.asked.allowed is False, "it is a question that the console understands"
    _, lines = lab.machine.do(run_pbrctl.query, plan, "refused")
    assert lines[0].endswith(f"udp {ends[2]} > {ends[3]}")


def test_a_ping_is_named_too_where_it_is_refused(logging: tuple[Lab, BootPlan]) -> None:
    """In IPv6 it is heard and not answered: neighbour discovery needs all of ICMPv6."""
    lab, _ = logging
    before = lab.machine.do(run_reject_log.entries)
    knock(lab, IP(src=STRANGER[4], dst=SELF[4]) / ICMP())
    knock(lab, IPv6(src=STRANGER[6], dst=SELF[6]) / ICMPv6EchoRequest())
    assert told_since(lab, before) == [f"icmp {STRANGER[4]} > {SELF[4]}"]


@versions
def test_who_is_let_in_is_not_named(logging: tuple[Lab, BootPlan], version: int) -> None:
    lab, _ = logging
    before = lab.machine.do(run_reject_log.entries)
    probe = in_namespace.Probe("tcp", SELF[version], 22, source=(MGMT[version], 0))
    assert lab.peer.do(in_namespace.send_probe, probe) == "answered"
    assert told_since(lab, before) == []


@versions
def test_nothing_of_it_is_on_the_wire(logging: tuple[Lab, BootPlan], version: int) -> None:
    """Not one frame to those who were refused, whatever they send; TTL 1 and odd shapes too."""
    lab, _ = logging
    lab.peer.do(in_namespace.capture)
    before = lab.machine.do(run_reject_log.entries)
    header = IP if version == 4 else IPv6
    last_hop: dict[str, Any] = {"ttl": 1} if version == 4 else {"hlim": 1}
    other = "198.51.100.77" if version == 4 else "2001:db8:5::77"
    packets = [syn(version, f"203.0.113.{n}" if version == 4 else f"2001:db8:7::{n:x}", 1000 + n)
               for n in range(20, 40)]  # fmt: skip
    base: dict[str, Any] = {"src": STRANGER[version], "dst": SELF[version]}
    packets += [
        header(**base, **last_hop) / TCP(dport=80),
        header(src=STRANGER[version], dst=other) / TCP(dport=22),
        header(src=STRANGER[version], dst=other, **last_hop) / TCP(dport=22),
        header(**base) / TCP(dport=80, flags="R"),
        header(**base) / (b"x" * 1300),
    ]
    knock(lab, *packets)
    assert lab.machine.do(run_reject_log.entries)[0] >= before[0] + 20
    machine = bytes.fromhex(lab.machine.do(in_namespace.mac).replace(":", ""))
    frames = [
        Ether(frame)
        for frame in lab.peer.do(in_namespace.captured_frames)
        if frame[6:12] == machine
    ]
    spoken = [f for f in frames if f.haslayer(IP) or (f.haslayer(IPv6) and f[IPv6].nh != 58)]
    errors = [f for f in frames if f.haslayer(IPv6) and f[IPv6].nh == 58
              and bytes(f[IPv6].payload)[0] < 128]  # fmt: skip
    assert [frame.summary() for frame in (*spoken, *errors)] == []


@versions
def test_who_claims_to_be_us_is_named_and_our_sockets_hear_nothing(
    logging: tuple[Lab, BootPlan], version: int
) -> None:
    """The kernel's word about it goes to our own address, as if a socket of ours had sent the
    packet. IPv6 does not speak of it: there that socket would be told.
    """
    lab, _ = logging
    before = lab.machine.do(run_reject_log.entries)
    peer = (PEER[version]["resolver"], 53)
    family = 2 if version == 4 else 10
    lab.machine.do(run_reject_log.hold_socket, "udp", 45000 + version, UPDATER, family, peer)
    header = IP if version == 4 else IPv6
    forged = header(src=SELF[version], dst=peer[0])
    knock(lab, forged / UDP(sport=45000 + version, dport=53) / b"x")
    told = [f"udp {SELF[4]}:45004 > {peer[0]}:53"] if version == 4 else []
    assert told_since(lab, before) == told
    assert lab.machine.do(run_reject_log.error_of, "udp", 45000 + version) == 0


def test_who_claims_to_be_us_is_named_whomever_he_speaks_to(logging: tuple[Lab, BootPlan]) -> None:
    """And a flood of it is what any is."""
    lab, _ = logging
    before = lab.machine.do(run_reject_log.entries)
    knock(lab, IP(src=SELF[4], dst=SELF[4]) / TCP(sport=40000, dport=22, flags="S"))
    knock(lab, IP(src=SELF[4], dst=SELF[4]) / ICMP())
    assert told_since(lab, before) == [
        f"tcp {SELF[4]}:40000 > {SELF[4]}:22", f"icmp {SELF[4]} > {SELF[4]}",
    ]  # fmt: skip
    lab.peer.do(in_namespace.capture)
    lines, start = len(lab.machine.do(run_reject_log.console_lines)), time.monotonic()
    for _ in range(10):
        knock(lab, *[syn(4, SELF[4], 22)] * 500)
    spent = time.monotonic() - start
    assert lab.machine.do(run_reject_log.entries)[0] - before[0] <= 10 + spent, (
        "one sender, once a second"
    )
    assert (
        len(lab.machine.do(run_reject_log.console_lines)) - lines
        <= reject_log.LINES_AT_ONCE + spent + 1
    )
    machine = bytes.fromhex(lab.machine.do(in_namespace.mac).replace(":", ""))
    frames = [
        Ether(frame)
        for frame in lab.peer.do(in_namespace.captured_frames)
        if frame[6:12] == machine
    ]
    assert [frame.summary() for frame in frames if frame.haslayer(IP)] == []
    probe = in_namespace.Probe("tcp", SELF[4], 22, source=(MGMT[4], 0))
    assert lab.peer.do(in_namespace.send_probe, probe) == "answered"


@versions
def test_a_listener_hears_no_error_of_what_was_refused(
    logging: tuple[Lab, BootPlan], version: int
) -> None:
    """Not even one that asks for errors and has the stranger's own port. In IPv6 such a datagram
    socket does: there everybody may send it errors as they are, by ICMPv6.
    """
    lab, _ = logging
    family = 2 if version == 4 else 10
    lab.machine.do(run_reject_log.hold_socket, "udp", 40000, 0, family)
    lab.machine.do(run_reject_log.hold_socket, "tcp", 40000, 0, family)
    before = lab.machine.do(run_reject_log.entries)
    hardware = lab.machine.do(in_namespace.mac)
    lab.peer.do(in_namespace.send_forged, hardware, (STRANGER[version], 40000),
                (SELF[version], 99), "udp")  # fmt: skip
    knock(lab, syn(version, STRANGER[version], 99))
    assert len(told_since(lab, before)) == 2
    assert lab.machine.do(run_reject_log.error_of, "udp", 40000) == (
        0 if version == 4 else errno.EACCES
    )
    assert lab.machine.do(run_reject_log.error_of, "tcp", 40000) == 0


@versions
def test_a_flood_is_a_line_a_second(logging: tuple[Lab, BootPlan], version: int) -> None:
    lab, _ = logging
    before, lines = (
        lab.machine.do(run_reject_log.entries),
        len(lab.machine.do(run_reject_log.console_lines)),
    )
    work = lab.machine.do(run_reject_log.processor_seconds)
    seconds = 3.0
    sent = lab.peer.do(run_reject_log.flood, SELF[version], STRANGER[version], seconds)
    assert sent > 3000
    after = lab.machine.do(run_reject_log.entries)
    heard_of = after[0] - before[0]
    # IPv6 knows no limit to one sender where it speaks by loopback (icmpv6_xrlim_allow).
    assert 1 <= heard_of <= (60 if version == 4 else 50 + 1000 * (seconds + 1))
    assert (
        len(lab.machine.do(run_reject_log.console_lines)) - lines
        <= reject_log.LINES_AT_ONCE + seconds + 2
    )
    assert lab.machine.do(run_reject_log.processor_seconds) - work < 1.0, (
        "of a processor, for all of it"
    )
    probe = in_namespace.Probe("tcp", SELF[version], 22, source=(MGMT[version], 0))
    assert lab.peer.do(in_namespace.send_probe, probe) == "answered"


def test_a_flood_from_everywhere_is_counted_and_not_said(
    logging: tuple[Lab, BootPlan],
) -> None:
    lab, _ = logging
    before, lines = (
        lab.machine.do(run_reject_log.entries),
        len(lab.machine.do(run_reject_log.console_lines)),
    )
    start = time.monotonic()
    packets = [syn(4, f"198.18.{n // 200}.{1 + n % 200}", 23) for n in range(1500)]
    knock(lab, *packets)
    lab.machine.do(run_reject_log.entries)
    after = lab.machine.do(run_reject_log.entries)
    spent = time.monotonic() - start
    assert after[0] - before[0] <= 50 + 1000 * (spent + 1), "icmp_msgs_per_sec and its burst"
    assert after[1] > before[1]
    said = len(lab.machine.do(run_reject_log.console_lines)) - lines
    assert said <= reject_log.LINES_AT_ONCE + spent + 1
    time.sleep(1.2)
    knock(lab, syn(4, "198.19.0.1", 23))
    time.sleep(0.3)
    assert re.search(r"198\.19\.0\.1:40000 > .* \(and \d+ more before it\)$",
                     lab.machine.do(run_reject_log.console_lines)[-1])  # fmt: skip


def test_the_logger_can_do_nothing_else(logging: tuple[Lab, BootPlan]) -> None:
    lab, _ = logging
    hears, says = lab.machine.do(run_reject_log.processes)
    for program in (hears, says):
        state = lab.machine.do(run_reject_log.process_status, program)
        assert set(state["Uid"].split()) == {str(reject_log.UNPRIVILEGED_UID)}
        assert state["NoNewPrivs"] == "1"
        assert all(int(state[name], 16) == 0 for name in ("CapPrm", "CapEff", "CapAmb"))
    assert lab.machine.do(run_reject_log.open_files, hears).keys() == {"/dev/null", "socket"}
    files = lab.machine.do(run_reject_log.open_files, says)
    assert files.keys() == {"/dev/null", "socket", reject_log.PATH}
    assert lab.machine.do(run_reject_log.console_queues, hears) == []
    assert lab.machine.do(run_reject_log.console_queues, says) == ["stray by 1"]
    assert lab.machine.do(run_reject_log.network_sockets, says) == 0


@versions
def test_who_takes_the_logger_over_sends_nothing(
    logging: tuple[Lab, BootPlan], version: int
) -> None:
    lab, _ = logging
    lab.peer.do(in_namespace.capture)
    results = lab.machine.do(run_reject_log.logger_rights, PEER[version]["router"])
    assert results == [*["EPERM"] * 4, "EDESTADDRREQ", *["EPERM"] * 4]
    machine = bytes.fromhex(lab.machine.do(in_namespace.mac).replace(":", ""))
    frames = [
        Ether(frame)
        for frame in lab.peer.do(in_namespace.captured_frames)
        if frame[6:12] == machine
    ]
    assert [f.summary() for f in frames if f.haslayer(ICMP) or f.haslayer(ICMPv6EchoRequest)] == []


def test_the_plan_is_in_force_as_it_is_compiled(logging: tuple[Lab, BootPlan]) -> None:
    lab, plan = logging
    _, lines = lab.machine.do(run_pbrctl.query, plan, "audit")
    assert lines[-1].endswith(": as planned")


def test_both_programs_end_with_the_other(logging: tuple[Lab, BootPlan]) -> None:
    """Then PID 1 starts them again. Looked at last: there is no logger after it."""
    lab, _ = logging
    lab.machine.do(run_reject_log.start_again)
    hears, says = lab.machine.do(run_reject_log.processes)
    assert lab.machine.do(run_reject_log.network_sockets, hears) == 2
    lab.machine.do(run_reject_log.kill, says)
    for number in range(1, 50):  # the kernel may have said enough for the moment
        knock(lab, syn(4, f"198.19.1.{number}", 23))
        time.sleep(0.1)
        if not lab.machine.do(run_reject_log.is_alive, hears):
            break
    assert not lab.machine.do(run_reject_log.is_alive, hears)
    lab.machine.do(run_reject_log.start_again)
    hears, says = lab.machine.do(run_reject_log.processes)
    lab.machine.do(run_reject_log.kill, hears)
    time.sleep(0.5)
    assert not lab.machine.do(run_reject_log.is_alive, says)
