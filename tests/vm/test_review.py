"""The review of the kernels that `make test` built."""

from __future__ import annotations

import pytest

from factory.kernel import build
from factory.review import baseline, page
from factory.review.report import review_kernel
from factory.review.review import Review

LARGEST = {"vm": 3.5e6, "pc": 5e6}


@pytest.fixture(scope="module", params=build.VARIANTS)
def made(request: pytest.FixtureRequest) -> Review:
    """The review of one variant."""
    return review_kernel(request.param)


def test_nothing_is_unexplained(made: Review) -> None:
    assert made.findings == ()
    assert [check.name for check in made.checks if not check.met and not check.reason] == []
    assert len(made.checks) > 300


def test_a_kernel_of_the_reviewed_source_is_the_reviewed_kernel(made: Review) -> None:
    """Of another source it may differ, and `make review` says so until somebody has read it."""
    known = baseline.path(made.variant).read_text()
    if f"\nsource {made.source}\n" in known:
        assert made.differences == ()
    else:
        assert f"+ source {made.source}" in made.differences


def test_it_is_small_and_has_no_modules(made: Review) -> None:
    assert made.size <= LARGEST[made.variant]
    assert made.kernels[0].modules == 0


def test_it_is_less_in_every_respect_than_what_debian_builds(made: Review) -> None:
    own, *debian = made.kernels
    assert [one.name for one in debian] == ["Debian", "Debian cloud"]
    for one in debian:
        assert own.options < one.options
        assert len(own.files) < len(one.files)
        assert len(own.calls) < len(one.calls)
        assert own.checks_open < one.checks_open
        assert made.cves.contained(set(own.files)) < made.cves.contained(set(one.files))
        assert any("/netfilter/" in name for name in one.files)
    assert not any("netfilter" in name for name in own.files)


def test_the_page_has_each_option_with_its_reason_and_what_is_open(made: Review) -> None:
    text = page.page(made)
    for fragment in made.fragments:
        for option in fragment.options:
            assert f"<code>{option.name}" in text
    for check in made.open:
        assert check.name in text
    assert "<script" not in text
    assert "//" not in text.partition("<body>")[0], "the page asks a network for something"
