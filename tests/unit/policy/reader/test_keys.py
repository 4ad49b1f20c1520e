"""The schema for editors says just what the reader takes, in keys and types."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator

from pbrinit.cli import main
from pbrinit.policy.problems import Problems
from pbrinit.policy.reader.keys import POLICY, schema
from pbrinit.policy.reader.reader import read_policy
from tests.support.generate.documents import changed, document

COMMITTED = Path("examples/policy.schema.json")
EXAMPLES = sorted(Path("examples").glob("*.toml"))
EVERY_KEY = tomllib.loads(
    """
    hostname = "gate"
    on-failure = "reboot after 30 s"
    [interface.wan]
    device = "eth0"
    address = ["192.0.2.2/24"]
    gateway = "192.0.2.1"
    [interface.lan]
    mac = "52:54:00:12:34:56"
    address = "10.0.0.1/8"
    [network]
    a = "10.0.0.0/8"
    b = { file = "b.txt" }
    [service]
    web = ["tcp/80", "tcp/443"]
    [user]
    www = 33
    [[input]]
    on = ["wan"]
    from = "not a"
    service = "web"
    user = "www"
    [[output]]
    on = ["wan", "lan"]
    to = ["a", "b"]
    service = "web"
    user = "www"
    [[forward]]
    in = "lan"
    out = "wan"
    from = "a"
    to = "b"
    service = ["web"]
    clients = "1024-65534"
    [[deny]]
    on = "lan"
    from = "a"
    to = "b"
    service = "web"
    reject = true
    log = false
    [[expect]]
    never = { in = "lan", out = "wan", from = "a", to = "b", service = "web" }
    [[expect]]
    always = { on = "lan", user = "www", service = ["web"] }
    """
)


def findings(drawn: object) -> list[str]:
    """What the reader says of a document's keys and types."""
    problems = Problems("policy.toml")
    POLICY.check(problems, "", drawn)
    return [str(problem) for problem in problems.reported]


def test_the_committed_schema_is_the_one_that_the_command_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.main(["schema"]) == 0
    assert capsys.readouterr().out == COMMITTED.read_text()


def test_it_is_a_schema() -> None:
    Draft4Validator.check_schema(schema())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_fits_it_and_says_so_to_the_editor(path: Path) -> None:
    text = path.read_text()
    Draft4Validator(schema()).validate(tomllib.loads(text))
    assert text.startswith(f"#:schema ./{COMMITTED.name}\n")


def test_every_key_says_what_it_means() -> None:
    def described(part: Any) -> list[bool]:
        if isinstance(part, list):
            return [one for inner in part for one in described(inner)]
        if not isinstance(part, dict):
            return []
        own = [bool(key.get("description")) for key in part.get("properties", {}).values()]
        return own + [one for inner in part.values() for one in described(inner)]

    found = described(schema())
    assert len(found) > 30
    assert all(found)


def test_a_document_with_every_key_fits_both() -> None:
    assert findings(EVERY_KEY) == []
    assert list(Draft4Validator(schema()).iter_errors(EVERY_KEY)) == []


@settings(max_examples=400)
@given(data=st.data())
def test_schema_and_reader_refuse_the_same(data: st.DataObject) -> None:
    drawn = data.draw(changed(EVERY_KEY))
    fits = Draft4Validator(schema()).is_valid(drawn)
    found = findings(drawn)
    assert fits == (not found), found


@settings(max_examples=200)
@given(data=st.data())
def test_what_the_schema_refuses_the_command_refuses_too(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    found = data.draw(changed(EVERY_KEY))
    text = document(found)
    folder = tmp_path_factory.mktemp("changed")
    (folder / "b.txt").write_text("198.51.100.0/24\n")
    (folder / "policy.toml").write_text(text)
    status = main.main(["check", str(folder / "policy.toml")])
    assert status in (0, 2)
    if not Draft4Validator(schema()).is_valid(found):
        assert status == 2


def test_the_document_with_every_key_is_a_sound_policy(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("198.51.100.0/24\n")
    (tmp_path / "policy.toml").write_text(document(EVERY_KEY))
    read_policy(tmp_path / "policy.toml")
