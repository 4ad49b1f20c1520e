"""The files that boot: what goes into them besides the base."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from factory.image import build, mkosi

POLICY = {"plan": b"\0plan\xff", "policy.toml": b'hostname = "gate"\n'}


def test_the_policy_archive_unpacks_to_what_went_in(tmp_path: Path) -> None:
    cpio = shutil.which("cpio") or pytest.fail("this test needs cpio: apt-get install cpio")
    subprocess.run(
        [cpio, "--extract", "--quiet", "--no-preserve-owner"],
        input=build.archive("etc/pbrinit", POLICY),
        cwd=tmp_path,
        check=True,
    )
    unpacked = tmp_path / "etc/pbrinit"
    assert {path.name: path.read_bytes() for path in unpacked.iterdir()} == POLICY
    assert unpacked.stat().st_mode & 0o777 == 0o755


def test_what_is_secret_is_only_root_s(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    hashed = (
        "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJu"
        "esI68u4OTLiBFdcbYEdFCoEOfaS35inz1"
    )
    host = (build.CHECKOUT / "examples/host.toml").read_text()
    for text, names in (
        (host, {"policy.toml"}),
        (f'{host}\n[console]\npassword = "{hashed}"\n', {"policy.toml", "password"}),
    ):
        policy.write_text(text)
        assert build.secrets(policy).keys() == names
    made = build.archive("etc/pbrinit", build.secrets(policy), 0o400)
    listed = subprocess.run(["cpio", "-tv", "--quiet"], input=made, capture_output=True, check=True)
    files = [line for line in listed.stdout.decode().splitlines() if line.startswith("-")]
    assert len(files) == 2
    assert all(line.startswith("-r-------- ") for line in files), files
    assert f"{hashed}\n".encode() in made


def test_the_policy_archive_names_a_folder_before_what_is_in_it() -> None:
    made = build.archive("etc/pbrinit", POLICY)
    places = [made.index(name) for name in (b"etc\0", b"etc/pbrinit\0", b"etc/pbrinit/plan\0")]
    assert places == sorted(places)


def test_the_policy_archive_ends_where_another_may_begin() -> None:
    assert len(build.archive("etc/pbrinit", POLICY)) % 4 == 0


def test_the_base_is_made_anew_for_another_byte_name_or_mode(tmp_path: Path) -> None:
    file = tmp_path / "init"
    file.write_text("a")
    keys = [mkosi.key(tmp_path, tmp_path.iterdir())]
    file.write_text("b")
    keys.append(mkosi.key(tmp_path, tmp_path.iterdir()))
    file.chmod(0o755)
    keys.append(mkosi.key(tmp_path, tmp_path.iterdir()))
    file.rename(tmp_path / "start")
    keys.append(mkosi.key(tmp_path, tmp_path.iterdir()))
    assert len(set(keys)) == len(keys)


def test_the_base_is_the_same_for_two_clones(tmp_path: Path) -> None:
    keys = []
    for clone in ("one", "two"):
        (tmp_path / clone).mkdir()
        (tmp_path / clone / "init").write_text("a")
        keys.append(mkosi.key(tmp_path / clone, (tmp_path / clone).iterdir()))
    assert keys[0] == keys[1]


REACHED = """
hostname = "inner"
[interface.lan]
device = "eth0"
address = ["10.0.0.1/16"]
[service]
ssh = ["tcp/22"]
[[input]]
service = "ssh"
"""


@pytest.mark.parametrize(
    ("more", "status", "said"),
    [
        ('[[expect]]\nnever = { service = "ssh" }\n', 1, "a counter-example"),
        ('[[input]]\nservice = "smtp"\n', 2, 'no service is named "smtp"'),
    ],
    ids=["unproved", "mistaken"],
)
def test_no_image_is_made_of_a_policy_that_is_mistaken_or_not_proved(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], more: str, status: int, said: str
) -> None:
    """And the one that was there stays as it was."""
    policy, made = tmp_path / "inner.toml", tmp_path / "build"
    policy.write_text(REACHED + more)
    made.mkdir()
    (made / "pbrinit.efi").write_bytes(b"the last one")
    with pytest.raises(SystemExit) as ended:
        build.make_image(policy, made)
    assert ended.value.code == status
    told = capfd.readouterr()
    assert said in told.out + told.err
    assert [path.name for path in made.iterdir()] == ["pbrinit.efi"]
    assert (made / "pbrinit.efi").read_bytes() == b"the last one"


BY_DHCP = """
hostname = "gate"
[interface.wan]
device = "eth0"
address = "dhcp"
[network]
mgmt = "198.51.100.0/24"
bad = { file = "bad.txt" }
"""
DENY = '[[deny]]\nfrom = "bad"\n'


def test_a_policy_that_is_compiled_for_each_lease_has_its_lists_in_the_image(
    tmp_path: Path,
) -> None:
    policy = tmp_path / "gate.toml"
    policy.write_text(BY_DHCP + DENY)
    (tmp_path / "bad.txt").write_text("203.0.113.0/24\n")
    assert build.sources(policy) == {
        "policy.toml": policy.read_bytes(),
        "bad.txt": b"203.0.113.0/24\n",
    }
    policy.write_text(policy.read_text().replace('"dhcp"', '"192.0.2.2/24"'))
    assert list(build.sources(policy)) == ["policy.toml"]


@pytest.mark.parametrize("place", ["lists/bad.txt", "../bad.txt", "plan"])
def test_a_list_elsewhere_makes_no_image_for_leases(
    tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "policy"
    (folder / "lists").mkdir(parents=True)
    (folder / place).write_text("203.0.113.0/24\n")
    (folder / "gate.toml").write_text(BY_DHCP.replace("bad.txt", place) + DENY)
    with pytest.raises(SystemExit):
        build.sources(folder / "gate.toml")
    assert f"network.bad.file: {place} is not beside the policy" in capsys.readouterr().err
