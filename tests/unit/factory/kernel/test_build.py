"""The kernel's build refuses what it cannot use before it fetches or compiles anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from factory.kernel import build


def test_unusable_fragments_end_the_build_with_all_that_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.toml").write_text('purpose = "p"\n[option]\nNET = { value = "y" }\n')
    (tmp_path / "b.toml").write_text("[option]\n")
    (tmp_path / "vm").mkdir()
    (tmp_path / "vm" / "c.toml").write_text('purpose = "p"\n')
    monkeypatch.setattr(build, "FRAGMENTS", tmp_path)
    with pytest.raises(SystemExit) as caught:
        build.build_kernel()
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert "a.toml: option.NET" in message
    assert "b.toml: purpose" in message


def test_a_variant_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build.build_kernel("arm")
    assert "VARIANT=vm or VARIANT=pc" in capsys.readouterr().err
