"""A console's password and the page for Prometheus, as a policy has them."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from pbrinit import cli
from pbrinit.boot import password
from pbrinit.language import examine
from pbrinit.problems import PolicyError

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
        examine(path)
    return [str(problem).removeprefix(f"{path}: ") for problem in refused.value.problems]


@pytest.mark.parametrize(("setting", "word", "hashed"), KNOWN)
def test_the_hash_is_the_one_of_the_specification(setting: str, word: str, hashed: str) -> None:
    assert hashed.startswith(setting[:16])
    assert password.is_hash(hashed)
    assert password.fits(word, hashed)
    assert not password.fits(f"{word} ", hashed)
    assert not password.fits("", hashed)


def test_a_hash_that_is_made_fits_and_no_two_are_alike() -> None:
    first, second = (password.made("correct horse") for _ in range(2))
    assert first != second
    assert password.is_hash(first)
    assert password.fits("correct horse", first)
    assert not password.fits("correct horsf", first)


def test_openssl_makes_the_same() -> None:
    made = password.made("correct horse")
    salt = made.split("$")[3]
    told = subprocess.run(
        ["openssl", "passwd", "-6", "-salt", salt, "correct horse"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert password.fits("correct horse", told.stdout.strip())


@pytest.mark.parametrize("word", ["", "a\0b", "x" * 257])
def test_what_is_no_password_is_not_hashed(word: str) -> None:
    with pytest.raises(password.PasswordError):
        password.made(word)


@pytest.mark.parametrize("word", ["a\0b", "x" * 257, "\udcff", "ä" * 200])
def test_what_nobody_can_have_set_fits_nothing(word: str) -> None:
    assert not password.fits(word, KNOWN[0][2])


def test_the_command_prints_what_the_policy_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("correct horse\n"))
    assert cli.main(["password"]) == 0
    found = examine(policy(tmp_path, f"\n{capsys.readouterr().out}")).policy.password
    assert found is not None
    assert password.fits("correct horse", found)
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    assert cli.main(["password"]) == 2
    assert capsys.readouterr().err.startswith("error: a password has 1 to 256 bytes")


@pytest.mark.parametrize(
    "text", ["secret", "", "$1$salt$0123456789012345678901", "$6$salt$short", f"{YES}/", f"${YES}"]
)
def test_what_is_no_hash_is_refused(tmp_path: Path, text: str) -> None:
    (found,) = problems(policy(tmp_path, f'\n[console]\npassword = "{text}"\n'))
    assert found.startswith("console.password: ")
    assert "`pbrctl password` makes one" in found
