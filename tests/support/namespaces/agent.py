"""Processes, each in a network namespace of its own, that call the functions a test sends to them.

In: on a socket, two ends of pipes for each new process; on the first pipe, pickled (function,
arguments).  Out: on the second pipe, the process ID, then a pickled result for each. `lab` starts
this module once, as `python -m tests.support.namespaces.agent DESCRIPTOR`.

The first process imports what the functions use, scapy above all, and then only forks. A namespace
is ready in a few milliseconds; an interpreter of its own would take half a second of processor
time. What a function changes in its process ends with that process.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
import traceback
from typing import BinaryIO

from scapy.config import conf

from pbrinit.boot.system import syscalls
from tests.support.namespaces import in_namespace

OWN = syscalls.CLONE_NEWNET | syscalls.CLONE_NEWNS
IMPORTED = (in_namespace,)
"""What most acts are in, or use."""


def main() -> None:
    """Fork for each request, until the other end of the socket is closed."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the children
    while True:
        word, pipes, _, _ = socket.recv_fds(requests, 1, 2)
        if not word:
            return
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            requests.close()
            try:
                _serve(os.fdopen(pipes[0], "rb"), os.fdopen(pipes[1], "wb"))
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            os._exit(0)  # at once: an orderly exit takes as long as the start
        for pipe in pipes:
            os.close(pipe)


def _serve(acts: BinaryIO, answers: BinaryIO) -> None:
    """Serve in new namespaces until the pipe is closed."""
    os.dup2(2, 1)
    syscalls.unshare(OWN)
    syscalls.mount("none", "/", "none", syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("sysfs", "/sys", "sysfs", 0)
    _answer(answers, os.getpid())
    loaded = False
    while True:
        try:
            function, arguments = pickle.load(acts)
        except EOFError:
            return
        if not loaded and function.__module__ != "builtins":
            _reload_scapy()
            loaded = True
        try:
            result = (True, function(*arguments))
        except Exception:  # raised again in the test, by lab.Namespace.do
            result = (False, traceback.format_exc())
        _answer(answers, result)


def _reload_scapy() -> None:
    """Let scapy read the devices and routes of this namespace, as it does on import."""
    conf.ifaces.reload()
    conf.route.resync()
    conf.route6.resync()
    conf.ifaces.load_confiface()


def _answer(answers: BinaryIO, result: object) -> None:
    pickle.dump(result, answers)
    answers.flush()


if __name__ == "__main__":
    main()
