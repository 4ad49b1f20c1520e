"""Builds the image: kernel, base and one policy, put together into files that boot.

In: a policy file, a variant of the kernel and this checkout.  Out: Artefacts, the files below
`build/`.  The base has everything except kernel and policy, and is kept in the cache, so that an
image with another policy takes seconds.
"""

from __future__ import annotations

import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from factory import log
from factory.image import cpio, mkosi, program_files, read_back
from factory.image.cpio import Entry
from factory.kernel import cmdline
from factory.kernel.build import VARIANTS, Kernel, build_kernel
from pbrinit.cli import main, policy_files
from pbrinit.cli.build import load
from pbrinit.policy import assigned
from pbrinit.policy.problems import PolicyError
from pbrinit.policy.reader import reader

CHECKOUT = Path(__file__).parents[2]
EPOCH = 1767225600
"""2026-01-01, the date of all files in an image, in seconds since 1970."""

POLICY = "policy.toml"

# The inputs of the base: when one of these changes it is made again.
BASE = (
    "mkosi.conf",
    "mkosi.finalize",
    "mkosi.extra/**/*",
    "factory/__init__.py",
    "factory/image/__init__.py",
    "factory/image/minimal_root.py",
    "factory/image/import_closure.py",
    "factory/image/import_cuts.toml",
    "pbrinit/**/*.py",
)


@dataclass(frozen=True)
class Artefacts:
    """The files of an image; `cmdline` is the kernel's command line, for a boot without the UKI."""

    vmlinuz: Path
    initramfs: Path
    cmdline: Path
    uki: Path
    disk: Path


def make_image(
    policy: Path, output: Path = CHECKOUT / "build", variant: str = VARIANTS[0]
) -> Artefacts:
    """Build the image with the policy file `policy` into the folder `output`.

    `variant` is the kernel's, one of `VARIANTS`.

    Ends the program with status 2 where the policy is refused, 1 where the proof fails, and where a
    step fails; earlier files in `output` are then still there.
    """
    output.mkdir(parents=True, exist_ok=True)
    logs = output / "log"
    artefacts = Artefacts(
        vmlinuz=output / "vmlinuz",
        initramfs=output / "initramfs.cpio.zst",
        cmdline=output / "cmdline",
        uki=output / "pbrinit.efi",
        disk=output / "pbrinit.img",
    )
    with tempfile.TemporaryDirectory(prefix=".image-", dir=output) as name:
        parts = Path(name)
        _plan(policy, parts / "plan")
        linux = build_kernel(variant)
        maker = mkosi.get(logs / "mkosi-tools.log")
        base = _base(maker, logs / "mkosi.log").read_bytes()
        (parts / "base.cpio.zst").write_bytes(base)
        shutil.copyfile(linux.image, parts / "vmlinuz")
        shutil.copyfile(CHECKOUT / "mkosi.extra/usr/lib/os-release", parts / "os-release")
        (parts / "cmdline").write_text(cmdline.line(cmdline.read(variant)) + "\n")
        ours = archive("etc/pbrinit", {"plan": (parts / "plan").read_bytes()})
        ours += archive("etc/pbrinit", secrets(policy), 0o400)
        (parts / "policy.cpio").write_bytes(ours + of_programs(policy, base))
        mkosi.run_in_tools(
            maker,
            [CHECKOUT / "factory/image/assemble.sh", parts],
            what="putting the image together",
            log_file=logs / "assemble.log",
            epoch=EPOCH,
        )
        for path in vars(artefacts).values():
            (parts / path.name).replace(path)
    _report(artefacts, policy, linux)
    return artefacts


def sources(policy: Path) -> dict[str, bytes]:
    """The policy file; and, where the machine compiles it for assigned addresses, the files of its
    networks.

    Ends the program where one of these files cannot be placed beside the policy.
    """
    if not assigned.dynamic_interfaces(reader.read_policy(policy)):
        return {POLICY: policy.read_bytes()}
    try:
        return policy_files.policy_and_lists(policy, POLICY, ("plan",))
    except policy_files.SourceError as error:
        hint = "the machine reads it for each address: put it beside the policy, under its own name"
        log.die(f"{policy}: {error}", hint=hint)


