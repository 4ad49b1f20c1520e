"""A process that lives in a network namespace and does there what it is told.

In: pickled (function, arguments) on standard input.  Out: pickled results on standard
output.  Started by `lab`, as `unshare --net --mount python -m tests.support.namespaces.agent`.
"""

from __future__ import annotations

import os
import pickle
import sys
import traceback

from pbrinit.boot.system import syscalls


def main() -> None:
    """Serve until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    syscalls.mount("sysfs", "/sys", "sysfs", 0)
    while True:
        try:
            function, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            result = (True, function(*arguments))
        except Exception:  # whatever it is, it is raised again by who asked (lab.Namespace.do)
            result = (False, traceback.format_exc())
        pickle.dump(result, answers)
        answers.flush()


if __name__ == "__main__":
    main()
