"""A console's password and the page for Prometheus, as a policy has them."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from pbrinit.cli import main
from pbrinit.cli.build import check_policy
from pbrinit.policy.policy import Metrics
from pbrinit.policy.problems import PolicyError
from pbrinit.policy.programs import User
from pbrinit.wire import password_hash

SOUND = Path("examples/host.toml").read_text()
KNOWN = (
    ("$6$saltstring", "Hello world!",
     "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJu"
     "esI68u4OTLiBFdcbYEdFCoEOfaS35inz1"),
    ("$6$rounds=5000$toolongsaltstring", "This is just a test",
     "$6$rounds=5000$toolongsaltstrin$lQ8jolhgVRVhY4b5pZKaysCLi0QBxGoNeKQ"
     "zQ3glMhwllF7oGDZxUhx1yxdYcz/e1JSbq3y6JMxxl8audkUEm0"),
)  # fmt: skip
"""From the specification of SHA-crypt, version 0.6 (Drepper)."""

YES = "$y$j75$HTA0iAyQuSgN62gPtOZl7.$GJhnaCeAZvBGDVqxpErZAFUmV0mMBKCxCTE/o9BDnV6"


def policy(tmp_path: Path, more: str, text: str = SOUND) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(text + more)
    return path


def problems(path: Path) -> list[str]:
    with pytest.raises(PolicyError) as refused:
        check_policy(path)
    return [str(problem).removeprefix(f"{path}: ") for problem in refused.value.problems]


@pytest.mark.parametrize(("setting", "word", "hashed"), KNOWN)
def test_the_hash_is_the_one_of_the_specification(setting: str, word: str, hashed: str) -> None:
    assert hashed.startswith(setting[:16])
    assert password_hash.is_hash(hashed)
    assert password_hash.matches(word, hashed)
    assert not password_hash.matches(f"{word} ", hashed)
    assert not password_hash.matches("", hashed)


def test_a_hash_that_is_made_fits_and_no_two_are_alike() -> None:
    first, second = (password_hash.hash_password("correct horse") for _ in range(2))
    assert first != second
    assert password_hash.is_hash(first)
    assert password_hash.matches("correct horse", first)
    assert not password_hash.matches("correct horsf", first)


def test_openssl_makes_the_same() -> None:
    made = password_hash.hash_password("correct horse")
    salt = made.split("$")[3]
    told = subprocess.run(
        ["openssl", "passwd", "-6", "-salt", salt, "correct horse"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert password_hash.matches("correct horse", told.stdout.strip())


@pytest.mark.parametrize("word", ["", "a\0b", "x" * 257])
def test_what_is_no_password_is_not_hashed(word: str) -> None:
    with pytest.raises(password_hash.PasswordError):
        password_hash.hash_password(word)


@pytest.mark.parametrize("word", ["a\0b", "x" * 257, "\udcff", "ä" * 200])
def test_what_nobody_can_have_set_fits_nothing(word: str) -> None:
    assert not password_hash.matches(word, KNOWN[0][2])


def test_the_command_prints_what_the_policy_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("correct horse\n"))
    assert main.main(["password"]) == 0
    found = check_policy(policy(tmp_path, f"\n{capsys.readouterr().out}")).policy.password
    assert found is not None
    assert password_hash.matches("correct horse", found)
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    assert main.main(["password"]) == 2
    assert capsys.readouterr().err.startswith("error: a password has 1 to 256 bytes")


@pytest.mark.parametrize(
    "text", ["secret", "", "$1$salt$0123456789012345678901", "$6$salt$short", f"{YES}/", f"${YES}"]
)
def test_what_is_no_hash_is_refused(tmp_path: Path, text: str) -> None:
    (found,) = problems(policy(tmp_path, f'\n[console]\npassword = "{text}"\n'))
    assert found.startswith("console.password: ")
    assert "`pbrctl password` makes one" in found


def test_metrics_are_served_as_a_user_who_is_not_root(tmp_path: Path) -> None:
    names = SOUND.replace("[user]\n", "[user]\nweb = 900\nroot = 0\n")
    names = names.replace("[service]\n", '[service]\npage = ["tcp/9000-9200"]\n')
    entry = '\n[[input]]\non = "wan"\nservice = "page"\n'
    section = '\n[metrics]\nport = 9100\nuser = "web"\n'
    reading = check_policy(policy(tmp_path, entry + section, names))
    assert reading.policy.metrics == Metrics(9100, User("web", 900))
    assert [str(remark) for remark in reading.remarks if "metrics" in remark.key] == []

    def remarks(text: str) -> list[str]:
        found = check_policy(policy(tmp_path, text, names)).remarks
        return [f"{remark.key}: {remark.what}" for remark in found if "metrics" in remark.key]

    assert remarks(section) == ["metrics.port: no input entry allows tcp/9100: no host can read it"]
    assert remarks(entry + section.replace("9100", "9201")) == [
        "metrics.port: no input entry allows tcp/9201: no host can read it"
    ]
    assert remarks(f'{entry}user = "updater"\n{section}') == [
        "metrics.user: the input entries that allow tcp/9100 are for another user's programs"
    ]
    assert remarks(f'{entry}user = "web"\n{section}') == []
    (wrong,) = problems(policy(tmp_path, section.replace('"web"', '"root"'), names))
    assert wrong.startswith("metrics.user: root is root, and this program answers other hosts")


@pytest.mark.parametrize(
    ("section", "found"),
    [
        ("port = 0\nuser = 'updater'", "metrics.port: must be a number from 1 to 65534"),
        ("user = 'updater'", "metrics.port: is missing"),
        ("port = 9100", "metrics.user: is missing"),
        ("port = 9100\nuser = 'nobody'", 'metrics.user: no user is named "nobody"'),
    ],
)
def test_metrics_that_are_not_whole_are_refused(tmp_path: Path, section: str, found: str) -> None:
    assert any(
        problem.startswith(found)
        for problem in problems(policy(tmp_path, f"\n[metrics]\n{section}\n"))
    )
