"""What programs bring into the image, from a package that is made here."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from factory.debian import archive
from factory.debian.archive import Deb
from factory.image import program_files
from factory.image.cpio import Entry
from pbrinit.policy import room_ids
from pbrinit.policy.problems import PolicyError
from pbrinit.policy.reader.reader import read_policy

POLICY = """
hostname = "gate"
[interface.wan]
device = "eth0"
address = "192.0.2.2/24"
[service]
ssh = "tcp/22"
[user]
one = 1001
two = 1002
[run.one]
command = ["{command}"]
user = "one"
{one}
[run.two]
command = ["/usr/bin/python3"]
user = "two"
{two}
[[input]]
service = "ssh"
run = "one"
"""
PRESENT = frozenset({"usr/bin/python3", "usr/lib/x86_64-linux-gnu/libc.so.6"})


@pytest.fixture(autouse=True)
def made_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The archive has one package, `tool`."""
    tree = tmp_path / "tree"
    for name, content in (
        ("usr/bin/tool", "#!/usr/bin/python3\n"),
        ("usr/share/doc/tool/README", "read"),
        ("usr/share/tool/data", "data"),
        ("etc/init.d/tool", "start"),
        ("DEBIAN/control", "Package: tool\nVersion: 1\nArchitecture: all\n"
         "Maintainer: none <none@example.org>\nDescription: none\n"),
    ):  # fmt: skip
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(content)
    (tree / "usr/bin/tool").chmod(0o4755)
    (tree / "usr/bin/alias").symlink_to("tool")
    deb = tmp_path / "tool_1.deb"
    build = ["dpkg-deb", "--root-owner-group", "-b", str(tree), str(deb)]
    subprocess.run(build, check=True, capture_output=True)
    monkeypatch.setenv("PBRINIT_CACHE", str(tmp_path / "cache"))
    fetched = [Deb("tool", "1", deb)]
    monkeypatch.setattr(archive, "fetch_with_needs", lambda *_: fetched)


def entries(
    folder: Path, command: str = "/usr/bin/tool", one: str = 'package = "tool"', two: str = ""
) -> dict[str, Entry]:
    """By name, what the policy brings along, folders left out."""
    policy = folder / "gate.toml"
    policy.write_text(POLICY.format(command=command, one=one, two=two))
    found = program_files.entries(read_policy(policy), policy, PRESENT)
    return {entry.name: entry for entry in found if not stat.S_ISDIR(entry.mode)}


def test_a_package_comes_without_what_is_for_people_and_for_other_systems(tmp_path: Path) -> None:
    found = entries(tmp_path)
    assert sorted(found) == ["usr/bin/alias", "usr/bin/tool", "usr/share/tool/data"]
    assert found["usr/bin/alias"].data == b"tool"
    assert stat.S_IMODE(found["usr/bin/tool"].mode) == 0o755  # and not as its owner


def test_a_policy_without_programs_brings_nothing(tmp_path: Path) -> None:
    policy = tmp_path / "gate.toml"
    policy.write_text(POLICY.partition("[run.one]")[0] + '[[input]]\nservice = "ssh"\n')
    assert program_files.entries(read_policy(policy), policy, PRESENT) == []


def test_a_command_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PolicyError) as told:
        entries(tmp_path, command="/usr/bin/tol")
    assert f"{tmp_path}/gate.toml: run.one.command: there is no /usr/bin/tol in the image" in str(
        told.value
    )


def test_a_file_is_for_its_program_alone_and_is_executed_where_its_source_can_be(
    tmp_path: Path,
) -> None:
    (tmp_path / "key").write_bytes(b"secret")
    (tmp_path / "start").write_bytes(b"#!/usr/bin/python3\n")
    (tmp_path / "start").chmod(0o755)
    found = entries(
        tmp_path,
        command="/etc/one/start",
        one='files = { "/etc/one/key" = "key", "/etc/one/start" = "start" }',
    )
    key, start = found["etc/one/key"], found["etc/one/start"]
    root, group = room_ids.FIRST, room_ids.FIRST + 1001
    assert (stat.S_IMODE(key.mode), key.data) == (0o440, b"secret")
    assert (key.uid, key.gid) == (root, group)
    assert (stat.S_IMODE(start.mode), start.uid, start.gid) == (0o550, root, group)
    beside = entries(
        tmp_path, command="/usr/bin/python3", one='isolate = false\nfiles = { "/etc/key" = "key" }'
    )["etc/key"]
    assert (beside.uid, beside.gid) == (0, 1001)


