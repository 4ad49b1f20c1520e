"""An entry that does nothing is remarked upon, with the entries that make it so."""

from __future__ import annotations

from pathlib import Path

import pytest

from pbrinit.analysis.diff import changes
from pbrinit.cli.build import check_policy
from tests.support.policy_text import ROUTER, written

SSH = '[[input]]\non = "wan"\nfrom = "mgmt"\nservice = "ssh"\n'
WEB = '[[forward]]\nin = "lan"\nout = "wan"\nservice = "web"\n'
OUT = '[[output]]\nservice = ["web", "dns"]\n'
MORE = (
    'rest = ["198.51.100.0/26", "198.51.100.96/27", "198.51.100.128/25"]\nsix = "2001:db8:5::/48"\n'
)


ROOMS = "".join(
    f'[run.{name}]\ncommand = ["/{name}"]\nuser = "updater"\n' for name in ("one", "two")
)


def remarks(tmp_path: Path, text: str) -> list[str]:
    """What is said of entries that do nothing (test_exposure, test_forwarding have others)."""
    path = tmp_path / "policy.toml"
    path.write_text(ROUTER.replace("[service]", f"{MORE}[service]") + text)
    found = (str(remark).removeprefix(f"{path}: ") for remark in check_policy(path).remarks)
    others = ("is defined, but not used", "is private: ", " unasked, and no entry offers that")
    return [remark for remark in found if not any(words in remark for words in others)]


@pytest.mark.parametrize(
    "text",
    [
        OUT + 'run = "one"\n' + OUT + 'run = "two"\n',
        OUT + 'run = "one"\n' + OUT,
        OUT + 'run = "one"\n[[deny]]\nuser = "updater"\n',
    ],
)
def test_what_one_room_may_another_or_the_machine_may_not(tmp_path: Path, text: str) -> None:
    assert not any("output" in remark for remark in remarks(tmp_path, ROOMS + text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SSH + '[[deny]]\nfrom = "mgmt"\n', ("input[1]", "deny[1]")),
        (SSH + '[[deny]]\nservice = "ssh"\n', ("input[1]", "deny[1]")),
        (SSH + '[[deny]]\nfrom = "bad"\n[[deny]]\non = "wan"\n', ("input[1]", "deny[2]")),
        (SSH + "".join(f'[[deny]]\nfrom = "{name}"\n' for name in ("bad", "rest", "six")),
         ("input[1]", "deny[1], deny[2], deny[3]")),
        (WEB + '[[deny]]\nfrom = "not bad"\n[[deny]]\nfrom = "bad"\nservice = "web"\n',
         ("forward[1]", "deny[1], deny[2]")),
        (OUT + 'user = "updater"\n[[deny]]\nuser = "updater"\n', ("output[1]", "deny[1]")),
        (ROOMS + SSH + 'run = "one"\n[[deny]]\nfrom = "mgmt"\n', ("input[1]", "deny[1]")),
        (ROOMS + OUT + 'run = "one"\n[[deny]]\nto = "any"\n', ("output[1]", "deny[1]")),
    ],
)  # fmt: skip
def test_an_entry_of_which_deny_entries_leave_nothing_is_named_with_them(
    tmp_path: Path, text: str, expected: tuple[str, str]
) -> None:
    entry, denies = expected
    assert remarks(tmp_path, text) == [
        f"{entry}: does nothing: what it lets be asked is taken away by {denies}"
    ]


