"""Another policy is tried on the running machine: it goes by itself, unless somebody keeps it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from factory.image.build import Artefacts, archive
from factory.vm.qemu import Accelerator, Machine, Nic
from tests.support.host_example import MGMT, SELF, STRANGER, VERSIONS
from tests.support.mac_addresses import GUEST_MAC
from tests.support.vm.booted import BootedGuest, boot
from tests.support.vm.built_image import direct, with_files
from tests.support.vm.guest import LOGS
from tests.support.vm.wire import Wire

HOST = Path("examples/host.toml").read_text()
OTHER = HOST.replace("198.51.100.0/24", "203.0.113.0/24").replace("2001:db8:5::", "2001:db8:7::")
BAD = HOST.replace('from    = "mgmt"', 'from    = "mgtm"').replace('"tcp/443"', '"tcp/99999"')
BROKEN = HOST + '\n[[expect]]\nnever = { on = "wan", service = "ssh" }\n'
LOGGING = f"log = true\n{HOST}"
POLICIES = {"other": OTHER, "bad": BAD, "broken": BROKEN, "logging": LOGGING}
SECONDS = 15
ANSWER_SECONDS = 3.0
MEMORY = 96
"""MiB: with 64 the compiler may be ended where memory runs out, before it has told the outcome."""

IN_FORCE = r'policy "{}" [0-9a-f]{{16}}: \d+ rules in force'


@pytest.fixture(scope="module")
def machine(
    artefacts: Artefacts, accelerated: Accelerator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BootedGuest]:
    """The example's machine, with other policies in a folder."""
    files = {f"{name}.toml": text.encode() for name, text in POLICIES.items()}
    initramfs = with_files(artefacts, tmp_path_factory.mktemp("try"), archive("policies", files))
    with Wire(LOGS / "boot-try.pcap") as wire:
        nic = Nic(wire.netdev, GUEST_MAC)
        guest = Machine(direct(artefacts, initramfs), (nic,), MEMORY)
        yield from boot("try", guest, accelerated, wire)


OWN, OTHERS = {"mgmt 4", "mgmt 6"}, {"stranger 4", "stranger 6"}


def reached_by(machine: BootedGuest) -> set[str]:
    """Who reaches the machine by ping: `mgmt` under its own policy, `stranger` under the other."""
    found = set()
    for version in VERSIONS:
        for name, peers in (("mgmt", MGMT), ("stranger", STRANGER)):
            asked = machine.peer.ping(peers[version], SELF[version], timeout=ANSWER_SECONDS)
            if asked.verdict == "reply":
                found.add(f"{name} {version}")
    return found


def as_planned(machine: BootedGuest) -> None:
    """Everything is as the plan in force has it."""
    machine.guest.send_line("")
    machine.guest.wait_for_prompt()
    assert machine.guest.run("audit").endswith("as planned")


def test_a_policy_with_mistakes_is_refused_with_all_of_them(machine: BootedGuest) -> None:
    told = machine.guest.run("try /policies/bad.toml")
    assert 'input[1].from: no network is named "mgtm" (did you mean "mgmt"?)' in told
    assert "service.https[1]: tcp/99999 is not within 1-65534" in told
    assert re.search(r"^\d errors$", told, re.M)
    assert "Traceback" not in told
    assert reached_by(machine) == OWN


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("try /policies/broken.toml", "expect["),
        ("try /policies/none.toml", "/policies/none.toml: file: cannot be read: No such file"),
        ("try /policies/other.toml soon", "--confirm takes seconds"),
        ("try /policies/other.toml 0", "a trial lasts 1 to 3600 s"),
        ("try", "try FILE [SECONDS], confirm"),
        ("confirm", "no policy is on trial"),
    ],
)
def test_what_cannot_be_is_said(machine: BootedGuest, line: str, said: str) -> None:
    told = machine.guest.run(line)
    assert said in told
    assert "Traceback" not in told
    assert "on trial" not in machine.guest.run("status")


def test_what_is_tried_goes_by_itself(machine: BootedGuest) -> None:
    """A flow that the old policy allows is cut by the new one, and the other way round."""
    assert reached_by(machine) == OWN
    told = machine.guest.run(f"try /policies/other.toml {SECONDS}")
    start = time.monotonic()
    assert re.search(
        r"^other: sound; 430 rules, as the policy means it for \d+ packets", told, re.M
    )
    assert f'policy "other" is in force for {SECONDS} s; `pbrctl confirm` keeps it' in told
    assert reached_by(machine) == OTHERS
    told = machine.guest.run("status")
    assert re.search(r'^on trial for \d+ s more, then "host" comes back', told, re.M)
    assert re.search(r'^gate, policy "other" [0-9a-f]{16}, ', told)
    machine.guest.expect('policy "other" was not confirmed', SECONDS + 5)
    machine.guest.expect(IN_FORCE.format("host"))
    assert SECONDS - 2 < time.monotonic() - start < SECONDS + 5
    assert reached_by(machine) == OWN
    as_planned(machine)


def test_who_is_refused_is_logged_for_as_long_as_that_is_tried(machine: BootedGuest) -> None:
    def knock(version: int) -> str:
        who = STRANGER[version]
        assert machine.peer.tcp(who, SELF[version], 23, timeout=ANSWER_SECONDS).verdict == "silence"
        return re.escape(who if version == 4 else f"[{who}]")

    assert "the policy does not log" in machine.guest.run("refused")
    assert "is in force for" in machine.guest.run(f"try /policies/logging.toml {SECONDS}")
    for version in VERSIONS:
        machine.guest.expect(rf"refused: tcp {knock(version)}:\d+ > \S+:23", 5)
    assert reached_by(machine) == OWN
    machine.guest.expect(IN_FORCE.format("host"), SECONDS + 5)
    as_planned(machine)
    said = machine.guest.transcript.count("refused: tcp")
    for version in VERSIONS:
        knock(version)
    assert "the policy does not log" in machine.guest.run("refused")
    assert machine.guest.transcript.count("refused: tcp") == said
    assert reached_by(machine) == OWN


def test_a_client_that_is_cut_off_leaves_a_trial_that_ends(machine: BootedGuest) -> None:
    machine.guest.send_line(f"try /policies/other.toml {SECONDS}")
    machine.guest.expect(
        "try /policies/other.toml"
    )  # or the terminal drops it with what comes next
    machine.guest.press("\x03")
    machine.guest.wait_for_prompt()
    assert reached_by(machine) == OWN
    machine.guest.send_line(f"try /policies/other.toml {SECONDS}")
    machine.guest.expect(IN_FORCE.format("other"))
    machine.guest.press("\x03")
    assert reached_by(machine) == OTHERS
    machine.guest.expect(IN_FORCE.format("host"), SECONDS + 5)
    assert reached_by(machine) == OWN
    as_planned(machine)
    assert "Traceback" not in machine.guest.transcript


def test_what_is_confirmed_stays(machine: BootedGuest) -> None:
    machine.guest.run("try /policies/other.toml 10")
    told = machine.guest.run("confirm")
    assert 'policy "other" is kept, until the machine starts again' in told
    time.sleep(12)
    assert reached_by(machine) == OTHERS
    assert "on trial" not in machine.guest.run("status")
    as_planned(machine)


def test_the_policy_of_the_image_is_tried_like_any_other(machine: BootedGuest) -> None:
    machine.guest.run("try /etc/pbrinit/policy.toml 60")
    assert reached_by(machine) == OWN
    machine.guest.run("confirm")
    as_planned(machine)
