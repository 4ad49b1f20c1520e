"""Installs what this host needs for a target: Debian packages, and the locked Python packages.

In: the name of a target.  Out: a host that has them all, and build/venv with the Python packages of
requirements.lock; or the one command that a person has to run.

This runs before anything is installed, so it uses only Python's own library.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from factory import cache
from factory.log import die, run, step

OLDEST_PYTHON = (3, 11)
LOCK = Path("requirements.lock")
VENV = Path("build/venv")
LOGS = Path("build/log")

PYTHON = {"python3-venv": "the Python packages go into a virtual environment"}
KERNEL = {
    "bc": "the kernel's build",
    "bison": "the kernel's configuration",
    "ccache": "a kernel's second variant takes what it can from the first",
    "clang-19": "the kernel's compiler",
    "debian-archive-keyring": "checks the signature of what is fetched",
    "flex": "the kernel's configuration",
    "libc6-dev": "the kernel's build",
    "libelf-dev": "objtool",
    "libssl-dev": "the kernel's build",
    "lld-19": "the kernel's linker",
    "llvm-19": "the kernel's build",
    "make": "the kernel's build",
    "xz-utils": "the kernel's source is packed with it",
    "zstd": "the kernel is packed with it",
}
IMAGE = {
    "uidmap": "mkosi without root",
}
QEMU = {
    "ovmf": "UEFI for the guest",
    "qemu-system-x86": "the guest",
}
TEST = {
    "bind9-dnsutils": "dig asks",
    "cpio": "an independent check of the archives that are made",
    "curl": "reads the page for Prometheus",
    "dnsmasq-base": "assigns addresses in the tests",
    "hping3": "a second packet generator",
    "iperf3": "a stream through the router",
    "iproute2": "the tests' network namespaces",
    "iputils-ping": "a real ping asks",
    "linux-libc-dev": "the kernel's headers judge the numbers that we share",
    "netbase": "IANA's list of services judges them too",
    "nftables": "the same policies as nftables rulesets",
    "nmap": "a scanner, and nping",
    "openssh-client": "a real ssh logs in",
    "openssl": "an independent check of password hashes",
    "uidmap": "users in the tests' namespaces",
    "util-linux": "the tests' namespaces",
}
TARGETS = {
    "kernel": PYTHON | KERNEL,
    "image": PYTHON | KERNEL | IMAGE,
    "boot": PYTHON | KERNEL | IMAGE | QEMU,
    "test": PYTHON | KERNEL | IMAGE | QEMU | TEST,
    "python": PYTHON,
}
"""Debian packages by target, each with what needs it."""


def main() -> None:
    """`python3 -m factory.host TARGET`."""
    if len(sys.argv) != 2 or sys.argv[1] not in TARGETS:  # noqa: PLR2004
        die(f"usage: python3 -m factory.host {'|'.join(TARGETS)}")
    if sys.version_info < OLDEST_PYTHON:
        die(
            f"Python {sys.version.split()[0]} is too old",
            hint=f"name one from {'.'.join(map(str, OLDEST_PYTHON))} on: make PYTHON=python3.11",
        )
    _packages(TARGETS[sys.argv[1]])
    _venv()


def _packages(wanted: dict[str, str]) -> None:
    """Install the packages that are missing, or end with the command that does."""
    if shutil.which("dpkg-query") is None:
        die(
            "this host is neither Debian nor Ubuntu",
            hint="install the contents of these packages, then set PBRINIT_NO_PACKAGES=1: "
            + " ".join(wanted),
        ) if "PBRINIT_NO_PACKAGES" not in os.environ else None
        return
    listing = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    installed = {line.split()[0] for line in listing.splitlines() if line.endswith(" installed")}
    missing = sorted(set(wanted) - installed)
    if not missing:
        return
    for package in missing:
        step(f"missing: {package} ({wanted[package]})")
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    if sudo and shutil.which("sudo") is None:
        die("packages are missing", hint=f"as root: {shlex.join(install)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run([*sudo, "apt-get", "update"], what="apt-get update", log=LOGS / "apt.log", env=environment)
    run([*sudo, *install], what="apt-get install", log=LOGS / "apt.log", env=environment)


def _venv() -> None:
    """Make build/venv a link to a virtual environment with the packages of the lock file; clones
    share it.
    """
    identity = f"{sys.version} {sys.executable} {LOCK.read_text()}"
    key = hashlib.sha256(identity.encode()).hexdigest()[:16]
    folder = cache.directory("venv") / key
    done = folder / "complete"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        log = LOGS / "venv.log"
        run(
            [sys.executable, "-m", "venv", folder],
            what="making a virtual environment",
            log=log,
        )
        run(
            [folder / "bin/pip", "install", "--require-hashes", "--requirement", LOCK],
            what="installing the locked Python packages",
            log=log,
        )
        done.touch()
    VENV.parent.mkdir(exist_ok=True)
    if not VENV.is_symlink() or VENV.readlink() != folder:
        beside = VENV.with_name(f".venv.{os.getpid()}")
        beside.symlink_to(folder)
        beside.replace(VENV)


if __name__ == "__main__":
    main()
