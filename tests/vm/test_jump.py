"""The jump host, booted: a real ssh client gets through to the servers, and nobody else in."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from factory.image.build import Artefacts
from factory.vm.qemu import Accelerator, Dgram, Machine, Nic
from tests.support.mac_addresses import GUEST_LAN_MAC, GUEST_MAC
from tests.support.namespaces import in_namespace
from tests.support.namespaces.lab import Namespace
from tests.support.vm import cable, ssh_client
from tests.support.vm.built_image import with_programs
from tests.support.vm.guest import LOGS, Guest

MEMORY = 96
ADMIN = {4: "198.51.100.9", 6: "2001:db8:5::9"}
STRANGER = {4: "203.0.113.7", 6: "2001:db8:7::7"}
ROUTER = {4: "192.0.2.1/24", 6: "2001:db8::1/64"}
SELF = {4: "192.0.2.2", 6: "2001:db8::2"}
SERVER = {4: "10.0.1.5/16", 6: "fd00:10::5/64"}
versions = pytest.mark.parametrize("version", [4, 6])


@dataclass(frozen=True)
class Jump:
    """The guest at its prompt, with who is outside and inside, and the key of an administrator."""

    guest: Guest
    outside: Namespace
    inside: Namespace
    key: Path


@pytest.fixture(scope="module")
def jump(
    artefacts: Artefacts, accelerated: Accelerator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Jump]:
    """The jump host between two kernels."""
    folder = tmp_path_factory.mktemp("jump")
    policy, key = ssh_client.policy_with_key("jump", folder)
    booted = with_programs(artefacts, folder, policy)
    with tempfile.TemporaryDirectory(prefix="cable-") as name:
        wan, lan = (Dgram(Path(name, f"{end}-guest"), Path(name, f"{end}-far")) for end in "ab")
        ends = (*ADMIN.values(), *STRANGER.values(), *ROUTER.values())
        outside, inside = cable.namespace_at(wan, *ends), cable.namespace_at(lan, *SERVER.values())
        try:
            for address in SERVER.values():
                for port in (22, 80):
                    inside.do(in_namespace.serve, "tcp", port, (address.partition("/")[0],))
            nics = (Nic(wan, GUEST_MAC), Nic(lan, GUEST_LAN_MAC))
            with Guest("jump", Machine(booted, nics, MEMORY), accelerated, LOGS) as guest:
                guest.wait_for_prompt()
                guest.expect(r"sshd: .*Not backgrounding")
                yield Jump(guest, outside, inside, key)
        finally:
            outside.close()
            inside.close()


def ssh(jump: Jump, version: int, source: str, *command: str) -> subprocess.CompletedProcess[str]:
    """A real client, from this address."""
    return ssh_client.ssh(jump.outside, jump.key, (source, f"admin@{SELF[version]}"), *command)


@versions
def test_an_administrator_with_the_key_gets_in_and_has_no_shell(jump: Jump, version: int) -> None:
    told = ssh(jump, version, ADMIN[version], "id")
    assert (told.returncode, told.stderr) == (1, "")
    assert told.stdout == "This is a jump host and has no shell: ssh -J admin@this-host SERVER\n"


@versions
def test_an_administrator_gets_through_to_a_server(jump: Jump, version: int) -> None:
    server = SERVER[version].partition("/")[0]
    told = ssh(jump, version, ADMIN[version], "-W", f"[{server}]:22", "-N")
    assert told.stdout == in_namespace.GREETING.decode(), told.stderr
    assert jump.inside.do(in_namespace.clients_of, "tcp", 22)[-1] in ("10.0.0.1", "fd00:10::1")


@versions
def test_nothing_but_ssh_to_the_servers_is_reached_from_there(jump: Jump, version: int) -> None:
    server = SERVER[version].partition("/")[0]
    told = ssh(jump, version, ADMIN[version], "-W", f"[{server}]:80", "-N")
    assert (told.stdout, told.returncode) == ("", 124)  # timeout(1): still waiting
    assert jump.inside.do(in_namespace.clients_of, "tcp", 80) == []


@versions
def test_from_anywhere_else_there_is_no_ssh(jump: Jump, version: int) -> None:
    told = ssh(jump, version, STRANGER[version], "id")
    assert told.returncode == 255
    assert "timed out" in told.stderr


@versions
def test_another_key_does_not_get_in(jump: Jump, version: int, tmp_path: Path) -> None:
    other = ssh_client.new_key(tmp_path / "other")
    told = ssh(Jump(jump.guest, jump.outside, jump.inside, other), version, ADMIN[version], "id")
    assert told.returncode == 255
    assert "Permission denied" in told.stderr


def test_the_room_is_in_the_status_and_comes_back_when_it_is_asked_to(jump: Jump) -> None:
    assert "sshd: process " in jump.guest.run("status")
    jump.guest.run("restart sshd")
    jump.guest.expect(r"sshd: .*Not backgrounding")
    jump.guest.send_line("")
    jump.guest.wait_for_prompt()
    told = jump.guest.run("status")
    assert "1 restart, room with ports" in told
    assert "0 repairs" in told
    assert ssh(jump, 4, ADMIN[4], "id").returncode == 1


def test_it_ends_in_order(jump: Jump) -> None:
    jump.guest.send_line("poweroff")
    jump.guest.expect("sshd: .*Early exit: Terminated by signal")
    jump.guest.wait_for_end()
