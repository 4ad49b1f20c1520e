"""What is gathered for the image: everything that can be imported, and nothing beyond it."""

from __future__ import annotations

from pathlib import Path

import pytest

from factory.image import import_closure, minimal_root

CHECKOUT = Path(__file__).parents[4]
CUTS = import_closure.read_cuts(CHECKOUT / "factory/image/import_cuts.toml")
LATE = import_closure.Cut("library", "heavy", "library.rarely", frozenset({"rarely"}))


def program(directory: Path, **sources: str) -> list[Path]:
    """A library that imports late, and the package `own` with the modules given."""
    (directory / "library.py").write_text("def rarely():\n    import heavy\n")
    (directory / "heavy.py").write_text("")
    (directory / "own").mkdir()
    for name, source in {"__init__": "", **sources}.items():
        (directory / "own" / f"{name}.py").write_text(source)
    return [directory]


def names(found: import_closure.Closure) -> set[str]:
    return {module.name for module in found.modules}


@pytest.mark.parametrize(
    "source",
    [
        "def never_called():\n    import heavy\n",
        "try:\n    pass\nexcept OSError:\n    import heavy\n",
        "from own import other\n",
        "class C:\n    def m(self):\n        return [(lambda: __import__)() for _ in ()]\n"
        "    async def late(self):\n        from heavy import x\n",
    ],
)
def test_an_import_that_no_trial_run_would_reach_is_found(tmp_path: Path, source: str) -> None:
    search = program(tmp_path, main=source, other="import heavy\n")
    assert "heavy" in names(import_closure.find(["own.main"], "own", search, []))


def test_what_the_library_imports_late_is_found_where_no_cut_names_it(tmp_path: Path) -> None:
    search = program(tmp_path, main="import library\n")
    assert "heavy" in names(import_closure.find(["own.main"], "own", search, []))


@pytest.mark.parametrize(
    ("source", "there"),
    [
        ("import heavy\n", True),
        ("class C:\n    import heavy\n", True),
        ("try:\n    import heavy\nexcept ImportError:\n    pass\n", True),
        ("def late():\n    import heavy\n", False),
        ("class C:\n    def late(self):\n        import heavy\n", False),
        ("late = lambda: __import__('x')\ndef f():\n    from heavy import x\n", False),
    ],
)
def test_of_the_library_only_what_is_imported_along_is_found_where_that_is_asked(
    tmp_path: Path, source: str, there: bool
) -> None:
    search = program(tmp_path, main="def late():\n    import library\n")
    (tmp_path / "library.py").write_text(source)
    found = names(import_closure.find(["own.main"], "own", search, [], late=False))
    assert "library" in found
    assert ("heavy" in found) == there


def test_a_name_that_a_package_takes_from_its_own_modules_is_not_missing(tmp_path: Path) -> None:
    search = program(tmp_path, main="from heap import Path\n")
    (tmp_path / "heap").mkdir()
    (tmp_path / "heap/__init__.py").write_text("from ._local import *\n")
    (tmp_path / "heap/_local.py").write_text("class Path:\n    pass\n")
    assert import_closure.find(["own.main"], "own", search, []).missing == ()


def test_a_cut_import_is_left_out(tmp_path: Path) -> None:
    search = program(tmp_path, main="import library\n")
    found = names(import_closure.find(["own.main"], "own", search, [LATE]))
    assert "library" in found
    assert "heavy" not in found


@pytest.mark.parametrize(
    "source",
    [
        "import library\ndef late():\n    library.rarely()\n",
        "from library import rarely\n",
        "import library\nuse = library.rarely\n",
    ],
)
def test_a_cut_falls_where_the_program_uses_what_it_is_for(tmp_path: Path, source: str) -> None:
    search = program(tmp_path, main=source)
    assert "heavy" in names(import_closure.find(["own.main"], "own", search, [LATE]))


def test_a_cut_falls_for_a_module_that_only_another_fallen_cut_brings_in(tmp_path: Path) -> None:
    search = program(
        tmp_path,
        main="import library\nlibrary.rarely()\n",
        hidden="import library\nlibrary.also()\n",
    )
    (tmp_path / "library.py").write_text(
        "def rarely():\n    import own.hidden\ndef also():\n    import heavy\n"
    )
    cuts = [
        import_closure.Cut("library", "own.hidden", "library.rarely", frozenset({"rarely"})),
        import_closure.Cut("library", "heavy", "library.also", frozenset({"also"})),
    ]
    assert "heavy" in names(import_closure.find(["own.main"], "own", search, cuts))


def test_a_module_of_ours_that_does_not_exist_is_told(tmp_path: Path) -> None:
    search = program(tmp_path, main="def late():\n    import nowhere\n    from own import gone\n")
    missing = import_closure.find(["own.main"], "own", search, []).missing
    assert missing == ("own.main imports nowhere", "own.main imports own.gone")


def test_an_attribute_of_a_package_is_not_taken_for_a_missing_module(tmp_path: Path) -> None:
    search = program(tmp_path, __init__="LIMIT = 3\n", main="from own import LIMIT\n")
    assert import_closure.find(["own.main"], "own", search, []).missing == ()


def test_a_module_of_another_platform_is_not_missed_in_the_library(tmp_path: Path) -> None:
    search = program(tmp_path, main="import library\n")
    (tmp_path / "library.py").write_text(
        "try:\n    import winreg_of_old\nexcept ImportError:\n    pass\n"
    )
    assert import_closure.find(["own.main"], "own", search, []).missing == ()


def test_every_cut_has_a_reason() -> None:
    assert [cut for cut in CUTS if not cut.reason.strip()] == []


def test_the_boot_path_knows_nothing_that_is_made_for_the_host() -> None:
    found = import_closure.find(minimal_root.ENTRIES, "pbrinit", [CHECKOUT], [])
    ours = {name for name in names(found) if name.partition(".")[0] == "pbrinit"}
    assert {name for name in ours if not minimal_root.is_shipped(name)} == set()
    assert not [line for line in found.missing if line.endswith(" tomllib")]


def test_pbrctl_of_the_appliance_has_the_compiler_and_no_prover() -> None:
    found = import_closure.find([minimal_root.CONTROL], "pbrinit", [CHECKOUT], [])
    ours = {name for name in names(found) if name.partition(".")[0] == "pbrinit"}
    assert {
        "pbrinit.compiler.compile",
        "pbrinit.plan.encode",
        "pbrinit.boot.guard.requests",
    } <= ours
    assert not [line for line in found.missing if line.endswith((" z3", " pyroute2"))]
