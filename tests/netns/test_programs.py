"""Programs in rooms: what they have, and what they reach."""

from __future__ import annotations

import json
from pathlib import Path

from pbrinit.plan import ip_commands
from pbrinit.plan.encode import encode
from tests.support.namespaces import in_namespace, run_supervisor
from tests.support.namespaces.in_namespace import Probe
from tests.support.namespaces.lab import Lab
from tests.support.namespaces.two_room_machine import SERVER, compiled, plan_of, running

CLIENT = """
import socket, time
asked = (("192.0.2.1", 80, "tcp"), ("2001:db8::1", 80, "tcp"), ("192.0.2.1", 443, "tcp"),
         ("169.254.77.1", 53, "udp"), ("fd70:6272:696e:6974::1", 53, "udp"),
         ("169.254.77.1", 22, "tcp"))
time.sleep(1)
for address, port, protocol in asked:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    one = socket.socket(family, kind)
    one.settimeout(1)
    try:
        one.connect((address, port))
        one.send(b"?")
        told = one.recv(9).decode()
    except OSError as error:
        told = type(error).__name__
    print(address, port, told, one.getsockname()[1])
print("done")
time.sleep(60)
"""
FACTS = """
import ctypes, json, os
def attempt(what, *words):
    try:
        return what(*words) and None
    except OSError as error:
        return error.strerror
def writes(path):
    return attempt(lambda: open(path, "w").close())
status = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines())
call = ctypes.CDLL(None, use_errno=True)
print(json.dumps({
    "who": [os.getresuid(), os.getresgid(), os.getgroups()],
    "caps": {name: status[name] for name in status if name.startswith("Cap")},
    "nnp": status["NoNewPrivs"],
    "processes": sorted(name for name in os.listdir("/proc") if name.isdigit()),
    "self": os.getpid(),
    "sys": os.listdir("/sys"), "dev": sorted(os.listdir("/dev")),
    "environment": dict(os.environ),
    "tmp": os.listdir("/tmp"), "run": os.listdir("/run"),
    "devices": sorted(line.split(":")[0].strip() for line in open("/proc/net/dev").readlines()[2:]),
    "writes": {path: writes(path) for path in
               ("/x", "/etc/x", "/tmp/x", "/run/x", "/proc/sys/net/ipv4/ip_forward", "/dev/x",
                "/dev/null")},
    "mount": call.mount(b"x", b"/tmp", b"tmpfs", 0, None),
    "unshare": call.unshare(0x40000000),
    "signal": attempt(os.kill, os.getppid(), 0) if os.getppid() else "none is above",
}))
import time
time.sleep(60)
"""


def facts(more: str, user: str = "one") -> dict[str, object]:
    """What a program finds out about itself."""
    with running(plan_of(one=FACTS, more=f'restart = "never"\n{more}', user=user)) as lab:
        told = lab.machine.do(run_supervisor.wait_for, '"signal"')
    line = next(line for line in told.splitlines() if line.startswith("one: {"))
    found: dict[str, object] = json.loads(line.removeprefix("one: "))
    return found


NOTHING = dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0" * 16)
READ_ONLY = "Read-only file system"
WRITES = {
    "/x": READ_ONLY, "/etc/x": READ_ONLY, "/run/x": None,
    "/tmp/x": None,  # noqa: S108
    "/proc/sys/net/ipv4/ip_forward": READ_ONLY, "/dev/x": READ_ONLY, "/dev/null": None,
}  # fmt: skip
DEVICES = ["fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"]


def test_a_program_has_its_user_its_room_and_nothing_else() -> None:
    found = facts('environment = { COLOUR = "red" }')
    assert found["who"] == [[1001] * 3, [1001] * 3, []]
    assert (found["caps"], found["nnp"]) == (NOTHING, "1")
    assert (found["processes"], found["self"], found["signal"]) == (["1"], 1, "none is above")
    assert (found["sys"], found["tmp"], found["run"]) == ([], [], [])
    assert (found["dev"], found["devices"]) == (DEVICES, ["eth0", "lo"])
    environment = found["environment"]
    assert isinstance(environment, dict)
    environment.pop("LC_CTYPE", None)  # Python's own
    assert environment == {
        "HOME": "/tmp",  # noqa: S108
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "COLOUR": "red",
    }
    assert found["writes"] == WRITES
    assert (found["mount"], found["unshare"]) == (-1, -1)


