"""A device that this kernel never has is remarked upon."""

from __future__ import annotations

from pathlib import Path

import pytest

from pbrinit.cli.build import check_policy

POLICY = """
hostname = "names"
[interface.wan]
{by} = "{name}"
address = "192.0.2.2/24"
"""


def said(tmp_path: Path, name: str, by: str = "device") -> list[str]:
    path = tmp_path / "names.toml"
    path.write_text(POLICY.format(by=by, name=name))
    return [str(each).removeprefix(f"{path}: ") for each in check_policy(path).remarks]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("enp1s0", "udev gives such names, and there is none here"),
        ("ens3", "udev gives such names, and there is none here"),
        ("eno1", "udev gives such names, and there is none here"),
        ("enx525400123456", "udev gives such names, and there is none here"),
        ("em1", "udev gives such names, and there is none here"),
        ("p4p1", "udev gives such names, and there is none here"),
        ("eth0.10", "VLANs are not in this kernel"),
        ("vlan10", "VLANs are not in this kernel"),
        ("br0", "bridges are not in this kernel"),
        ("vmbr0", "this kernel gives no card such a name"),
        ("br-lan", "bridges are not in this kernel"),
        ("wg0", "tunnels are not in this kernel"),
        ("ppp0", "tunnels are not in this kernel"),
        ("bond0", "bonds are not in this kernel"),
        ("wlan0", "wireless cards are not in this kernel"),
        ("dummy0", "nobody makes such a device here"),
        ("eth", "this kernel gives no card such a name"),
        ("eth00", "this kernel gives no card such a name"),
        ("eth01", "this kernel gives no card such a name"),
        ("Eth0", "this kernel gives no card such a name"),
        ("wan", "this kernel gives no card such a name"),
    ],
)
def test_a_name_that_no_card_has_is_remarked_upon_with_what_to_write(
    tmp_path: Path, name: str, why: str
) -> None:
    (told,) = said(tmp_path, name)
    assert told.startswith(f'interface.wan.device: no card is "{name}": {why} (write "eth0", ')


@pytest.mark.parametrize("name", ["eth0", "eth9", "eth10", "eth123", "usb0"])
def test_a_name_that_a_card_may_have_is_not(tmp_path: Path, name: str) -> None:
    assert said(tmp_path, name) == []


def test_with_a_mac_the_name_is_free(tmp_path: Path) -> None:
    assert said(tmp_path, "52:54:00:12:34:56", "mac") == []
