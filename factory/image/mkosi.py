"""Runs mkosi: which one, with which tools.

In: the host's mkosi where it is recent enough, else Debian's package of it; the configuration of
the tools, `tools/mkosi.conf`.  Out: images, and commands that are run with the tools.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from factory import cache, log
from factory.cache import held
from factory.debian import archive

SUITE = "trixie"
MINIMUM = 25
"""From this version on mkosi has its own sandbox, and needs only newuidmap from the host."""

TOOLS = Path(__file__).with_name("tools")

# Only the distribution's programs: another Python before it breaks mkosi and its tools.
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
PASSED_ON = (
    "HOME",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
)

# On Ubuntu from 24.04 on; Ubuntu's mkosi package has an AppArmor profile that allows it.
RESTRICTED = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")


@dataclass(frozen=True)
class Mkosi:
    """A mkosi with its tools: the command, its environment, the tools' root."""

    command: tuple[str, ...]
    environment: dict[str, str]
    tools: Path


def get(log_file: Path) -> Mkosi:
    """mkosi and its tools, fetched and made where the cache does not have them.

    Ends the program where the archive cannot be reached, or the host does not allow it.
    """
    with held(cache_folder()):
        command, environment = _host_mkosi() or _debian_mkosi()
        tools = cache_folder("tools-" + key(TOOLS, TOOLS.rglob("*"))) / "tools"
        mkosi = Mkosi(command, environment, tools)
        if not tools.is_dir():
            what = "making the image's tools, once, in a minute or two"
            _build(mkosi, TOOLS, tools.parent, (), what=what, log_file=log_file)
    return mkosi


def build(mkosi: Mkosi, recipe: Path, output: Path, *, what: str, log_file: Path) -> None:
    """Build the image that the folder `recipe` configures, into the folder `output`.

    mkosi moves an output there when it is finished, so every output there is complete.
    """
    with held(cache_folder()):
        # Not for the tools: mkosi would clear the recipe's installed packages for theirs.
        arguments = (f"--tools-tree={mkosi.tools}", f"--cache-directory={cache_folder('cache')}")
        _build(mkosi, recipe, output, arguments, what=what, log_file=log_file)


def run_in_tools(
    mkosi: Mkosi, command: Sequence[str | Path], *, what: str, log_file: Path, epoch: int
) -> None:
    """Run a command with the tools' /usr and the host's other folders; dates are set to `epoch`."""
    log.run(
        [
            *mkosi.command,
            "--directory=",
            f"--tools-tree={mkosi.tools}",
            "--tools-tree-certificates=no",
            "sandbox",
            *command,
        ],
        what=what,
        log=log_file,
        env={**mkosi.environment, "SOURCE_DATE_EPOCH": str(epoch), "TZ": "UTC"},
    )


def cache_folder(*parts: str) -> Path:
    """A folder of mkosi's part of the cache."""
    return cache.directory("mkosi", *parts)


def key(base: Path, files: Iterable[Path]) -> str:
    """A key for the content of files below `base`: a hash of their paths, modes and bytes."""
    digest = hashlib.sha256()
    for path in sorted(files):
        name = path.relative_to(base)
        if path.is_symlink():
            digest.update(f"{name} -> {path.readlink()}\0".encode())
        elif path.is_file():
            content = path.read_bytes()
            mode = "x" if os.access(path, os.X_OK) else "-"
            digest.update(f"{name} {mode} {len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def _build(
    mkosi: Mkosi, recipe: Path, output: Path, arguments: Sequence[str], *, what: str, log_file: Path
) -> None:
    log.run(
        [
            *mkosi.command,
            f"--directory={recipe}",
            f"--package-cache-directory={cache_folder('packages')}",
            f"--workspace-directory={cache_folder('workspace')}",
            f"--output-directory={output}",
            f"--sandbox-tree={_sources()}",
            *arguments,
            "--force",
            "build",
        ],
        what=what,
        log=log_file,
        env=mkosi.environment,
    )


def _sources() -> Path:
    """A folder tree with this host's apt sources; mkosi's own list names mirrors."""
    tree = cache_folder("sandbox")
    apt = tree / "etc/apt"
    (apt / "sources.list.d").mkdir(parents=True, exist_ok=True)
    (apt / "apt.conf.d").mkdir(exist_ok=True)
    (apt / "sources.list.d/mkosi.sources").write_text(archive.sources_for(SUITE))
    proxies = subprocess.run(
        ["apt-config", "dump", "Acquire::http::Proxy", "Acquire::https::Proxy"],
        stdout=subprocess.PIPE,
        check=False,
        text=True,
    ).stdout
    (apt / "apt.conf.d/50proxy").write_text(proxies)
    return tree


def _environment() -> dict[str, str]:
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {"PATH": PATH, "LC_ALL": "C.UTF-8", **passed_on}


def _host_mkosi() -> tuple[tuple[str, ...], dict[str, str]] | None:
    path = shutil.which("mkosi", path=PATH)
    if path is None:
        return None
    answer = subprocess.run(
        [path, "--version"], capture_output=True, text=True, check=False, env=_environment()
    ).stdout
    version = re.search(r"\d+", answer)
    if version is None or int(version[0]) < MINIMUM:
        return None
    return (path,), _environment()


def _debian_mkosi() -> tuple[tuple[str, ...], dict[str, str]]:
    """mkosi, unpacked from the package of `SUITE`: it is Python and needs no other package."""
    if os.geteuid() != 0 and RESTRICTED.exists() and RESTRICTED.read_text().strip() != "0":
        log.die(
            "mkosi needs a user namespace, which AppArmor does not allow users on this host",
            hint="run this as root, or allow it: sudo sysctl kernel." + RESTRICTED.name + "=0",
        )
    deb = archive.fetch_deb("mkosi", (SUITE,))
    home = cache_folder() / f"mkosi-{deb.version}"
    if not home.is_dir():
        with tempfile.TemporaryDirectory(dir=cache_folder()) as partial:
            subprocess.run(["dpkg-deb", "-x", deb.path, f"{partial}/mkosi"], check=True)
            Path(partial, "mkosi").replace(home)
    modules = home / "usr/lib/python3/dist-packages"
    return ("/usr/bin/python3", "-m", "mkosi"), {**_environment(), "PYTHONPATH": str(modules)}
