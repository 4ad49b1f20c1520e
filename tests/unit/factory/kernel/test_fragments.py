"""The kernel's configuration: reasons beside options, and nothing dropped in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from factory.kernel import build, fragments
from factory.kernel.kconfig_symbols import Definition

KNOWN = frozenset({"NET", "IPV6_SUBTREES", "NETFILTER", "LOG_BUF_SHIFT", "LOCALVERSION"})

NET = """
purpose = "networking"
[option]
NET = { value = "y", reason = "a network machine" }
LOG_BUF_SHIFT = { value = 16, reason = "enough" }
LOCALVERSION = { value = "-pbrinit", reason = "which kernel runs" }
"""
FORBIDDEN = """
purpose = "never"
forbidden = true
[option]
NETFILTER = { value = "n", reason = "the claim" }
"""
GOOD = 'CONFIG_NET=y\nCONFIG_LOG_BUF_SHIFT=16\nCONFIG_LOCALVERSION="-pbrinit"\n'


def fragments_of(directory: Path, **texts: str) -> tuple[fragments.Fragment, ...]:
    for name, text in texts.items():
        (directory / f"{name}.toml").write_text(text)
    return fragments.read(directory)


def findings_of(directory: Path, **texts: str) -> str:
    with pytest.raises(fragments.FragmentError) as caught:
        fragments_of(directory, **texts)
    return "\n".join(caught.value.findings)


def option(text: str) -> str:
    return f'purpose = "p"\n[option]\n{text}\n'


def test_a_finished_config_that_has_all_that_was_asked_for_passes(tmp_path: Path) -> None:
    asked = fragments_of(tmp_path, net=NET, never=FORBIDDEN)
    assert fragments.check_config(asked, GOOD, KNOWN) == []


def test_a_dropped_option_fails_with_its_file_and_reason(tmp_path: Path) -> None:
    asked = fragments_of(tmp_path, net=NET)
    (found,) = fragments.check_config(asked, GOOD.replace("CONFIG_NET=y", ""), KNOWN)
    assert found == "net.toml: NET: asked for y, but is n (a network machine)"


def test_an_option_asked_off_that_is_on_fails(tmp_path: Path) -> None:
    asked = fragments_of(tmp_path, off=option('NET = { value = "n", reason = "r" }'))
    (found,) = fragments.check_config(asked, GOOD, KNOWN)
    assert "NET: asked for n, but is y" in found


def test_a_forbidden_option_that_some_other_option_switched_on_fails(tmp_path: Path) -> None:
    asked = fragments_of(tmp_path, never=FORBIDDEN)
    (found,) = fragments.check_config(asked, GOOD + "CONFIG_NETFILTER=y\n", KNOWN)
    assert found == "never.toml: NETFILTER is y: forbidden, the claim"


def test_a_number_or_text_that_came_out_differently_fails(tmp_path: Path) -> None:
    asked = fragments_of(tmp_path, net=NET)
    found = fragments.check_config(asked, GOOD.replace("16", "17").replace("-pbr", "-x"), KNOWN)
    assert [line.split(" (")[0] for line in found] == [
        "net.toml: LOG_BUF_SHIFT: asked for 16, but is 17",
        'net.toml: LOCALVERSION: asked for "-pbrinit", but is "-xinit"',
    ]


def test_an_option_that_this_kernel_does_not_have_fails_even_where_it_is_off(
    tmp_path: Path,
) -> None:
    asked = fragments_of(tmp_path, off=option('NETFLITER = { value = "n", reason = "r" }'))
    assert fragments.check_config(asked, GOOD, KNOWN) == [
        "off.toml: NETFLITER: this kernel has no such option"
    ]


def test_all_deviations_come_at_once(tmp_path: Path) -> None:
    asked = fragments_of(tmp_path, net=NET, never=FORBIDDEN)
    assert len(fragments.check_config(asked, "CONFIG_NETFILTER=y\n", KNOWN)) == 4


def test_what_kconfig_is_given_is_written_as_kconfig_writes_it(tmp_path: Path) -> None:
    asked = fragments_of(tmp_path, net=NET, never=FORBIDDEN)
    assert fragments.render(asked).splitlines() == [
        "# networking",
        "CONFIG_NET=y",
        "CONFIG_LOG_BUF_SHIFT=16",
        'CONFIG_LOCALVERSION="-pbrinit"',
        "# never",
        "# CONFIG_NETFILTER is not set",
    ]


def test_a_hex_number_is_written_without_quotes(tmp_path: Path) -> None:
    text = option('PHYSICAL_START = { value = "0x1000000", reason = "r" }')
    assert "CONFIG_PHYSICAL_START=0x1000000\n" in fragments.render(fragments_of(tmp_path, a=text))


@pytest.mark.parametrize(
    "entry",
    [
        'NET = { value = "y" }',
        'NET = { reason = "r" }',
        'NET = { value = "y", reason = "" }',
        'NET = { value = "y", reason = "r", comment = "c" }',
        'NET = { value = "y", reason = "r", since = "new" }',
        'NET = { value = "y", reason = "r", until = 6 }',
        'NET = { value = true, reason = "r" }',
        'NET = { value = 1.5, reason = "r" }',
        'NET = "y"',
        'CONFIG-NET = { value = "y", reason = "r" }',
        'CONFIG_NET = { value = "y", reason = "r" }',
    ],
)
def test_an_option_without_value_reason_or_proper_name_is_refused(
    tmp_path: Path, entry: str
) -> None:
    assert "bad.toml: option." in findings_of(tmp_path, bad=option(entry))


def test_an_option_in_two_fragments_is_refused_whether_or_not_they_agree(tmp_path: Path) -> None:
    on = option('NET = { value = "y", reason = "r" }')
    off = option('NET = { value = "n", reason = "r" }')
    assert findings_of(tmp_path, a=on, b=off) == (
        "b.toml: option.NET = n: a.toml has it already, as y; keep one"
    )
    assert "a.toml has it already" in findings_of(tmp_path, a=on, b=on)


def test_an_option_may_be_asked_otherwise_of_another_series(tmp_path: Path) -> None:
    old = option('NET = { value = "n", until = "7.0", reason = "r" }')
    new = option('NET = { value = "y", since = "7.0", reason = "r" }')
    asked = fragments_of(tmp_path, a=old, b=new)
    assert "# CONFIG_NET is not set" in fragments.render(fragments.of_series(asked, (6, 12)))
    assert "CONFIG_NET=y" in fragments.render(fragments.of_series(asked, (7, 0)))
    overlap = option('NET = { value = "y", since = "6.18", reason = "r" }')
    assert "keep one" in findings_of(tmp_path, b=overlap)


def test_no_other_fragment_can_ask_for_what_is_forbidden(tmp_path: Path) -> None:
    ask = option('NETFILTER = { value = "y", reason = "r" }')
    assert "never.toml has it already" in findings_of(tmp_path, never=FORBIDDEN, variant=ask)


def test_a_forbidden_option_can_only_be_off(tmp_path: Path) -> None:
    text = FORBIDDEN.replace('value = "n"', 'value = "y"')
    assert 'has the value "n"' in findings_of(tmp_path, never=text)


def test_errors_of_all_fragments_come_at_once(tmp_path: Path) -> None:
    found = findings_of(
        tmp_path, a="not toml", b="[option]", c='purpose = "p"\ncolour = 1', d='purpose = ""'
    )
    assert [line.split(":")[0] for line in found.splitlines()] == [
        "a.toml",
        "b.toml",
        "c.toml",
        "d.toml",
    ]


def test_a_directory_without_fragments_is_refused(tmp_path: Path) -> None:
    assert "no fragment here" in findings_of(tmp_path)


def test_a_variant_adds_its_folder_to_what_all_have(tmp_path: Path) -> None:
    (tmp_path / "vm").mkdir()
    (tmp_path / "a.toml").write_text(NET)
    (tmp_path / "vm" / "b.toml").write_text(option('SMP = { value = "n", reason = "r" }'))
    assert [fragment.file for fragment in fragments.read(tmp_path)] == ["a.toml"]
    assert [fragment.file for fragment in fragments.read(tmp_path, "vm")] == ["a.toml", "vm/b.toml"]


def test_a_variant_cannot_answer_again_what_all_have(tmp_path: Path) -> None:
    (tmp_path / "vm").mkdir()
    (tmp_path / "a.toml").write_text(NET)
    (tmp_path / "vm" / "b.toml").write_text(option('NET = { value = "n", reason = "r" }'))
    with pytest.raises(fragments.FragmentError, match=r"vm/b.toml: option.NET .*a.toml has it"):
        fragments.read(tmp_path, "vm")


def test_a_variant_without_fragments_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(NET)
    with pytest.raises(fragments.FragmentError, match="no fragment here"):
        fragments.read(tmp_path, "mv")


def test_an_option_is_asked_of_the_series_that_have_it(tmp_path: Path) -> None:
    text = option(
        'OLD = { value = "y", reason = "r", until = "6.18" }\n'
        'NEW = { value = "y", reason = "r", since = "6.18" }\n'
        'EVER = { value = "y", reason = "r" }'
    )
    asked = fragments_of(tmp_path, a=text)

    def asked_of(series: fragments.Series) -> list[str]:
        return [o.name for f in fragments.of_series(asked, series) for o in f.options]

    assert asked_of((6, 12)) == ["OLD", "EVER"]
    assert asked_of((6, 18)) == ["NEW", "EVER"]
    assert asked_of((7, 2)) == ["NEW", "EVER"]


def test_the_series_of_a_version_is_its_first_two_numbers() -> None:
    assert fragments.series("6.12.118-1") == (6, 12)
    assert fragments.series("7.3~rc1-1~exp1") == (7, 3)
    with pytest.raises(ValueError, match="next"):
        fragments.series("next")


DEFINED = {
    "NET": Definition(has_prompt=True, selects=frozenset({"NLATTR", "LIBRARY"})),
    "NLATTR": Definition(has_prompt=False, selects=frozenset()),
    "LIBRARY": Definition(has_prompt=True, selects=frozenset()),
    "ESRT": Definition(has_prompt=False, selects=frozenset()),
    "SURPRISE": Definition(has_prompt=True, selects=frozenset()),
}


def test_an_option_that_is_on_by_kconfigs_own_default_is_without_a_reason(tmp_path: Path) -> None:
    """Not one that is selected by what has a reason, nor one that nobody can choose."""
    asked = fragments_of(tmp_path, net=NET)
    config = GOOD + "".join(f"CONFIG_{name}=y\n" for name in DEFINED if name != "NET")
    assert fragments.unreasoned(asked, config, DEFINED) == [
        "SURPRISE is on, and no fragment gives a reason"
    ]


def test_what_selects_an_option_is_told_where_it_is_on() -> None:
    config = "CONFIG_NET=y\nCONFIG_NLATTR=y\n"
    assert fragments.selected(config, DEFINED) == {"NLATTR": ("NET",)}
    assert fragments.selected("CONFIG_NLATTR=y\n", DEFINED) == {}


@pytest.mark.parametrize("variant", build.VARIANTS)
def test_the_kernel_that_is_shipped_forbids_what_the_project_claims_not_to_have(
    variant: str,
) -> None:
    asked = fragments.read(build.FRAGMENTS, variant)
    options = [option for fragment in asked for option in fragment.options]
    forbidden = {option.name for option in options if option.forbidden}
    assert forbidden == {"NETFILTER", "BPF_SYSCALL", "PACKET", "MODULES"}
