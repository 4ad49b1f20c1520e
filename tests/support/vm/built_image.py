"""The image that `make test` built, and changed copies of its initramfs.

In: the artefacts of an image; a plan, a policy or files.  Out: a boot of that image.
"""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from factory.image import cpio
from factory.image.build import BASE, CHECKOUT, EPOCH, Artefacts, archive, of_programs
from factory.image.cpio import Entry
from factory.vm.qemu import Direct
from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from pbrinit.wire import bootplan

INIT = CHECKOUT / "mkosi.extra/init"
PYTHON = b"#!/usr/bin/python3 -ISB\n"
IMAGE, PC_IMAGE = Path("build/test"), Path("build/test-pc")


def artefacts_in(folder: Path) -> Artefacts:
    """The artefacts in a folder. Fails the test if one is missing or older than the code."""
    names = ("vmlinuz", "initramfs.cpio.zst", "cmdline", "pbrinit.efi", "pbrinit.img")
    artefacts = Artefacts(*(folder / name for name in names))
    for path in vars(artefacts).values():
        if not path.exists():
            pytest.fail(f"{path} does not exist: `make test` builds it before it tests")
    built_at = artefacts.initramfs.stat().st_mtime
    for path in (path for pattern in BASE for path in CHECKOUT.glob(pattern)):
        if path.stat().st_mtime > built_at:
            pytest.fail(f"{folder} is older than {path}: `make test` builds it before it tests")
    return artefacts


def direct(artefacts: Artefacts, initramfs: Path | None = None) -> Direct:
    """A boot without firmware, with the image's own initramfs or another."""
    cmdline = artefacts.cmdline.read_text().strip()
    return Direct(artefacts.vmlinuz, initramfs or artefacts.initramfs, cmdline)


def with_files(artefacts: Artefacts, folder: Path, *archives: bytes) -> Path:
    """The image's initramfs with archives after it, which the kernel unpacks over it."""
    more = subprocess.run(
        ["zstd", "-q", "-c"], input=b"".join(archives), check=True, capture_output=True
    ).stdout
    initramfs = folder / "initramfs"
    initramfs.write_bytes(artefacts.initramfs.read_bytes() + more)
    return initramfs


def init_archive(program: bytes) -> bytes:
    """An archive with this in the place of the image's /init: a script says what runs it. So a test
    has its own first program without a word on the kernel's command line.
    """
    return cpio.pack([Entry("init", stat.S_IFREG | 0o555, program)], EPOCH)


def with_plan(artefacts: Artefacts, folder: Path, plan: bytes) -> Path:
    """The image's initramfs with another plan."""
    return with_files(artefacts, folder, archive("etc/pbrinit", {"plan": plan}))


def with_example(artefacts: Artefacts, name: str, folder: Path) -> Path:
    """The image's initramfs with the plan of another example, without its programs."""
    plan = bootplan.pack(encode(load(Path(f"examples/{name}.toml")), name))
    return with_plan(artefacts, folder, plan)


def with_programs(artefacts: Artefacts, folder: Path, policy: Path) -> Direct:
    """A boot of the image with another policy, and with the files of its programs."""
    plan = bootplan.pack(encode(load(policy), policy.stem))
    archives = (
        archive("etc/pbrinit", {"plan": plan}),
        of_programs(policy, artefacts.initramfs.read_bytes()),
    )
    return direct(artefacts, with_files(artefacts, folder, *archives))
