"""The review of a kernel: its options with reasons, hardening checks, and size, with a comparison.

In: nothing (values only).  Out: `Review`, which `report` makes and table, JSON and page show.
"""

from __future__ import annotations

from dataclasses import dataclass

from factory.kernel.cmdline import Parameter
from factory.kernel.contents import Survey
from factory.kernel.fragments import Fragment
from factory.review.cves import CveCounts
from factory.review.hardening import Check


@dataclass(frozen=True)
class Review:
    """The contents of table, JSON and page."""

    variant: str
    source: str
    version: str
    size: int
    fragments: tuple[Fragment, ...]
    selected_options: dict[str, tuple[str, ...]]
    parameters: tuple[Parameter, ...]
    sysctls: tuple[tuple[str, str, str], ...]
    checks: tuple[Check, ...]
    code: dict[str, int]
    kernels: tuple[Survey, ...]
    syscall_table_size: int
    cves: CveCounts
    findings: tuple[str, ...]
    differences: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        """Whether everything is explained and reviewed."""
        return not self.findings and not self.differences

    @property
    def open(self) -> tuple[Check, ...]:
        """The checks that are not met."""
        return tuple(check for check in self.checks if not check.met)
