"""Everything that is tested, by several workers side by side.

In: nothing; words on the command line are pytest's.  Out: what pytest says, with the ten slowest
tests, and the time of it all; status 1 where a test fails.  Most tests wait, for guests and for
answers that must not come, so there are more workers than processors.  Those that hold a guest to
times come last, with a processor for each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tests.support import units

PARTS = ("vm", "adversary", "scanners", "netns", "nftables", "unit")
PROCESSORS = len(os.sched_getaffinity(0))
WORKERS = 3 * PROCESSORS


def run(workers: int, *words: str) -> int:
    """Run these tests by so many workers; pytest's exit status."""
    shared = ["--numprocesses", str(workers), "--no-loadscope-reorder", "--durations=10"]
    command = [sys.executable, "-m", "pytest", *shared, *sys.argv[1:], *words]
    return subprocess.run(command, check=False).returncode


def main() -> int:
    """The command."""
    start = time.monotonic()
    folders = [f"tests/{part}" for part in PARTS]
    statuses = {
        run(WORKERS, *(f"--ignore={path}" for path in units.TIMED), *folders),
        run(PROCESSORS, *units.TIMED),
    }
    # Words on the command line may leave one of them without a test, and not both.
    failed = statuses not in ({0}, {0, pytest.ExitCode.NO_TESTS_COLLECTED})
    minutes, seconds = divmod(int(time.monotonic() - start), 60)
    print(f"==> {'FAILED' if failed else 'all passed'}, in {minutes} min {seconds} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
