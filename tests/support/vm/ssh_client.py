"""A real ssh client, and a policy that accepts its key.

In: the name of an example.  Out: a copy of its policy, and the client's output.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.support.namespaces.lab import Namespace

SECONDS = 10
"""The time limit of a client; timeout(1) then ends it with status 124."""


def policy_with_key(name: str, folder: Path) -> tuple[Path, Path]:
    """A copy of an example that accepts one key, and that key."""
    policy = folder / f"{name}.toml"
    shutil.copyfile(f"examples/{name}.toml", policy)
    for files in {name, "jump"}:
        shutil.copytree(f"examples/{files}", folder / files)
    key = new_key(folder / "key")
    shutil.copyfile(f"{key}.pub", folder / "jump/authorized_keys")
    return policy, key


def new_key(path: Path) -> Path:
    """Make a new key at `path`, with the public key beside it."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


def ssh(
    machine: Namespace,
    key: Path,
    ends: tuple[str, str],
    *command: str,
    piped: str = "",
    seconds: int = SECONDS,
) -> subprocess.CompletedProcess[str]:
    """Run ssh from the first of `ends`, an address of the machine, to the second.

    `command` is the remote command, with options of ssh before it; `piped` is its standard input,
    and `seconds` its time limit.
    """
    source, target = ends
    options = (
        "BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null",
        f"BindAddress={source}", "ConnectTimeout=5", f"IdentityFile={key}", "LogLevel=ERROR",
    )  # fmt: skip
    words = [word for option in options for word in ("-o", option)]
    return subprocess.run(
        ["nsenter", f"--target={machine.pid}", "--net", "timeout", str(seconds),
         "ssh", "-T", "-F", "none", *words, *command[:-1], target, *command[-1:]],
        check=False, capture_output=True, text=True, input=piped,
    )  # fmt: skip
