"""Which Debian mirror a host uses: read from the host, never assumed."""

from __future__ import annotations

from pathlib import Path

import pytest

from factory.debian import mirror

DEBIAN = """\
Types: deb deb-src
# a comment inside a stanza
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""
UBUNTU = """\
Types: deb
URIs: http://ubuntu.example/ubuntu
Suites: noble noble-updates noble-security
Components: main universe
Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg
"""
TEMPLATE = """\
ChangelogURI: http://changelogs.example/%s

Suite: {series}
RepositoryType: deb
BaseURI: http://default.example/debian/
Component: main

Suite: {series}-security
RepositoryType: deb
BaseURI: http://security.example/
ParentSuite: {series}

Suite: {series}-updates
RepositoryType: deb
ParentSuite: {series}
"""


def host(root: Path, **files: str) -> Path:
    """A root with the named apt source files; `list` stands for /etc/apt/sources.list."""
    parts = root / "etc/apt/sources.list.d"
    parts.mkdir(parents=True)
    for name, text in files.items():
        path = parts.parent / "sources.list" if name == "list" else parts / name.replace("_", ".")
        path.write_text(text)
    return root


def with_template(root: Path) -> Path:
    path = root / mirror.TEMPLATE
    path.parent.mkdir(parents=True)
    path.write_text(TEMPLATE)
    return root


def test_debians_entries_are_read_from_deb822_sources(tmp_path: Path) -> None:
    assert mirror.host_mirror(host(tmp_path, debian_sources=DEBIAN), {}) == mirror.Mirror(
        "http://mirror.example/debian", "http://mirror.example/debian-security"
    )


def test_debians_entries_are_read_from_one_line_sources(tmp_path: Path) -> None:
    text = (
        "# deb http://off.example/debian trixie main\n"
        "deb-src http://source.example/debian trixie main\n"
        "deb cdrom:[Debian 13]/ trixie main\n"
        "deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
        "http://mirror.example/debian trixie main contrib # ours\n"
        "deb http://mirror.example/debian-security trixie-security main\n"
    )
    assert mirror.host_mirror(host(tmp_path, list=text), {}) == mirror.Mirror(
        "http://mirror.example/debian", "http://mirror.example/debian-security"
    )


@pytest.mark.parametrize(
    "foreign",
    [
        "deb [signed-by=/etc/apt/keyrings/other.asc] http://other.example/debian bookworm main\n",
        "deb http://other.example/debian bookworm stable\n",
        "deb http://other.example/debian bookworm-pgdg main\n",
        "deb http://other.example/debian nodistro main\n",
    ],
)
def test_an_entry_of_somebody_else_is_not_taken_for_debians(tmp_path: Path, foreign: str) -> None:
    root = host(tmp_path, a_list=foreign, debian_sources=DEBIAN)
    assert mirror.host_mirror(root, {}).main == "http://mirror.example/debian"


def test_a_disabled_entry_and_a_disabled_file_are_not_taken(tmp_path: Path) -> None:
    off = DEBIAN.replace("mirror", "off")
    root = host(
        tmp_path,
        a_sources=off.replace("Types: deb\n", "Types: deb\nEnabled: no\n").replace(
            "Types: deb deb-src\n", "Types: deb\nEnabled: no\n"
        ),
        b_sources_disabled=off,
        debian_sources=DEBIAN,
    )
    assert mirror.host_mirror(root, {}).main == "http://mirror.example/debian"


def test_a_host_without_a_security_entry_gets_none(tmp_path: Path) -> None:
    root = host(tmp_path, list="deb http://mirror.example/debian trixie main\n")
    assert mirror.host_mirror(root, {}).security is None


def test_a_cloud_images_mirror_list_is_followed_to_its_first_mirror(tmp_path: Path) -> None:
    text = "deb mirror+file:///etc/apt/mirrors/debian.list trixie main\n"
    root = host(tmp_path, list=text)
    (root / "etc/apt/mirrors").mkdir()
    (root / "etc/apt/mirrors/debian.list").write_text(
        "# nearest first\nhttp://near.example/debian/\tpriority:1\nhttp://far.example/debian\n"
    )
    assert mirror.host_mirror(root, {}).main == "http://near.example/debian"


def test_an_ubuntu_host_gets_the_mirror_of_the_distribution_templates(tmp_path: Path) -> None:
    root = with_template(host(tmp_path, ubuntu_sources=UBUNTU))
    assert mirror.host_mirror(root, {}) == mirror.Mirror(
        "http://default.example/debian", "http://security.example"
    )


def test_a_named_mirror_wins_over_what_the_host_has(tmp_path: Path) -> None:
    root = host(tmp_path, debian_sources=DEBIAN)
    environ = {"DEBIAN_MIRROR": "http://mine.example/debian/"}
    assert mirror.host_mirror(root, environ) == mirror.Mirror(
        "http://mine.example/debian", "http://mine.example/debian-security"
    )
    environ["DEBIAN_SECURITY_MIRROR"] = "http://mine.example/sec"
    assert mirror.host_mirror(root, environ).security == "http://mine.example/sec"


def test_a_host_that_names_no_mirror_is_told_what_to_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        mirror.host_mirror(host(tmp_path, ubuntu_sources=UBUNTU), {})
    assert caught.value.code == 2
    assert "set DEBIAN_MIRROR" in capsys.readouterr().err
