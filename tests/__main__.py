"""Everything that is tested, in two parts side by side, which take about as long.

In: nothing; words on the command line are pytest's, for both parts.  Out: what the one part says,
as it goes, then what the other has said; status 1 where either fails.  Both parts wait a lot, for
guests and for answers that must not come: side by side they take little longer than one of them.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

FIRST = ("tests/vm", "tests/adversary")
OTHERS = ("tests/unit", "tests/netns", "tests/nftables", "tests/scanners")
LOG = Path("build/log/tests-beside.log")
BESIDE = "--basetemp=build/pytest-beside"
"""Each part empties the folder of its own when it starts, and not the other's."""


def main() -> int:
    """The command."""
    start = time.monotonic()
    pytest = [sys.executable, "-m", "pytest", *sys.argv[1:]]
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("w+") as log:
        print(f"==> {', '.join(OTHERS)} meanwhile, into {LOG}", flush=True)
        with subprocess.Popen(
            [*pytest, BESIDE, *OTHERS], stdout=log, stderr=subprocess.STDOUT
        ) as others:
            first = subprocess.run([*pytest, *FIRST], check=False).returncode
            print(f"==> waiting for {', '.join(OTHERS)}", flush=True)
            failed = others.wait() or first
        log.seek(0)
        print(log.read())
    minutes, seconds = divmod(int(time.monotonic() - start), 60)
    print(f"==> {'FAILED' if failed else 'all passed'}, in {minutes} min {seconds} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