def test_root_in_a_room_is_a_user_like_others() -> None:
    found = facts("", user="root")
    assert (found["caps"], found["writes"]) == (NOTHING, WRITES)
    assert (found["mount"], found["unshare"]) == (-1, -1)


def test_what_is_kept_is_kept_and_no_more() -> None:
    found = facts('keep = ["net_raw", "net_admin"]')
    assert found["caps"] == dict.fromkeys(NOTHING, f"{1 << 12 | 1 << 13:016x}")


def test_without_a_room_all_is_the_same_but_network_and_processes() -> None:
    """What it may not signal is others' programs, those of its own user as well."""
    later = f"import time; time.sleep(2)\n{FACTS}"  # then the other's room is there
    with running(plan_of(one=later, more='restart = "never"\nisolate = false')) as lab:
        told = lab.machine.do(run_supervisor.wait_for, '"signal"')
    line = next(line for line in told.splitlines() if line.startswith("one: {"))
    found = json.loads(line.removeprefix("one: "))
    assert (found["caps"], found["nnp"], found["writes"]) == (NOTHING, "1", WRITES)
    assert "r-two" in found["devices"]
    assert found["self"] != 1
    assert found["signal"] == "Operation not permitted"
    assert (found["sys"], found["dev"], found["tmp"]) == ([], DEVICES, [])


def test_rooms_are_reached_and_reach_as_the_policy_says() -> None:
    with running(plan_of(one=SERVER, two=CLIENT)) as lab:
        lab.peer.do(in_namespace.serve, "tcp", 80)
        lab.peer.do(in_namespace.serve, "tcp", 443)
        lab.machine.do(run_supervisor.wait_for, "one: serving")
        for own, friend, stranger in (
            ("192.0.2.2", "198.51.100.9", "203.0.113.7"),
            ("2001:db8::2", "2001:db8:5::9", "2001:db8:7::7"),
        ):
            for source, hears in ((friend, "answered"), (stranger, "silence")):
                probe = Probe("tcp", own, 22, source=(source, 0))
                assert lab.peer.do(in_namespace.send_probe, probe) == hears
        said = lab.machine.do(run_supervisor.wait_for, "two: done")
    told = {tuple(line.split()[1:3]): line.split()[3:] for line in said.splitlines()
            if line.startswith("two: ") and line != "two: done"}  # fmt: skip
    answers = {
        ("192.0.2.1", "80"): "hello", ("2001:db8::1", "80"): "hello",
        ("192.0.2.1", "443"): "TimeoutError",
        ("169.254.77.1", "53"): "hello", ("fd70:6272:696e:6974::1", "53"): "hello",
        ("169.254.77.1", "22"): "TimeoutError",
    }  # fmt: skip
    assert {key: words[0] for key, words in told.items()} == answers
    room = plan_of().programs[1].room
    assert room is not None
    first, last = room.client_ports
    assert all(first <= int(words[1]) <= last for words in told.values())


TELL = "ip -br addr | sed 's/@[^ ]*//'; ip -4 route; ip -6 route; ip rule; ip -6 rule"
SETTINGS = "sysctl net.ipv4.ip_local_port_range net.ipv4.tcp_mtu_probing net.ipv4.ping_group_range"


def test_the_commands_that_show_prints_make_the_same_room(tmp_path: Path) -> None:
    """Looked at from outside: a program that may not change its network has no netlink."""
    told = f"{TELL}; {SETTINGS}"
    plan = compiled()
    with running(encode(plan, "programs")) as lab:
        lab.machine.do(run_supervisor.wait_for, "one: idle")
        (process,) = (p.process for p in lab.machine.do(run_supervisor.statuses) if p.name == "one")
        room = ("nsenter", f"--net=/proc/{process}/ns/net", "sh", "-c", told)
        by_boot = lab.machine.run(*room).splitlines()
        door = lab.machine.run("ip", "route", "show", "table", "2000")
    with Lab(("192.0.2.1/24", "2001:db8::1/64"), ()) as lab:
        lab.machine.run("mount", "-t", "tmpfs", "run", "/run")
        typed = tmp_path / "typed"
        typed.write_text("\n".join(ip_commands.commands(plan)))
        lab.machine.run("unshare", "--uts", "sh", "-eu", str(typed))
        inside = ("ip", "netns", "exec", "one", "sh", "-c", told)
        assert lab.machine.run(*inside).splitlines() == by_boot
        assert lab.machine.run("ip", "route", "show", "table", "2000") == door
        for name in ("one", "two"):
            lab.machine.run("ip", "netns", "del", name)
