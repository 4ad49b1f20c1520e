"""The contents of Debian's own kernels, for comparison; counted in the source, not compiled.

In: Debian's kernel source and its configurations.  Out: a Survey of the stock and of the cloud
kernel. They are counted once for each version, and kept in the cache.
"""

from __future__ import annotations

import json
import lzma
import tempfile
from dataclasses import asdict
from pathlib import Path

from factory import cache, log
from factory.debian import archive
from factory.kernel import fragments, makefiles, source
from factory.kernel.contents import Survey, count_lines
from factory.review import hardening

# Part of the key: raise it when something else is counted.
RECIPE = 1

PACKAGE = "linux-config-6.12"
SUITE = "trixie"
KERNELS = {
    "Debian": "config.amd64_none_amd64.xz",
    "Debian cloud": "config.amd64_none_cloud-amd64.xz",
}
"""Debian's name for each, and its configuration in the package."""


def survey(name: str, config: Path, tree: Path) -> Survey:
    """Count the kernel that the configuration builds from the source `tree`."""
    settings = fragments.settings(config.read_text())
    on = {option for option, value in settings.items() if value in ("y", "m")}
    files = makefiles.Built(tree, settings).files
    checks = hardening.ask(config)
    return Survey(
        name=name,
        options=len(on),
        modules=sum(value == "m" for value in settings.values()),
        files=tuple(sorted(files)),
        lines=count_lines(tree, files),
        calls=tuple(sorted(makefiles.calls_in(tree, files, on))),
        checks_met=sum(check.met for check in checks),
        checks_open=sum(not check.met for check in checks),
    )


def debian() -> tuple[Survey, ...]:
    """The surveys of Debian's stock and cloud kernels, of the stable release."""
    configs = archive.fetch_deb(PACKAGE, (SUITE,))
    origin = source.choose(source.DEFAULT)
    place = cache.directory("survey")
    cached = place / f"{RECIPE}-{origin.version}-{configs.version}.json"
    if not cached.exists():
        surveys = _count(origin, configs, place)
        cached.write_text(json.dumps([asdict(counted) for counted in surveys]) + "\n")
    return tuple(
        Survey(**{**entry, "files": tuple(entry["files"]), "calls": tuple(entry["calls"])})
        for entry in json.loads(cached.read_text())
    )


def _count(origin: source.Source, configs: archive.Deb, place: Path) -> list[Survey]:
    log_file = cache.directory("log") / "survey.log"
    with tempfile.TemporaryDirectory(dir=place) as name:
        folder = Path(name)
        tree = folder / "source"
        tree.mkdir()
        origin.unpack(tree, log_file)
        package = folder / "configs"
        log.run(
            ["dpkg-deb", "-x", configs.path, package],
            what="unpacking Debian's configurations",
            log=log_file,
        )
        surveys = []
        for title, packed in KERNELS.items():
            log.step(f"counting the contents of Debian's kernel ({title})")
            config = folder / "config"
            text = next(package.rglob(packed)).read_bytes()
            config.write_bytes(lzma.decompress(text))
            surveys.append(survey(title, config, tree))
    return surveys
