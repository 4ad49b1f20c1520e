"""Programs in a policy: their slices, their entries, and what is refused of them."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from pbrinit.net.services import LOCAL_EPHEMERAL_PORTS, Ports
from pbrinit.policy import room_ids
from pbrinit.policy.policy import Direction, Policy
from pbrinit.policy.problems import PolicyError
from pbrinit.policy.programs import ControlAccess, Restart, Share
from pbrinit.policy.reader.programs import BESIDE, IN_A_ROOM, MOST_ROOMS, port_slices
from pbrinit.policy.reader.reader import read_policy
from tests.support import policy_text

HEAD = """
hostname = "gate"
[interface.wan]
device = "eth0"
address = ["192.0.2.2/24", "2001:db8::2/64"]
gateway = ["192.0.2.1", "2001:db8::1"]
[interface.lan]
device = "eth1"
address = ["10.0.0.1/16"]
[service]
ssh = "tcp/22"
dns = ["udp/53", "tcp/53"]
low = "tcp/1-100"
ping = "icmp/echo"
gre = "ip/47"
high = "tcp/40000"
[user]
root = 0
sshd = 1001
updater = 1002
"""
SSHD = '[run.sshd]\ncommand = ["/usr/sbin/sshd", "-D"]\nuser = "sshd"\n'
UPDATER = '[run.updater]\ncommand = ["/usr/bin/updater"]\nuser = "updater"\n'


def policy(folder: Path, text: str) -> Policy:
    (folder / "policy.toml").write_text(HEAD + text)
    return read_policy(folder / "policy.toml")


def problems(folder: Path, text: str) -> list[str]:
    return policy_text.problems(folder, HEAD + text)


@pytest.mark.parametrize("count", [1, 2, 3, 6, 7, 100, MOST_ROOMS])
def test_slices_share_no_port_and_are_of_one_size(count: int) -> None:
    shares = port_slices(count)
    assert len(shares) == count + 1
    assert not any(one.overlaps(other) for one, other in combinations(shares, 2))
    assert all(share in LOCAL_EPHEMERAL_PORTS for share in shares)
    assert len({share.last - share.first for share in shares}) == 1
    assert shares[0].last - shares[0].first >= 100


def test_without_rooms_the_machine_has_all_ports_of_clients(tmp_path: Path) -> None:
    assert port_slices(0) == (LOCAL_EPHEMERAL_PORTS,)
    assert policy(tmp_path, "").client_ports == LOCAL_EPHEMERAL_PORTS
    beside = policy(tmp_path, UPDATER + "isolate = false\n")
    assert beside.client_ports == LOCAL_EPHEMERAL_PORTS
    assert beside.rooms == ()


def test_a_program_has_all_that_is_said_of_it(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret")
    text = (
        'restart = "on-failure"\nask = "try"\n'
        'keep = ["net_bind_service", "setuid"]\npackage = "dropbear-bin"\n'
        '[run.sshd.environment]\nHOME = "/srv"\n[run.sshd.files]\n"/etc/key" = "key"\n'
    )
    (run,) = policy(tmp_path, SSHD + text).programs
    assert run.command == ("/usr/sbin/sshd", "-D")
    assert (run.user.name, run.restart) == ("sshd", Restart.ON_FAILURE)
    assert run.control is ControlAccess.TRY
    assert run.capabilities == ("net_bind_service", "setuid")
    assert (run.packages, run.environment) == (("dropbear-bin",), (("HOME", "/srv"),))
    assert run.files == (("/etc/key", str(tmp_path / "key")),)
    assert (run.isolated, run.device, run.label) == (True, "r-sshd", "room sshd")


def test_what_is_not_said_of_a_program_is_the_least(tmp_path: Path) -> None:
    (run,) = policy(tmp_path, SSHD).programs
    assert (run.restart, run.capabilities, run.control) == (
        Restart.ALWAYS,
        (),
        ControlAccess.NOTHING,
    )
    assert (run.environment, run.files, run.packages) == ((), (), ())


def test_an_entry_with_a_run_is_about_its_room_and_its_slice(tmp_path: Path) -> None:
    found = policy(
        tmp_path,
        SSHD + UPDATER + '[[input]]\nservice = "ssh"\nrun = "sshd"\n'
        '[[output]]\nservice = "dns"\nrun = "updater"\n[[output]]\nservice = "ssh"\n',
    )
    sshd, updater = found.rooms
    ssh, dns, other = found.allows
    assert (ssh.room, ssh.user) == (sshd, None)
    assert (dns.room, dns.client_ports) == (updater, updater.client_ports)
    assert (other.room, other.client_ports) == (None, found.client_ports)
    assert found.client_ports == Ports(32768, 36863)
    assert updater.client_ports == Ports(40960, 45055)


def test_an_entry_about_a_program_without_a_room_is_about_its_user(tmp_path: Path) -> None:
    text = UPDATER + 'isolate = false\n[[output]]\nservice = "dns"\nrun = "updater"\n'
    (entry,) = policy(tmp_path, text).allows
    assert entry.room is None
    assert entry.user is not None
    assert entry.user.name == "updater"


def test_an_expectation_with_a_run_alone_is_about_what_it_asks(tmp_path: Path) -> None:
    text = '[[expect]]\nnever = { run = "sshd", service = "dns" }\n'
    (expectation,) = policy(tmp_path, SSHD + text).expectations
    assert expectation.directions == (Direction.OUTPUT,)
    assert expectation.room is not None


def test_between_is_what_one_room_may_ask_of_another(tmp_path: Path) -> None:
    text = '[[between]]\nfrom = "updater"\nto = "sshd"\nservice = "ssh"\n'
    (between,) = policy(tmp_path, SSHD + UPDATER + text).room_allows
    assert str(between) == "between updater and sshd: tcp/22"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[input]]\nservice = "ssh"\nrun = "ssh"\n',
         'input[1].run: no program is named "ssh" (did you mean "sshd"?)'),
        ('[[input]]\nservice = "ping"\nrun = "sshd"\n',
         "input[1].service: icmp/echo has no ports, and only ports tell which room a packet is for"
         " (leave run out: the machine itself handles it)"),
        ('[[output]]\nservice = "gre"\nrun = "sshd"\n',
         "output[1].service: ip/47 has no ports, and only ports tell which room a packet is for"
         " (leave run out: the machine itself handles it)"),
        ('[[input]]\nservice = "high"\nrun = "sshd"\n',
         "input[1].service: port 40000 is in the ephemeral port range (32768-60999)"
         " (answers to clients arrive there: let the service listen on another port, or write"
         ' ephemeral-ports = "40001-60999" above all [sections])'),
        ('[[input]]\nservice = "ssh"\nrun = "sshd"\nuser = "sshd"\n',
         "input[1].user: sshd runs as sshd (leave the user out)"),
        ('[[between]]\nfrom = "sshd"\nto = "sshd"\nservice = "ssh"\n',
         "between[1].to: is the same program (it reaches itself by its own loopback)"),
        ('[[between]]\nfrom = "sshd"\nto = "updater"\nservice = "ping"\n',
         "between[1].service: icmp/echo has no ports, and only ports tell which room a packet is"
         " for (leave run out: the machine itself handles it)"),
        ('[[between]]\nfrom = "sshd"\nto = "beside"\nservice = "ssh"\n',
         "between[1].to: beside has no room (between is about two rooms)"),
    ],
)  # fmt: skip
def test_an_entry_that_no_rule_could_keep_is_refused(tmp_path: Path, text: str, told: str) -> None:
    beside = UPDATER.replace("run.updater", "run.beside") + "isolate = false\n"
    assert told in problems(tmp_path, SSHD + UPDATER + beside + text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[run.a]\ncommand = ["sshd"]\nuser = "sshd"\n',
         "run.a.command: sshd is not an absolute path (there is no PATH)"),
        ('[run.a]\ncommand = []\nuser = "sshd"\n',
         'run.a.command: must be a list (such as ["/usr/bin/program", "--option"])'),
        ('[run.a]\ncommand = ["/a"]\n', "run.a.user: is missing"),
        ('[run.a]\ncommand = ["/a"]\nuser = "shd"\n',
         'run.a.user: no user is named "shd" (did you mean "sshd"?)'),
        ('[run.much-too-long-a-name]\ncommand = ["/a"]\nuser = "sshd"\n',
         "run.much-too-long-a-name: the name of a program has at most 13 letters"),
        ('[run.a]\ncommand = ["/a"]\nuser = "sshd"\nask = "state"\n',
         'run.a.ask: "state" is nothing that a program can ask for (did you mean "status"?)'),
        ('[run.a]\ncommand = ["/a"]\nuser = "sshd"\nask = ""\n', "run.a.ask: "),
        ('[run.a]\ncommand = ["/a"]\nuser = "sshd"\nrestart = "allways"\n',
         'run.a.restart: "allways" does not say when to restart (did you mean "always"?)'),
        ('[run.a]\ncommand = ["/a"]\nuser = "sshd"\nkeep = "sys_admin"\n',
         'run.a.keep: "sys_admin" is not a capability that has effect in a room alone'),
        ('[run.a]\ncommand = ["/a"]\nuser = "sshd"\nkeep = "CAP_NET_RAW"\n',
         'run.a.keep: is written "net_raw"'),
        ('[run.a]\ncommand = ["/a"]\nuser = "sshd"\nisolate = false\nkeep = "net_raw"\n',
         "run.a.keep: without a room it is about the whole machine (let it have a room)"),
        ('[run.a]\ncommand = ["/a"]\nuser = "root"\nisolate = false\n',
         "run.a.user: root without a room can change the rules (name another user)"),
        ('[run.a]\ncommand = ["/a"]\nuser = "sshd"\nisolate = false\n'
         '[run.b]\ncommand = ["/b"]\nuser = "sshd"\nisolate = false\n',
         "run.b.user: is a's too (rules recognise a program without a room by its user)"),
        ('[run.a]\ncommand = ["/a"]\nuser = "sshd"\npackage = "Dropbear"\n',
         "run.a.package: is not the name of a Debian package"),
        ('[run.a]\ncommand = ["/a"]\nuser = "sshd"\n[run.a.environment]\n1A = "x"\n',
         "run.a.environment.1A: is not "),
        ('[interface.dmz]\ndevice = "r-dmz"\naddress = ["172.16.0.1/30"]\n',
         "interface.dmz.device: the devices of rooms begin with r-"),
    ],
)  # fmt: skip
def test_a_program_with_a_mistake_is_refused(tmp_path: Path, text: str, told: str) -> None:
    assert any(found.startswith(told) for found in problems(tmp_path, text))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (told,) = problems(tmp_path, SSHD + '[run.sshd.files]\n"/etc/key" = "key"\n')
    assert told == f"run.sshd.files./etc/key: there is no file {tmp_path / 'key'}"


def test_nor_one_whose_name_no_file_system_takes(tmp_path: Path) -> None:
    (told,) = problems(tmp_path, SSHD + f'[run.sshd.files]\n"/etc/key" = "{"k" * 300}"\n')
    assert told.startswith("run.sshd.files./etc/key: there is no file")


def test_on_the_machine_files_are_in_their_places_and_their_sources_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(HEAD + SSHD + '[run.sshd.files]\n"/etc/key" = "key"\n')
    assert read_policy(path, check_files=False).programs[0].files == (
        ("/etc/key", str(tmp_path / "key")),
    )


def test_more_rooms_than_addresses_inside_are_refused(tmp_path: Path) -> None:
    text = "".join(f'[run.p{n}]\ncommand = ["/a"]\nuser = "sshd"\n' for n in range(MOST_ROOMS + 1))
    assert f"run: there are more than {MOST_ROOMS} rooms" in problems(tmp_path, text)


@pytest.mark.parametrize("name", IN_A_ROOM)
def test_what_reaches_no_further_than_the_room_may_be_kept(tmp_path: Path, name: str) -> None:
    (run,) = policy(tmp_path, f'{SSHD}keep = "{name}"\n').programs
    assert run.capabilities == (name,)


@pytest.mark.parametrize("name", IN_A_ROOM)
def test_without_a_room_only_what_reaches_no_other_program_may_be_kept(
    tmp_path: Path, name: str
) -> None:
    text = f'{SSHD}keep = "{name}"\nisolate = false\n'
    if name in BESIDE:
        (run,) = policy(tmp_path, text).programs
        assert run.capabilities == (name,)
    else:
        (told,) = problems(tmp_path, text)
        assert told.startswith("run.sshd.keep: without a room it is about the whole machine")


@pytest.mark.parametrize("name", ["ipc_lock", "sys_nice", "sys_resource", "sys_admin", "mknod"])
def test_what_the_machine_alone_has_or_nobody_may_have_is_refused(
    tmp_path: Path, name: str
) -> None:
    (told,) = problems(tmp_path, f'{SSHD}keep = "{name}"\n')
    assert told.startswith(
        f'run.sshd.keep: "{name}" is not a capability that has effect in a room alone'
    )


def test_a_program_has_the_share_that_is_said_of_it(tmp_path: Path) -> None:
    text = 'memory = "24 MiB"\nprocesses = 7\nopen-files = 99\ncpu-weight = 10\n'
    (run,) = policy(tmp_path, SSHD + text).programs
    assert run.share == Share(24 << 20, 7, 99, 10)
    (other,) = policy(tmp_path, UPDATER).programs
    assert other.share == Share(None, 64, 1024, 100)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('memory = "16 MB"', 'memory: "16 MB" is no amount of memory (such as "16 MiB")'),
        ('memory = "16MiB"', 'memory: "16MiB" is no amount of memory (such as "16 MiB")'),
        ('memory = "0 MiB"', 'memory: "0 MiB" is no amount of memory (such as "16 MiB")'),
        ('memory = "\u0661\u0666 MiB"', 'is no amount of memory (such as "16 MiB")'),
        ('memory = "1023 KiB"',
         "memory: 1023 KiB is out of bounds (at least 1 MiB, at most 1024 GiB)"),
        ('memory = "1025 GiB"',
         "memory: 1025 GiB is out of bounds (at least 1 MiB, at most 1024 GiB)"),
        ("memory = 16", "memory: must be a string in quotes"),
        ("processes = 0", "processes: must be a number from 1 to 4096"),
        ("processes = true", "processes: must be a number from 1 to 4096"),
        ("open-files = 15", "open-files: must be a number from 16 to 65536"),
        ("cpu-weight = 10001", "cpu-weight: must be a number from 1 to 10000"),
    ],
)  # fmt: skip
def test_a_share_that_is_none_is_refused(tmp_path: Path, line: str, told: str) -> None:
    (found,) = problems(tmp_path, f"{SSHD}{line}\n")
    assert found.endswith(told)


def test_the_users_of_rooms_are_nobody_elses(tmp_path: Path) -> None:
    def refused(uid: int, *more: str) -> list[str]:
        text = HEAD.replace("updater = 1002", f"updater = {uid}") + "".join(more)
        (tmp_path / "policy.toml").write_text(text)
        try:
            read_policy(tmp_path / "policy.toml")
        except PolicyError:
            return policy_text.problems(tmp_path, text)
        return []

    first, number = room_ids.FIRST, room_ids.COUNT
    assert refused(first, SSHD) == [
        f"user.updater: {first} is a number of a room's users (take a lower one)"
    ]
    assert refused(first + number - 1, SSHD) != []
    assert refused(first + number, SSHD) == []
    assert refused(first, SSHD + "isolate = false\n") == []
    assert refused(room_ids.NOBODY, UPDATER) == []
    assert refused(room_ids.NOBODY + 1, UPDATER) == [
        "run.updater.user: updater is 65535 (a room has the users from 0 to 65534)"
    ]


def between_on(folder: Path, address: str, gateway: str) -> list[str]:
    old = HEAD.replace("192.0.2.2/24", address).replace("192.0.2.1", gateway)
    (folder / "policy.toml").write_text(
        old + SSHD + UPDATER + '[[between]]\nfrom = "updater"\nto = "sshd"\nservice = "ssh"\n'
    )
    with pytest.raises(PolicyError) as refused:
        read_policy(folder / "policy.toml")
    return [problem.what for problem in refused.value.problems]


@pytest.mark.parametrize(
    ("address", "gateway"),
    [("169.254.77.9/16", "169.254.1.1"), ("169.254.1.1/16", "169.254.77.200")],
)
def test_an_address_by_which_rooms_reach_each_other_is_nobody_elses(
    tmp_path: Path, address: str, gateway: str
) -> None:
    (told,) = between_on(tmp_path, address, gateway)
    assert told.endswith("is among the addresses by which rooms reach each other")


TAKES_SSH = '[[input]]\nservice = "ssh"\nrun = "sshd"\n'
UPDATERS = "goes to the room updater here, and to the room sshd by input[1]"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[input]]\nservice = "ssh"\nrun = "updater"\n', f"tcp/22 {UPDATERS}"),
        ('[[input]]\nservice = "low"\nrun = "updater"\n', f"tcp/1-100 {UPDATERS}"),
        ('[[input]]\non = "wan"\nservice = "ssh"\n',
         "tcp/22 goes to the machine itself here, and to the room sshd by input[1]"),
    ],
)  # fmt: skip
def test_a_packet_has_one_receiver(tmp_path: Path, text: str, told: str) -> None:
    (found,) = problems(tmp_path, SSHD + UPDATER + TAKES_SSH + text)
    assert found.startswith(f"input[2].service: {told} (a packet has one receiver")


@pytest.mark.parametrize(
    "text",
    [
        '[[input]]\nservice = "dns"\nrun = "updater"\n',
        '[[input]]\nservice = "ping"\n',
        '[[input]]\nservice = "low"\nrun = "sshd"\n',
    ],
)
def test_packets_that_differ_may_have_different_takers(tmp_path: Path, text: str) -> None:
    assert len(policy(tmp_path, SSHD + UPDATER + TAKES_SSH + text).allows) == 2


def test_by_different_interfaces_the_same_service_may_be_of_different_rooms(tmp_path: Path) -> None:
    text = (
        '[[input]]\non = "wan"\nservice = "ssh"\nrun = "sshd"\n'
        '[[input]]\non = "lan"\nservice = "ssh"\nrun = "updater"\n'
    )
    assert [e.room.name for e in policy(tmp_path, SSHD + UPDATER + text).allows if e.room] == [
        "sshd",
        "updater",
    ]
