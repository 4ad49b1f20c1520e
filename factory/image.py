"""The image: kernel, base and one policy put together into files that boot.

In: a policy file, a variant of the kernel and this checkout.  Out: an Artefacts, the files below
`build/`.  The base, which has everything but kernel and policy, is kept in the cache, so that
another policy is a matter of seconds.
"""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from factory import cmdline, kernel, mkosi, say
from pbrinit import cli

CHECKOUT = Path(__file__).parent.parent
EPOCH = 1767225600
"""2026-01-01, the date of everything in an image, in seconds since 1970."""

# What the base is made of: where one of these changes it is made anew.
BASE = (
    "mkosi.conf",
    "mkosi.finalize",
    "mkosi.extra/**/*",
    "factory/slim.py",
    "factory/closure.py",
    "factory/cuts.toml",
    "pbrinit/__init__.py",
    "pbrinit/bootfile.py",
    "pbrinit/boot/**/*.py",
)


@dataclass(frozen=True)
class Artefacts:
    """What was made; `cmdline` is the kernel's command line, for a boot without the UKI."""

    vmlinuz: Path
    initramfs: Path
    cmdline: Path
    uki: Path
    disk: Path


def make(
    policy: Path, output: Path = CHECKOUT / "build", variant: str = kernel.VARIANTS[0]
) -> Artefacts:
    """Build the image with the policy file `policy` into the folder `output`.

    `variant` is the kernel's, see `kernel.VARIANTS`.

    Ends the program with status 2 where the policy is refused, 1 where it is not proved, and
    where a step fails; what was in `output` is then still there.
    """
    output.mkdir(parents=True, exist_ok=True)
    logs = output / "log"
    made = Artefacts(
        vmlinuz=output / "vmlinuz",
        initramfs=output / "initramfs.cpio.zst",
        cmdline=output / "cmdline",
        uki=output / "pbrinit.efi",
        disk=output / "pbrinit.img",
    )
    with tempfile.TemporaryDirectory(prefix=".image-", dir=output) as name:
        parts = Path(name)
        _plan(policy, parts / "plan")
        linux = kernel.build(variant)
        maker = mkosi.get(logs / "mkosi-tools.log")
        shutil.copyfile(_base(maker, logs / "mkosi.log"), parts / "base.cpio.zst")
        shutil.copyfile(linux.image, parts / "vmlinuz")
        shutil.copyfile(CHECKOUT / "mkosi.extra/usr/lib/os-release", parts / "os-release")
        (parts / "cmdline").write_text(cmdline.line(cmdline.read(variant)) + "\n")
        contents = {"plan": (parts / "plan").read_bytes(), "policy.toml": policy.read_bytes()}
        (parts / "policy.cpio").write_bytes(archive("etc/pbrinit", contents))
        mkosi.run_in_tools(
            maker,
            [CHECKOUT / "factory/assemble.sh", parts],
            what="putting the image together",
            log=logs / "assemble.log",
            epoch=EPOCH,
        )
        for path in vars(made).values():
            (parts / path.name).replace(path)
    _report(made, policy, linux)
    return made


def archive(folder: str, files: dict[str, bytes]) -> bytes:
    """A cpio archive with `files` in `folder`, as the kernel unpacks it over the base.

    The `newc` format (Documentation/driver-api/early-userspace/buffer-format.rst); everything
    is root's and dated EPOCH.
    """
    entries = list(_folders(folder))
    entries += [(f"{folder}/{name}", 0o100444, data) for name, data in files.items()]
    parts = [_entry(i, *entry, EPOCH) for i, entry in enumerate(entries, 1)]
    return b"".join([*parts, _entry(0, "TRAILER!!!", 0, b"", 0)])


def _folders(path: str) -> Iterator[tuple[str, int, bytes]]:
    names = path.split("/")
    for depth in range(len(names)):
        yield "/".join(names[: depth + 1]), 0o40755, b""


def _entry(inode: int, name: str, mode: int, data: bytes, time: int) -> bytes:
    links = 2 if mode & 0o40000 else 1
    path = name.encode() + b"\0"
    fields = (inode, mode, 0, 0, links, time, len(data), 0, 0, 0, 0, len(path), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return _padded(header) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _plan(policy: Path, plan: Path) -> None:
    """The boot file, once its policy is proved, by the commands that a person would use, which
    say what is wrong themselves.
    """
    for doing, command in (
        ("proving", ["prove", "--quiet", str(policy)]),
        ("compiling", ["build", str(policy), str(plan)]),
    ):
        say.step(f"{doing} {policy}")
        status = cli.main(command)
        if status != 0:
            sys.exit(status)


def _base(maker: mkosi.Mkosi, log: Path) -> Path:
    """The base's archive, from the cache or made."""
    files = [path for pattern in BASE for path in CHECKOUT.glob(pattern)]
    place = mkosi.place(f"base-{mkosi.key(CHECKOUT, files)}")
    made = place / "initramfs.cpio.zst"
    if not made.exists():
        mkosi.build(maker, CHECKOUT, place, what="making the base of the image", log=log)
    return made


def _report(made: Artefacts, policy: Path, linux: kernel.Kernel) -> None:
    say.step(f"made, with {policy} and Linux {linux.version}, variant {linux.variant}:")
    for path, what in (
        (made.uki, "one EFI program: kernel, initramfs, command line"),
        (made.disk, "a disk with it, for a virtual machine or a USB stick"),
        (made.vmlinuz, "the kernel alone"),
        (made.initramfs, "the initramfs alone"),
    ):
        say.step(f"  {_short(path):<28} {say.size(path):>10}  {what}")
    disk = shlex.quote(_short(made.disk))
    say.step("next: `make boot`, or onto a USB stick (/dev/sdX, all on it is lost):")
    say.step(f"  sudo dd if={disk} of=/dev/sdX bs=4M conv=fsync")


def _short(path: Path) -> str:
    """As a person in the current folder would write it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path)