def test_the_same_file_of_two_programs_is_for_everybody(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"x")
    files = 'files = { "/etc/list" = "list" }'
    found = entries(tmp_path, command="/usr/bin/python3", one=files, two=files)
    assert (stat.S_IMODE(found["etc/list"].mode), found["etc/list"].gid) == (0o444, 0)


@pytest.mark.parametrize("uid", [0, 1003])
def test_the_same_file_of_three_programs_is_for_everybody(tmp_path: Path, uid: int) -> None:
    (tmp_path / "list").write_bytes(b"x")
    files = 'files = { "/etc/list" = "list" }'
    found = of_three(tmp_path, files, files, uid)
    assert (stat.S_IMODE(found["etc/list"].mode), found["etc/list"].gid) == (0o444, 0)


def test_a_third_program_cannot_replace_what_two_have(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    with pytest.raises(PolicyError, match=r"run.three.files./etc/x: is another program's file"):
        of_three(tmp_path, 'files = { "/etc/x" = "a" }', 'files = { "/etc/x" = "b" }', 1003)


def of_three(folder: Path, files: str, third: str, uid: int) -> dict[str, Entry]:
    """What three programs bring along, of which two have the same files."""
    text = POLICY.format(command="/usr/bin/python3", one=files, two=files)
    text = text.replace("[user]\n", f"[user]\nthree = {uid}\n")
    text += f'[run.three]\ncommand = ["/usr/bin/python3"]\nuser = "three"\n{third}\n'
    policy = folder / "gate.toml"
    policy.write_text(text)
    return {
        entry.name: entry for entry in program_files.entries(read_policy(policy), policy, PRESENT)
    }


def test_another_file_of_the_same_name_is_an_error(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    with pytest.raises(PolicyError, match=r"run.two.files./etc/x: is another program's file"):
        entries(
            tmp_path,
            command="/usr/bin/python3",
            one='files = { "/etc/x" = "a" }',
            two='files = { "/etc/x" = "b" }',
        )


@pytest.mark.parametrize(
    "target",
    ["/usr/bin/python3", "/etc/pbrinit/plan", "/init", "/run/x", "/tmp/x"],  # noqa: S108
)
def test_what_is_the_image_s_own_cannot_be_replaced(tmp_path: Path, target: str) -> None:
    (tmp_path / "x").write_text("x")
    with pytest.raises(PolicyError, match="is the image's own"):
        entries(tmp_path, command="/usr/bin/python3", one=f'files = {{ "{target}" = "x" }}')


def test_a_file_of_the_policy_stands_where_a_package_has_one(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    found = entries(tmp_path, one='package = "tool"\nfiles = { "/usr/share/tool/data" = "mine" }')
    assert found["usr/share/tool/data"].data == b"mine"


def test_libraries_that_a_program_needs_are_found_by_its_own_loader(tmp_path: Path) -> None:
    """With the host's Python for a program, and its folders for packages."""
    loader = Path("/lib64/ld-linux-x86-64.so.2").resolve()
    tree = tmp_path / "libc"
    (tree / program_files.LOADER).parent.mkdir(parents=True)
    (tree / program_files.LOADER).write_bytes(loader.read_bytes())
    (tree / program_files.LOADER).chmod(0o755)
    folder = tree / program_files.LIBRARIES[0]
    folder.mkdir(parents=True)
    (folder / "libc.so.6").write_bytes((loader.parent / "libc.so.6").read_bytes())
    (folder / "libother.so.6").write_bytes((loader.parent / "libc.so.6").read_bytes())
    found = list(program_files._libraries([Path(sys.executable).resolve()], [tree]))
    assert (tree, folder / "libc.so.6") in found
    assert (tree, folder / "libother.so.6") not in found
