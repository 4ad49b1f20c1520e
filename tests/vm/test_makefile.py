"""What a person does first: `make boot`, type at it, leave."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pexpect
import pytest

SECONDS = 180


def test_make_boot_boots_to_a_prompt_and_poweroff_leaves() -> None:
    with Path("build/log/make-boot.log").open("w") as log:
        person = pexpect.spawn("make", ["boot"], encoding="utf-8", logfile=log, timeout=SECONDS)
        person.expect("KVM: .*Ctrl-A X leaves")
        person.expect(r"policy \"host\": \d+ rules in force")
        person.expect("allowed: input by wan from mgmt: tcp/22, icmp/echo")
        person.expect("wan: eth0 is up")
        person.expect("pbrinit> ")
        person.sendline("status")
        person.expect("rules: .* in force, as planned")
        person.expect("pbrinit> ")
        person.sendline("poweroff")
        person.expect("going down")
        person.expect(pexpect.EOF)
        person.close()
    assert person.exitstatus == 0


def test_ctrl_a_x_leaves() -> None:
    person = pexpect.spawn("make", ["boot"], encoding="utf-8", timeout=SECONDS)
    person.expect("Ctrl-A X leaves")
    person.expect("no interface is up")
    person.send("\x01x")
    person.expect(pexpect.EOF)
    person.close()
    assert person.exitstatus == 0


def test_an_error_in_the_policy_stops_the_build_and_leaves_the_image(tmp_path: Path) -> None:
    image = Path("build/pbrinit.efi")
    before = (image.stat().st_mtime_ns, image.stat().st_size)
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(Path("examples/host.toml").read_text().replace('"mgmt"', '"mgtm"'))
    told = subprocess.run(
        ["make", "image", f"POLICY={wrong}"], check=False, capture_output=True, text=True
    )
    assert told.returncode == 2
    assert 'input[1].from: no network is named "mgtm" (did you mean "mgmt"?)' in told.stderr
    assert "Traceback" not in told.stderr
    assert (image.stat().st_mtime_ns, image.stat().st_size) == before


@pytest.mark.parametrize(
    "command",
    [
        ["./pbrctl", "--help"],
        ["./pbrctl", "check", "--help"],
        ["./pbrctl", "show", "--help"],
        ["./pbrctl", "build", "--help"],
        ["make", "help"],
    ],
)
def test_every_command_explains_itself(command: list[str]) -> None:
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    assert len(told.stdout.splitlines()) > 3
