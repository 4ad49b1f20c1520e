"""Which files a configuration compiles, from Makefiles in the kernel's manner."""

from __future__ import annotations

from pathlib import Path

import pytest

from factory.kernel import makefiles

TREE = {
    "Kbuild": "obj-y += net/\nobj-$(CONFIG_BLOCK) += block/\n",
    "arch/x86/Makefile": "drivers-$(CONFIG_PCI) += arch/x86/pci/\n",
    "arch/x86/pci/Makefile": "obj-y := common.o\n",
    "arch/x86/lib/Makefile": "lib-y := memcpy.o\n",
    "lib/Makefile": "obj-y += lib.o \\\n\tsort.o # and a comment\n",
    "block/Makefile": "obj-y := bio.o\n",
    "net/Makefile": (
        "obj-y += core.o\n"
        "obj-$(CONFIG_NETFILTER) += netfilter/\n"
        "obj-$(CONFIG_IPV6) += ipv6.o\n"
        "ipv6-y := af_inet6.o\n"
        "ipv6-$(CONFIG_SUBTREES) += subtrees.o\n"
        "obj-$(subst m,y,$(CONFIG_IPV6)) += hashes.o\n"
        "ifdef CONFIG_MMU\n"
        "\tobj-y += with.o\n"
        "else ifeq ($(CONFIG_IPV6),y)\n"
        "obj-y += six.o\n"
        "else\n"
        "obj-y += without.o\n"
        "endif\n"
    ),
    "net/netfilter/Makefile": "obj-y := nf_core.o\n",
}
SOURCES = (
    "arch/x86/pci/common.c", "arch/x86/lib/memcpy.S", "lib/lib.c", "lib/sort.c", "block/bio.c",
    "net/core.c", "net/af_inet6.c", "net/subtrees.c", "net/hashes.c", "net/with.c", "net/six.c",
    "net/without.c", "net/netfilter/nf_core.c", "net/unused.c", "net/part.c",
)  # fmt: skip
ALWAYS = {"arch/x86/lib/memcpy.S", "lib/lib.c", "lib/sort.c", "net/core.c"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small kernel source."""
    for name, text in {**dict.fromkeys(SOURCES, ""), **TREE}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def built(tree: Path, **settings: str) -> set[str]:
    return makefiles.Built(tree, settings).files - ALWAYS


def test_what_no_option_asks_for_is_not_built(tree: Path) -> None:
    assert built(tree) == {"net/without.c"}


def test_folders_and_objects_follow_their_options(tree: Path) -> None:
    assert built(tree, MMU="y", BLOCK="y", PCI="y", NETFILTER="m") == {
        "net/with.c",
        "block/bio.c",
        "arch/x86/pci/common.c",
        "net/netfilter/nf_core.c",
    }


def test_an_object_of_several_parts_has_those_that_are_on(tree: Path) -> None:
    assert built(tree, MMU="y", IPV6="m") == {"net/with.c", "net/af_inet6.c", "net/hashes.c"}
    assert "net/subtrees.c" in built(tree, IPV6="y", SUBTREES="y")


def test_a_chain_of_conditions_takes_one_branch(tree: Path) -> None:
    assert "net/six.c" in built(tree, IPV6="y")
    assert "net/six.c" not in built(tree, IPV6="y", MMU="y")
    assert "net/without.c" not in built(tree, IPV6="y")


def test_code_that_is_included_counts_where_its_condition_holds(tree: Path) -> None:
    (tree / "net/core.c").write_text('#ifdef CONFIG_PART\n# include "part.c"\n#endif\n')
    assert "net/part.c" in built(tree, PART="y")
    assert "net/part.c" not in built(tree)


def test_system_calls_are_those_whose_conditions_hold(tree: Path) -> None:
    (tree / "arch/x86/entry/syscalls").mkdir(parents=True)
    (tree / makefiles.TABLE).write_text(
        "0 common read sys_read\n1 64 stat sys_newstat\n2 common bpf sys_bpf\n"
        "3 64 gone\n4 64 gone2 sys_ni_syscall\n512 x32 other sys_other\n"
    )
    (tree / "net/core.c").write_text(
        "SYSCALL_DEFINE3(read, int, fd)\n"
        "#if defined(CONFIG_BPF) && !IS_ENABLED(CONFIG_NO) /* both */\n"
        "SYSCALL_DEFINE3(bpf, int, cmd)\n"
        "#else\n"
        "SYSCALL_DEFINE2(newstat, int, x)\n"
        "#endif\n"
        "#ifdef __ARCH_WANT_OTHER\nSYSCALL_DEFINE0(other)\n#endif\n"
    )
    files = {"net/core.c"}
    assert makefiles.calls_in(tree, files, {"BPF"}) == {"read", "bpf"}
    assert makefiles.calls_in(tree, files, {"BPF", "NO"}) == {"read", "stat"}
    assert makefiles.calls_in(tree, files, set()) == {"read", "stat"}
    assert makefiles.table(tree) == {"read": "sys_read", "stat": "sys_newstat", "bpf": "sys_bpf"}
