"""The image: kernel, base and one policy put together into files that boot.

In: a policy file, a variant of the kernel and this checkout.  Out: an Artefacts, the files below
`build/`.  The base, which has everything but kernel and policy, is kept in the cache, so that
another policy is a matter of seconds.
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
"""2026-01-01, the date of everything in an image, in seconds since 1970."""

POLICY = "policy.toml"

# What the base is made of: where one of these changes it is made anew.
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
    """What was made; `cmdline` is the kernel's command line, for a boot without the UKI."""

    vmlinuz: Path
    initramfs: Path
    cmdline: Path
    uki: Path
    disk: Path


def make_image(
    policy: Path, output: Path = CHECKOUT / "build", variant: str = VARIANTS[0]
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
        for path in vars(made).values():
            (parts / path.name).replace(path)
    _report(made, policy, linux)
    return made


def sources(policy: Path) -> dict[str, bytes]:
    """The policy, and what it is read with where it is compiled on the machine, for all that is
    given to it: the files of its networks.

    Ends the program where one has no place beside the policy.
    """
    if not assigned.awaits(reader.read(policy)):
        return {POLICY: policy.read_bytes()}
    try:
        return policy_files.of(policy, POLICY, ("plan",))
    except policy_files.SourceError as error:
        hint = "the machine reads it for each address: put it there, under a name of its own"
        log.die(f"{policy}: {error}", hint=hint)


def archive(folder: str, files: dict[str, bytes], mode: int = 0o444) -> bytes:
    """A cpio archive with `files` of a `mode` in `folder`, as the kernel unpacks it over the base;
    everything is root's and dated EPOCH.
    """
    found = [Entry(f"{folder}/{name}", stat.S_IFREG | mode, data) for name, data in files.items()]
    folders = [entry for entry in cpio.with_folders(found) if stat.S_ISDIR(entry.mode)]
    return cpio.pack([*folders, *found], EPOCH)


def secrets(policy: Path) -> dict[str, bytes]:
    """What only root may read: the policy, as it has the password's hash, what it is read with,
    and the hash by itself.
    """
    files = sources(policy)
    hashed = reader.read(policy).password
    return files | ({"password": f"{hashed}\n".encode()} if hashed else {})


def of_programs(policy: Path, below: bytes) -> bytes:
    """A cpio archive of what the programs of a policy bring along; empty where it has none.

    `below` is the archive that it is unpacked over, packed with zstd.
    Ends the program with status 2 where a program's command is not there.
    """
    plain = subprocess.run(["zstd", "-dqc"], input=below, check=True, capture_output=True).stdout
    try:
        found = program_files.entries(reader.read(policy), policy, frozenset(cpio.names(plain)))
    except PolicyError as error:
        log.die(str(error), status=2)
    return cpio.pack(found, EPOCH) if found else b""


def _plan(policy: Path, plan: Path) -> None:
    """The boot file, once its policy is proved, by the commands that a person would use, which
    say what is wrong themselves.
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
    """The base's archive, from the cache or made."""
    files = [path for pattern in BASE for path in CHECKOUT.glob(pattern)]
    place = mkosi.place(f"base-{mkosi.key(CHECKOUT, files)}")
    made = place / "initramfs.cpio.zst"
    if not made.exists():
        mkosi.build(maker, CHECKOUT, place, what="making the base of the image", log_file=log_file)
    return made


def _report(made: Artefacts, policy: Path, linux: Kernel) -> None:
    log.step(f"made, with {policy} and Linux {linux.version}, variant {linux.variant}:")
    for path, what in (
        (made.uki, "one EFI program: kernel, initramfs, command line"),
        (made.disk, "a disk with it, for a virtual machine or a USB stick"),
        (made.vmlinuz, "the kernel alone"),
        (made.initramfs, "the initramfs alone"),
    ):
        log.step(f"  {_short(path):<28} {log.size(path):>10}  {what}")
    disk = shlex.quote(_short(made.disk))
    log.step("next: `make boot`, or onto a USB stick (/dev/sdX, all on it is lost):")
    log.step(f"  sudo dd if={disk} of=/dev/sdX bs=4M conv=fsync")


def _short(path: Path) -> str:
    """As a person in the current folder would write it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path)
