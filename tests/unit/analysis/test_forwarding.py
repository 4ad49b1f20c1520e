"""Remarks on what is forwarded otherwise than its writer may think."""

from __future__ import annotations

from pathlib import Path

import pytest

from pbrinit.cli.build import check_policy

POLICY = """
hostname = "gate"
[interface.wan]
device  = "eth0"
address = ["192.0.2.2/24", "2001:db8::2/64"]
gateway = ["192.0.2.1", "2001:db8::1"]
[interface.lan]
device  = "eth1"
address = ["10.0.0.1/24", "2001:db8:1::1/64"]
[interface.dmz]
device  = "eth2"
address = ["203.0.113.1/24", "fd00:9::1/64"]
route = "10.9.0.0/16 via 203.0.113.9"
[network]
martians = "10.0.0.0/8"
outside = "198.51.100.0/24"
inside = "10.0.0.0/24"
[service]
web = "tcp/80"
dns = "udp/53"
"""
OUT = '[[forward]]\nin = "lan"\nout = "wan"\nservice = "web"\n'
TO_FEW = OUT + 'to = "outside"\n'


def said(tmp_path: Path, text: str, policy: str = POLICY) -> list[str]:
    path = tmp_path / "gate.toml"
    path.write_text(policy + text)
    told = [str(each).removeprefix(f"{path}: ") for each in check_policy(path).remarks]
    return [each for each in told if "not used" not in each]


DENIED = (
    "deny[1]: also takes what 10.0.0.0/24 behind lan may send out by wan by forward[1] (if only"
    ' what arrives there is meant, name 10.0.0.0/24, such as inside, and add "not inside" to from)'
)


def test_a_deny_entry_that_also_takes_what_leaves_is_remarked_upon(tmp_path: Path) -> None:
    deny = '[[deny]]\non = "wan"\nfrom = "martians"\n'
    assert DENIED in said(tmp_path, TO_FEW + deny)
    assert DENIED in said(tmp_path, TO_FEW + 'from = "any"\n' + deny + 'service = "web"\n')


@pytest.mark.parametrize(
    "deny",
    [
        pytest.param('on = "wan"\nfrom = ["martians", "not inside"]\n', id="said"),
        pytest.param('on = "wan"\nfrom = "inside"\n', id="about them alone"),
        pytest.param('on = "wan"\nfrom = "outside"\n', id="others"),
        pytest.param('on = "wan"\nfrom = "martians"\nservice = "dns"\n', id="another service"),
        pytest.param('from = "martians"\n', id="every interface"),
        pytest.param('on = "dmz"\nfrom = "martians"\n', id="another interface"),
    ],
)
def test_a_deny_entry_that_takes_what_it_says_is_not(tmp_path: Path, deny: str) -> None:
    assert not any("also takes" in each for each in said(tmp_path, f"{TO_FEW}[[deny]]\n{deny}"))


PRIVATE = (
    "is private: the Internet has no way back to it, and no address is translated"
    " (let the next router translate, or use addresses that are routed)"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (OUT, [f"forward[1]: 10.0.0.0/24 behind lan {PRIVATE}"]),
        (OUT.replace("lan", "dmz"), [f"forward[1]: fd00:9::/64 behind dmz {PRIVATE}"]),
        (OUT + 'to = "not martians"\n', [f"forward[1]: 10.0.0.0/24 behind lan {PRIVATE}"]),
        (TO_FEW, []),
        (OUT.replace('"lan"', '"wan"').replace('out = "wan"', 'out = "lan"'), []),
        (OUT.replace('out = "wan"', 'out = "dmz"'), []),
    ],
)
def test_private_addresses_forwarded_to_the_internet_are_remarked_upon(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    assert said(tmp_path, text) == expected


def test_a_private_router_translates(tmp_path: Path) -> None:
    policy = POLICY.replace("192.0.2.", "192.168.1.")
    assert said(tmp_path, OUT, policy) == []
