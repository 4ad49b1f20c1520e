"""Packages of a named Debian suite, on any host, with the archive's signature checked.

In: the name of a package and of suites; the host's mirror.  Out: apt sources for a suite, as
text, and verified .deb files in the cache.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from factory import cache, lock, mirror, say

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
ARCHITECTURE = "amd64"
INDEX_LIFE_SECONDS = 24 * 3600

# Read after the host's configuration (apt.conf(5): -c comes last), so that its proxies and
# credentials stay in force, and its hooks, made for the host's own lists, do not run.
APT_CONF = """\
#clear APT::Update;
#clear DPkg::Post-Invoke;
#clear APT::Architectures;
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Default-Release "";
APT::Sandbox::User "";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::Languages "none";
Acquire::Retries "3";
Dir::State "{root}/state";
Dir::State::lists "lists";
Dir::State::status "{root}/state/status";
Dir::Cache "{root}/cache";
Dir::Cache::archives "archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{root}/sources.list.d";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::trusted "/dev/null";
Dir::Etc::trustedparts "/dev/null";
"""


@dataclass(frozen=True)
class Deb:
    """A verified package file in the cache."""

    name: str
    version: str
    path: Path


def sources_for(suite: str) -> str:
    """The apt sources of `suite` (`trixie`) with updates and security, in deb822 (sources.list(5)).

    A rolling suite and backports have neither.  The mirror is the host's.  Ends the program
    where none is known.
    """
    host = mirror.of(Path("/"), os.environ)
    rolling = suite in mirror.ROLLING or suite.endswith("-backports")
    stanzas = [(host.main, suite if rolling else f"{suite} {suite}-updates")]
    if host.security is not None and not rolling:
        stanzas.append((host.security, f"{suite}-security"))
    return "\n".join(
        f"Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: main\nSigned-By: {KEYRING}\n"
        for uri, suites in stanzas
    )


def fetch_deb(package: str, suites: Sequence[str]) -> Deb:
    """The newest version of `package` over `suites`, downloaded unless the cache has it.

    apt checks the suite's signature and with it the index; the file is checked against the
    index's SHA256 each time.  Without a network the last index is used, and said so.
    """
    if not KEYRING.exists():
        say.die(
            f"the keys of the Debian archive are not at {KEYRING}",
            hint="apt-get install debian-archive-keyring",
        )
    root = cache.directory("archive", "+".join(suites))
    with lock.held(root):
        apt = _Apt(root)
        apt.refresh(suites)
        record = apt.show(package, suites)
        path = root / f"{package}_{record['Version'].replace(':', '%3a')}.deb"
        if not _has_digest(path, record["SHA256"]):
            apt.download(package, record, path)
        return Deb(package, record["Version"], path)


class _Apt:
    """apt with lists, cache and sources of its own below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log = root / "apt.log"
        self.sources = root / "sources.list.d" / "debian.sources"
        for part in ("state/lists/partial", "cache/archives/partial", "sources.list.d"):
            (root / part).mkdir(parents=True, exist_ok=True)
        (root / "state/status").touch()
        self.conf = root / "apt.conf"
        self.conf.write_text(APT_CONF.format(root=root, architecture=ARCHITECTURE))

    def refresh(self, suites: Sequence[str]) -> None:
        """Ask for a new index where there is none, it is old, or it came from elsewhere."""
        text = "\n".join(sources_for(suite) for suite in suites)
        self.sources.write_text(text)
        stamp = self.root / "refreshed"
        same = stamp.exists() and stamp.read_text() == text
        if same and time.time() - stamp.stat().st_mtime < INDEX_LIFE_SECONDS:
            return
        say.step(f"asking the Debian archive for its index of {', '.join(suites)}")
        result = self._apt("apt-get", "update", "-o", "APT::Update::Error-Mode=any")
        if result.returncode == 0:
            stamp.write_text(text)
        elif same:
            age = (time.time() - stamp.stat().st_mtime) / 86400
            why = result.stderr.strip().splitlines()[0]
            say.step(f"no new index ({why}): going on with that of {age:.0f} days ago")
        else:
            say.die(
                f"apt could not read the Debian archive:\n{result.stderr.strip()}",
                hint=f"the sources it used are {self.sources}; DEBIAN_MIRROR names another mirror",
            )

    def show(self, package: str, suites: Sequence[str]) -> dict[str, str]:
        """The index's record of the newest version of `package`."""
        result = self._apt("apt-cache", "show", "--no-all-versions", package)
        record = next(mirror.stanzas(result.stdout), {})
        if "SHA256" not in record:
            say.die(f"there is no package {package} in Debian {', '.join(suites)}")
        return record

    def download(self, package: str, record: Mapping[str, str], path: Path) -> None:
        """Bring the file of `record` to `path`."""
        version = record["Version"]
        megabytes = int(record["Size"]) / 1e6
        partial = self.root / "partial"
        partial.mkdir(exist_ok=True)
        say.run(
            ["apt-get", "-c", self.conf, "download", "-q", f"{package}={version}"],
            what=f"downloading {package} {version} ({megabytes:.1f} MB)",
            log=self.log,
            cwd=partial,
        )
        for arrived in partial.glob("*.deb"):
            if _has_digest(arrived, record["SHA256"]):
                arrived.replace(path)
                return
            arrived.unlink()
        say.die(f"{package} {version} arrived with a content that the archive did not sign")

    def _apt(self, tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [tool, "-c", str(self.conf), "-q", *arguments]
        try:
            return subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                env={**os.environ, "LC_ALL": "C"},
            )
        except FileNotFoundError:
            say.die(f"there is no command {tool}", hint="the host must be a Debian or an Ubuntu")


def _has_digest(path: Path, sha256: str) -> bool:
    if not path.exists():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256
