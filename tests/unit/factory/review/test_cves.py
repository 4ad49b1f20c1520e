"""Flaws counted by the code that their fixes touch."""

from __future__ import annotations

from factory.review import cves
from factory.review.cves import CveCounts

FLAWS = CveCounts(
    "somebody",
    "2026-08-21",
    "",
    (
        (3, ("net/netfilter/",)),
        (2, ("net/core/skbuff.c",)),
        (1, ("net/core/dev.c", "net/netfilter/")),
        (1, ("include/net/",)),
        (1, ("Makefile",)),
    ),
)


def test_a_flaw_is_contained_where_any_place_that_it_touches_is() -> None:
    assert FLAWS.contained({"net/core/dev.c"}) == 1 + 2
    assert FLAWS.contained({"net/core/skbuff.c", "net/netfilter/core.c"}) == 3 + 2 + 1 + 2


def test_headers_and_makefiles_are_taken_to_be_in_every_kernel() -> None:
    assert FLAWS.contained(set()) == 2


def test_a_folder_does_not_stand_for_what_is_below_it() -> None:
    below = CveCounts("", "", "", ((1, ("fs/",)),))
    assert below.contained({"fs/proc/base.c"}) == 0
    assert below.contained({"fs/open.c"}) == 1


def test_the_share_of_the_packet_filter_is_told() -> None:
    assert (FLAWS.netfilter, FLAWS.total) == (4, 8)


def test_the_data_say_where_they_are_from_and_when() -> None:
    flaws = cves.read()
    assert "kernel CNA" in flaws.source
    assert flaws.date == "2026-08-21"
    assert flaws.total == 14626
    assert sum(int(part.split(": ")[1]) for part in flaws.years.split(", ")) == flaws.total