@pytest.mark.parametrize(
    "text",
    [
        SSH + '[[deny]]\nto = "mgmt"\n',
        SSH + '[[deny]]\nfrom = "bad"\n',
        SSH + '[[deny]]\nfrom = "mgmt"\nservice = "web"\n',
        SSH + '[[deny]]\non = "lan"\n',
        OUT + '[[deny]]\nuser = "updater"\n',
        WEB + '[[deny]]\nfrom = "not bad"\n',
        SSH + "".join(f'[[deny]]\nfrom = "{name}"\n' for name in ("bad", "rest")),
    ],
)
def test_an_entry_of_which_something_is_left_is_none_to_remark_upon(
    tmp_path: Path, text: str
) -> None:
    assert remarks(tmp_path, text) == []


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        (SSH, SSH),
        (SSH, SSH + 'user = "updater"\n'),
        (SSH.replace('"ssh"', '["ssh", "web"]'), SSH),
        (SSH.replace('from = "mgmt"\n', ""), SSH),
        (OUT, '[[output]]\non = "lan"\nto = "servers"\nservice = "dns"\n'),
        (WEB + 'clients = "1024-65534"\n', WEB),
        (WEB, WEB + 'from = "servers"\nto = "mgmt"\n'),
        ('[[input]]\nservice = "icmp"\n', '[[input]]\nservice = "ping"\n'),
    ],
)
def test_an_entry_that_another_one_holds_adds_nothing_and_is_named_with_it(
    tmp_path: Path, wide: str, narrow: str
) -> None:
    """Whichever stands first; of two that are equal it is the second."""
    kind = wide.partition("]")[0].removeprefix("[[")
    said = "allows nothing that {}[{}] does not allow as well"
    assert remarks(tmp_path, wide + narrow) == [f"{kind}[2]: {said.format(kind, 1)}"]
    first = (2, 1) if wide == narrow else (1, 2)
    assert remarks(tmp_path, narrow + wide) == [
        f"{kind}[{first[0]}]: {said.format(kind, first[1])}"
    ]
    assert list(changes(written(wide + narrow), written(wide))) == []


def test_a_program_in_a_room_is_another_one_than_the_machine(tmp_path: Path) -> None:
    room = '[run.server]\ncommand = ["/bin/server"]\nuser = "updater"\n'
    assert remarks(tmp_path, f'{OUT}{OUT}run = "server"\n{room}') == []
    beside = f"{room}isolate = false\n"
    assert remarks(tmp_path, f'{OUT}{OUT}run = "server"\n{beside}') == [
        "output[2]: allows nothing that output[1] does not allow as well"
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (SSH, SSH.replace("mgmt", "bad").replace('"wan"', '["wan", "lan"]')),
        (SSH, OUT.replace('["web", "dns"]', '"ssh"')),
        (SSH + 'user = "updater"\n', SSH),
        (WEB + 'clients = "1024-65534"\n', WEB + 'clients = "1023"\n'),
        ('[[input]]\nservice = "ping"\n', '[[input]]\nservice = "icmp"\n'),
    ],
)
def test_an_entry_that_adds_something_is_none_to_remark_upon(
    tmp_path: Path, one: str, other: str
) -> None:
    assert list(changes(written(one + other), written(one))) != []
    assert not any(f"{key}[2]" in remark.partition(":")[0] for key in ("input", "forward")
                   for remark in remarks(tmp_path, one + other))  # fmt: skip


EMPTY = "holds whatever is allowed: nobody it names is where it looks"


@pytest.mark.parametrize(
    ("expectation", "said"),
    [
        ('never = { on = "lan", from = "mgmt" }', [f"expect[1].never: {EMPTY}"]),
        ('never = { on = "dmz", from = "six" }', [f"expect[1].never: {EMPTY}"]),
        ('never = { in = "wan", to = "mgmt" }', [f"expect[1].never: {EMPTY}"]),
        ('never = { on = "wan", from = "not mgmt", service = "ssh" }', []),
        ('always = { on = "wan", from = "mgmt", service = "ssh" }', []),
    ],
)
def test_an_expectation_about_nobody_is_remarked_upon(
    tmp_path: Path, expectation: str, said: list[str]
) -> None:
    found = remarks(tmp_path, f"{SSH}[[expect]]\n{expectation}\n")
    assert [remark for remark in found if remark.startswith("expect")] == said


def test_who_is_behind_an_interface_that_waits_is_not_known_before(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    text = Path("examples/dhcp.toml").read_text() + '[[expect]]\nnever = { from = "mgmt" }\n'
    path.write_text(text)
    assert not [str(one) for one in check_policy(path).remarks if "nobody it names" in str(one)]
