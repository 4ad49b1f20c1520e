"""What a kernel's Kconfig files define, read without their conditions."""

from __future__ import annotations

from pathlib import Path

from factory.kernel.kconfig_symbols import Definition, defined_in

KCONFIG = """
menu "Networking"
config NET
\tbool "Networking"
\tselect NLATTR
\tselect LIBRARY if 64BIT
\thelp
\t  config NOT_THIS
\t  bool "a help text may look like anything"

\t  It goes on after an empty line.

config NLATTR
\tbool
endmenu

choice
\tprompt "Not of an option"
config ONE
\tbool "one of several"
endchoice
"""


def test_prompts_and_selections_are_read_and_help_texts_are_not(tmp_path: Path) -> None:
    (tmp_path / "Kconfig").write_text(KCONFIG)
    assert defined_in(tmp_path) == {
        "NET": Definition(has_prompt=True, selects=frozenset({"NLATTR", "LIBRARY"})),
        "NLATTR": Definition(has_prompt=False, selects=frozenset()),
        "ONE": Definition(has_prompt=True, selects=frozenset()),
    }


def test_an_option_that_is_defined_twice_is_both(tmp_path: Path) -> None:
    (tmp_path / "Kconfig").write_text("config A\n\tbool\n\tselect B\n")
    (tmp_path / "Kconfig.more").write_text('config A\n\tbool "choose"\n\tselect C\n')
    assert defined_in(tmp_path)["A"] == Definition(True, frozenset({"B", "C"}))


def test_names_are_collected_from_all_kconfig_files_of_the_architecture(tmp_path: Path) -> None:
    for path, name in (
        ("Kconfig", "TOP"),
        ("arch/x86/Kconfig.cpu", "CPU"),
        ("arch/arm/Kconfig", "X"),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(f"config {name}\n\tbool\nmenuconfig M_{name}\n")
    assert defined_in(tmp_path).keys() == {"TOP", "M_TOP", "CPU", "M_CPU"}
