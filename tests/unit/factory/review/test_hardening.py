"""Checks that are open, and the reasons for that."""

from __future__ import annotations

import pytest

from factory.kernel import build, cmdline
from factory.review import hardening
from factory.review.hardening import Check, Explanation, explain
from pbrinit.boot.system.hardening import HARDENING

MET = Check("kconfig", "CONFIG_BUG", "y", "defconfig", "y", met=True)
OPEN = Check("kconfig", "CONFIG_LSM", "*selinux*", "kspp", "not found", met=False)
REASON = Explanation("CONFIG_LSM", None, "one program", None)


def test_an_open_check_without_a_reason_is_a_finding() -> None:
    _, findings = explain([MET, OPEN], [], {})
    assert findings == ["CONFIG_LSM: kspp wants *selinux*; not found; no reason given"]


def test_an_open_check_with_a_reason_is_none_and_carries_it() -> None:
    checks, findings = explain([MET, OPEN], [REASON], {})
    assert findings == []
    assert [check.reason for check in checks] == ["", "one program"]


def test_a_reason_can_be_for_one_of_several_wanted_values() -> None:
    other = Explanation("CONFIG_LSM", "*yama*", "r", None)
    _, findings = explain([OPEN], [other], {})
    assert len(findings) == 2


def test_a_reason_for_what_is_met_is_stale() -> None:
    _, findings = explain([MET], [Explanation("CONFIG_BUG", None, "r", None)], {})
    assert findings == [
        "CONFIG_BUG: explained in hardening_exceptions.toml, but met or not checked: remove it"
    ]


def test_a_reason_that_rests_on_an_option_that_is_on_is_wrong() -> None:
    rests = Explanation("CONFIG_LSM", None, "there is no SELinux", "SECURITY_SELINUX")
    _, findings = explain([OPEN], [rests], {"SECURITY_SELINUX": "y"})
    assert findings == ["CONFIG_LSM: the reason says that SECURITY_SELINUX is off; it is on"]


@pytest.mark.parametrize("variant", build.VARIANTS)
def test_the_explanations_that_are_shipped_have_words(variant: str) -> None:
    for one in hardening.explanations(variant, (6, 12)):
        assert len(one.reason.split()) > 2, one.name


def test_an_explanation_is_for_the_series_it_names() -> None:
    names = [
        {one.name for one in hardening.explanations("vm", series)} for series in ((6, 12), (7, 2))
    ]
    assert "CONFIG_CFI_CLANG" in names[1] - names[0]
    assert "CONFIG_HARDENED_USERCOPY_DEFAULT_ON" in names[0] - names[1]


def test_screen_and_keyboard_are_spoken_to_on_a_real_machine_only() -> None:
    lines = {variant: cmdline.line(cmdline.read(variant)).split() for variant in build.VARIANTS}
    assert "console=tty0" in lines["pc"]
    assert set(lines["pc"]) - set(lines["vm"]) == {"console=tty0", "nosmt"}


@pytest.mark.parametrize("variant", build.VARIANTS)
def test_the_serial_line_is_the_last_console(variant: str) -> None:
    words = [parameter.text for parameter in cmdline.read(variant)]
    consoles = [word for word in words if word.startswith("console=")]
    assert consoles[-1] == "console=ttyS0,115200"


def test_every_sysctl_has_a_reason_and_is_set_once() -> None:
    keys = [key for key, _, reason in HARDENING if reason]
    assert len(keys) == len(set(keys)) == len(HARDENING)
