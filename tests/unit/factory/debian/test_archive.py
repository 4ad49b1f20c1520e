"""Debian's packages on any host: the sources they come from."""

from __future__ import annotations

import pytest

from factory.debian import archive


def test_the_sources_of_a_suite_have_updates_and_security_and_debians_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DEBIAN_MIRROR", "http://mine.example/debian")
    assert archive.sources_for("trixie") == (
        "Types: deb\n"
        "URIs: http://mine.example/debian\n"
        "Suites: trixie trixie-updates\n"
        "Components: main\n"
        f"Signed-By: {archive.KEYRING}\n"
        "\n"
        "Types: deb\n"
        "URIs: http://mine.example/debian-security\n"
        "Suites: trixie-security\n"
        "Components: main\n"
        f"Signed-By: {archive.KEYRING}\n"
    )


@pytest.mark.parametrize("suite", ["sid", "trixie-backports"])
def test_a_rolling_suite_and_backports_have_neither_updates_nor_security(
    suite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEBIAN_MIRROR", "http://mine.example/debian")
    assert f"Suites: {suite}\n" in archive.sources_for(suite)
    assert "security" not in archive.sources_for(suite)