def archive(folder: str, files: dict[str, bytes], mode: int = 0o444) -> bytes:
    """A cpio archive with `files` of a `mode` in `folder`, for the kernel to unpack over the base;
    everything belongs to root and has the date EPOCH.
    """
    entries = [Entry(f"{folder}/{name}", stat.S_IFREG | mode, data) for name, data in files.items()]
    folders = [entry for entry in cpio.with_folders(entries) if stat.S_ISDIR(entry.mode)]
    return cpio.pack([*folders, *entries], EPOCH)


def secrets(policy: Path) -> dict[str, bytes]:
    """The files that only root may read: the policy, since it has the hash of the password, the
    files that it refers to, and the hash itself.
    """
    files = sources(policy)
    hashed = reader.read_policy(policy).password
    return files | ({"password": f"{hashed}\n".encode()} if hashed else {})


def of_programs(policy: Path, below: bytes) -> bytes:
    """A cpio archive with the packages and files of a policy's programs; empty where it has none.

    `below` is the archive that it is unpacked over, compressed with zstd.
    Ends the program with status 2 where the command of a program does not exist.
    """
    plain = subprocess.run(["zstd", "-dqc"], input=below, check=True, capture_output=True).stdout
    try:
        entries = program_files.entries(
            reader.read_policy(policy), policy, frozenset(cpio.names(plain))
        )
    except PolicyError as error:
        log.die(str(error), status=2)
    return cpio.pack(entries, EPOCH) if entries else b""


def _plan(policy: Path, plan: Path) -> None:
    """Prove the policy, then compile it to a boot plan, with the commands that a person would use;
    these print the errors.
    """
    for doing, command in (
        ("proving", ["prove", "--quiet", str(policy)]),
        ("compiling", ["build", str(policy), str(plan)]),
    ):
        log.step(f"{doing} {policy}")
        status = main.main(command)
        if status != 0:
            sys.exit(status)
    log.step("reading every message of the boot plan back with pyroute2")
    try:
        count = read_back.check(plan.read_bytes(), load(policy))
    except read_back.ReadBackError as error:
        log.die(f"{policy}: the boot plan does not say what the plan says:\n{error}")
    log.step(f"  {count:,} messages read, each says what the plan says")


def _base(maker: mkosi.Mkosi, log_file: Path) -> Path:
    """The archive of the base, made where the cache does not have it."""
    files = [path for pattern in BASE for path in CHECKOUT.glob(pattern)]
    place = mkosi.cache_folder(f"base-{mkosi.key(CHECKOUT, files)}")
    initramfs = place / "initramfs.cpio.zst"
    if not initramfs.exists():
        mkosi.build(maker, CHECKOUT, place, what="making the base of the image", log_file=log_file)
    return initramfs


def _report(artefacts: Artefacts, policy: Path, linux: Kernel) -> None:
    log.step(f"made, with {policy} and Linux {linux.version}, variant {linux.variant}:")
    for path, what in (
        (artefacts.uki, "one EFI program: kernel, initramfs, command line"),
        (artefacts.disk, "a disk with it, for a virtual machine or a USB stick"),
        (artefacts.vmlinuz, "the kernel alone"),
        (artefacts.initramfs, "the initramfs alone"),
    ):
        log.step(f"  {_short(path):<28} {log.size(path):>10}  {what}")
    disk = shlex.quote(_short(artefacts.disk))
    log.step("next: `make boot`, or onto a USB stick (/dev/sdX, all on it is lost):")
    log.step(f"  sudo dd if={disk} of=/dev/sdX bs=4M conv=fsync")


def _short(path: Path) -> str:
    """The path relative to the current folder, where it is inside."""
    current = Path.cwd()
    return str(
        path.relative_to(current) if path.is_absolute() and path.is_relative_to(current) else path
    )
