"""The image that `make test` built, and its initramfs with more in it.

In: the artefacts of an image; a plan, a policy or files.  Out: a boot of that image.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from factory.image.build import BASE, CHECKOUT, Artefacts, archive, of_programs
from factory.vm.qemu import Direct
from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from pbrinit.wire import bootplan

IMAGE, PC_IMAGE = Path("build/test"), Path("build/test-pc")


def artefacts_in(folder: Path) -> Artefacts:
    """What is in a folder; fails where something is missing, or not of the code that is tested."""
    names = ("vmlinuz", "initramfs.cpio.zst", "cmdline", "pbrinit.efi", "pbrinit.img")
    found = Artefacts(*(folder / name for name in names))
    for path in vars(found).values():
        if not path.exists():
            pytest.fail(f"{path} is not there: `make test` builds it before it tests")
    made = found.initramfs.stat().st_mtime
    for path in (path for pattern in BASE for path in CHECKOUT.glob(pattern)):
        if path.stat().st_mtime > made:
            pytest.fail(f"{folder} is older than {path}: `make test` builds it before it tests")
    return found


def direct(artefacts: Artefacts, initramfs: Path | None = None) -> Direct:
    """A boot without firmware, of the image's own initramfs or another."""
    cmdline = artefacts.cmdline.read_text().strip()
    return Direct(artefacts.vmlinuz, initramfs or artefacts.initramfs, cmdline)


def with_files(artefacts: Artefacts, folder: Path, *archives: bytes) -> Path:
    """The image's initramfs with more behind it, unpacked over its own."""
    more = subprocess.run(
        ["zstd", "-q", "-c"], input=b"".join(archives), check=True, capture_output=True
    ).stdout
    whole = folder / "initramfs"
    whole.write_bytes(artefacts.initramfs.read_bytes() + more)
    return whole


def with_plan(artefacts: Artefacts, folder: Path, plan: bytes) -> Path:
    """The image's initramfs with another plan."""
    return with_files(artefacts, folder, archive("etc/pbrinit", {"plan": plan}))


def with_example(artefacts: Artefacts, name: str, folder: Path) -> Path:
    """The image's initramfs with the plan of another example, but without its programs."""
    plan = bootplan.pack(encode(load(Path(f"examples/{name}.toml")), name))
    return with_plan(artefacts, folder, plan)


def with_programs(artefacts: Artefacts, folder: Path, policy: Path) -> Direct:
    """A boot of the image with another policy, and with what its programs bring along."""
    plan = bootplan.pack(encode(load(policy), policy.stem))
    archives = (
        archive("etc/pbrinit", {"plan": plan}),
        of_programs(policy, artefacts.initramfs.read_bytes()),
    )
    return direct(artefacts, with_files(artefacts, folder, *archives))
