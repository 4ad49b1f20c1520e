"""The Debian mirror that the host uses, so that the project names none.

In: $DEBIAN_MIRROR, else the host's apt sources, else (Ubuntu) python-apt's template for Debian.
Out: a Mirror.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from factory import log

TEMPLATE = "usr/share/python-apt/templates/Debian.info"

# Debian's suite names; other archives use them too, so an entry must also pass `_is_debian`.
RELEASES = frozenset({"buster", "bullseye", "bookworm", "trixie", "forky", "duke"})
CLASSES = frozenset({"oldoldstable", "oldstable", "stable", "testing"})
ROLLING = frozenset({"sid", "unstable"})


@dataclass(frozen=True)
class Mirror:
    """The URIs of Debian's archive; `security` is None where the host has no entry for it."""

    main: str
    security: str | None


@dataclass(frozen=True)
class _Entry:
    uri: str
    suite: str


def host_mirror(root: Path, environ: Mapping[str, str]) -> Mirror:
    """The Debian mirror that the host with this root folder uses.  Ends the program where it has
    none.

    $DEBIAN_MIRROR comes first, with $DEBIAN_SECURITY_MIRROR, or without that the usual name beside
    it.
    """
    if named := environ.get("DEBIAN_MIRROR"):
        named = named.rstrip("/")
        return Mirror(named, environ.get("DEBIAN_SECURITY_MIRROR") or f"{named}-security")
    for entries in (_host_entries(root), _template_entries(root)):
        main = next((entry.uri for entry in entries if not _is_security(entry.suite)), None)
        if main is not None:
            security = next((entry.uri for entry in entries if _is_security(entry.suite)), None)
            return Mirror(main, security)
    return log.die(
        "no Debian mirror is known: the host's apt sources name none",
        hint="set DEBIAN_MIRROR to the URI of one (the directory that holds dists/), "
        "or install python-apt-common, which names Debian's default",
    )


def _host_entries(root: Path) -> list[_Entry]:
    """Debian's entries among the host's apt sources (sources.list(5), both formats)."""
    apt = root / "etc/apt"
    parts = sorted((apt / "sources.list.d").glob("*"))
    entries: list[_Entry] = []
    for path in [apt / "sources.list", *parts]:
        if path.suffix == ".list" and path.is_file():
            entries += _one_line_entries(path.read_text(errors="replace"))
        elif path.suffix == ".sources" and path.is_file():
            entries += _deb822_entries(path.read_text(errors="replace"))
    return [_Entry(_resolved(root, entry.uri), entry.suite) for entry in entries]


def _one_line_entries(text: str) -> Iterator[_Entry]:
    line_shape = re.compile(r"\s*deb\s+(?:\[([^]]*)\]\s*)?([^\s#]+)\s+([^\s#]+)\s+([^#]*)")
    for line in text.splitlines():
        if match := line_shape.match(line):
            options, uri, suite, components = match.groups()
            pairs = dict(word.split("=", 1) for word in (options or "").split() if "=" in word)
            if _is_debian(uri, suite, components.split(), pairs.get("signed-by", "")):
                yield _Entry(uri.rstrip("/"), suite)


def _deb822_entries(text: str) -> Iterator[_Entry]:
    for stanza in stanzas(text):
        types = stanza.get("Types", "").split()
        if "deb" not in types or stanza.get("Enabled", "yes").lower() in ("no", "false", "0"):
            continue
        components = stanza.get("Components", "").split()
        for uri in stanza.get("URIs", "").split():
            for suite in stanza.get("Suites", "").split():
                if _is_debian(uri, suite, components, stanza.get("Signed-By", "")):
                    yield _Entry(uri.rstrip("/"), suite)


def _template_entries(root: Path) -> list[_Entry]:
    """Debian's default mirror, as python-apt's template of the distribution names it."""
    path = root / TEMPLATE
    if not path.exists():
        return []
    return [
        _Entry(stanza["BaseURI"].rstrip("/"), stanza["Suite"])
        for stanza in stanzas(path.read_text(errors="replace"))
        if "BaseURI" in stanza and "Suite" in stanza and not stanza["Suite"].endswith("/updates")
    ]


def _is_debian(uri: str, suite: str, components: Sequence[str], signed_by: str) -> bool:
    release = suite.removesuffix("-security").removesuffix("-updates")
    return (
        release in RELEASES | CLASSES | ROLLING
        and "main" in components
        and not uri.startswith("cdrom:")
        and (not signed_by or "debian-archive" in signed_by)
    )


def _is_security(suite: str) -> bool:
    return suite.endswith("-security")


def _resolved(root: Path, uri: str) -> str:
    """The URI, or the first mirror of a list in a local file, which Debian's cloud images use.

    The list itself could not be read in the sandbox of an image build.
    """
    if not uri.startswith("mirror+file:"):
        return uri
    path = root / uri.removeprefix("mirror+file:").lstrip("/")
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    named = [shlex.split(line, comments=True)[:1] for line in lines]
    return next((words[0].rstrip("/") for words in named if words), uri)


def stanzas(text: str) -> Iterator[dict[str, str]]:
    """The stanzas of a deb822 text, without comments and with continuation lines joined."""
    stanza: dict[str, str] = {}
    key = ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if stanza:
                yield stanza
            stanza = {}
        elif line[0].isspace():
            stanza[key] = f"{stanza.get(key, '')}\n{line.strip()}"
        elif ":" in line:
            key, value = line.split(":", 1)
            stanza.setdefault(key, value.strip())
