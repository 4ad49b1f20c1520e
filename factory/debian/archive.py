"""Packages of a Debian suite, on any host, with the archive's signature verified.

In: the name of a package and of suites; the host's mirror.  Out: apt sources for a suite, as text,
and verified .deb files in the cache.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from factory import cache, log
from factory.cache import held
from factory.debian import mirror

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
ARCHITECTURE = "amd64"
INDEX_LIFE_SECONDS = 24 * 3600

# Read after the host's configuration (apt.conf(5): -c comes last): the host's proxies and
# credentials stay in force, and its hooks, which are made for its own lists, do not run.
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

    A rolling suite and backports have neither.  The mirror is the host's.  Ends the program where
    no mirror is known.
    """
    host = mirror.host_mirror(Path("/"), os.environ)
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

    apt verifies the suite's signature and with it the index; the file is compared with the index's
    SHA256 each time.  Without a network the last index is used, with a message.
    """
    root = cache.directory("archive", "+".join(suites))
    with held(root):
        apt = _Apt(root)
        apt.refresh(suites)
        return _fetched(apt, apt.show([package], suites))[0]


def fetch_with_needs(packages: Sequence[str], suite: str) -> list[Deb]:
    """The newest versions of `packages` and of all their dependencies, each as in `fetch_deb`."""
    root = cache.directory("archive", suite)
    with held(root):
        apt = _Apt(root)
        apt.refresh((suite,))
        return _fetched(apt, apt.show(apt.needs(packages), (suite,)))


def _fetched(apt: _Apt, records: Sequence[Mapping[str, str]]) -> list[Deb]:
    """The files of these records of the index; those that are missing are downloaded together."""
    debs = {}
    for record in records:
        name, version = record["Package"], record["Version"]
        path = apt.root / f"{name}_{version.replace(':', '%3a')}.deb"
        debs[Deb(name, version, path)] = record
    missing = {d: r for d, r in debs.items() if not _has_digest(d.path, r["SHA256"])}
    if missing:
        apt.download(missing)
    return list(debs)


class _Apt:
    """apt with its own lists, cache and sources in the folder `root`."""

    def __init__(self, root: Path) -> None:
        if not KEYRING.exists():
            log.die(
                f"the keys of the Debian archive are not at {KEYRING}",
                hint="apt-get install debian-archive-keyring",
            )
        self.root = root
        self.log = root / "apt.log"
        self.sources = root / "sources.list.d" / "debian.sources"
        for part in ("state/lists/partial", "cache/archives/partial", "sources.list.d"):
            (root / part).mkdir(parents=True, exist_ok=True)
        (root / "state/status").touch()
        self.conf = root / "apt.conf"
        self.conf.write_text(APT_CONF.format(root=root, architecture=ARCHITECTURE))

    def refresh(self, suites: Sequence[str]) -> None:
        """Fetch the index where there is none, where it is old, or where it is from other
        sources.
        """
        text = "\n".join(sources_for(suite) for suite in suites)
        self.sources.write_text(text)
        stamp = self.root / "refreshed"
        same = stamp.exists() and stamp.read_text() == text
        if same and time.time() - stamp.stat().st_mtime < INDEX_LIFE_SECONDS:
            return
        log.step(f"fetching the index of Debian {', '.join(suites)}")
        result = self._apt("apt-get", "update", "-o", "APT::Update::Error-Mode=any")
        if result.returncode == 0:
            stamp.write_text(text)
        elif same:
            age = (time.time() - stamp.stat().st_mtime) / 86400
            why = result.stderr.strip().splitlines()[0]
            log.step(f"no new index ({why}): using that of {age:.0f} days ago")
        else:
            log.die(
                f"apt could not read the Debian archive:\n{result.stderr.strip()}",
                hint=f"the sources it used are {self.sources}; DEBIAN_MIRROR names another mirror",
            )

    def show(self, packages: Sequence[str], suites: Sequence[str]) -> list[dict[str, str]]:
        """The index's records of the newest versions of `packages`. Ends the program where a
        package is missing.
        """
        result = self._apt("apt-cache", "show", "--no-all-versions", *packages)
        records = {record["Package"]: record for record in mirror.stanzas(result.stdout)
                 if "SHA256" in record}  # fmt: skip
        for package in packages:
            if package not in records:
                log.die(f"there is no package {package} in Debian {', '.join(suites)}")
        return [records[package] for package in packages]

    def needs(self, packages: Sequence[str]) -> list[str]:
        """The names of these packages and all their dependencies, as apt would install them."""
        arguments = ("install", "--no-install-recommends", "--print-uris", "-qq", *packages)
        result = self._apt("apt-get", *arguments)
        if result.returncode != 0:
            log.die(f"apt cannot install {' '.join(packages)}:\n{result.stderr.strip()}")
        # A line each: 'URI' NAME_VERSION_ARCHITECTURE.deb SIZE DIGEST
        return sorted(line.split()[1].partition("_")[0] for line in result.stdout.splitlines())

    def download(self, wanted: Mapping[Deb, Mapping[str, str]]) -> None:
        """Download the file of each record to the path of its package."""
        megabytes = sum(int(record["Size"]) for record in wanted.values()) / 1e6
        first, *others = wanted
        more = f" and {len(others)} more" if others else ""
        partial = self.root / "partial"
        partial.mkdir(exist_ok=True)
        versions = [f"{deb.name}={deb.version}" for deb in wanted]
        log.run(
            ["apt-get", "-c", self.conf, "download", "-q", *versions],
            what=f"downloading {first.name} {first.version}{more} ({megabytes:.1f} MB)",
            log=self.log,
            cwd=partial,
        )
        left = dict(wanted)
        for arrived in sorted(partial.glob("*.deb")):
            deb = next((d for d, r in left.items() if _has_digest(arrived, r["SHA256"])), None)
            if deb is None:
                arrived.unlink()
            else:
                arrived.replace(deb.path)
                del left[deb]
        for deb in left:
            log.die(f"{deb.name} {deb.version}: the archive has not signed the downloaded file")

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
            log.die(f"there is no command {tool}", hint="the host must be a Debian or an Ubuntu")


def _has_digest(path: Path, sha256: str) -> bool:
    if not path.exists():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256
