"""What a hostile user does on the guest: socket calls in order, or a program of the image.

In: a user, and steps or words.  Out: the result.  Runs in the guest, beside the agent and in the
hostile programs; it has only the modules that are in the image.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Steps = list[tuple[Any, ...]]

NLMSG_ERROR = 2
SECONDS = 0.3
LONGEST = 10
LIBC = ctypes.CDLL(None, use_errno=True)


def attempt(uid: int, steps: Steps) -> str:
    """Make socket calls as a user, in a child process; the result in a word or two.

    Each step is (name of a socket's method, arguments), the first one `socket`; or one of the
    names below. The first step that fails is the result: `EACCES at connect`. If none fails it is
    `done` and what the last step returned.
    """

    def act(writer: int) -> None:
        signal.alarm(LONGEST)
        if uid:
            _become(uid)
        os.write(writer, steps_of(steps).encode())
        os._exit(0)

    return _child(act)[1] or "died"


def attempts(every: list[Steps]) -> list[str]:
    """The result of each list of steps, made by this process in order."""
    return [steps_of(steps) for steps in every]


def program(uid: int, *words: str) -> tuple[int, str]:
    """Run a program of the image as a user; its exit status and its output."""

    def act(writer: int) -> None:
        for number in (1, 2):
            os.dup2(writer, number)
        _become(uid)
        os.execv(words[0], words)

    return _child(act)


def steps_of(steps: Steps) -> str:
    """The result of socket calls, see `attempt`, in this process."""
    sock = socket.socket()
    last: Any = None
    for name, *arguments in steps:
        try:
            if name == "socket":
                sock = socket.socket(*arguments)
            elif name in ("unshare", "open", "syscall"):
                _system(name, arguments)
            elif name == "netlink":
                sock.send(arguments[0])
                number = _netlink_error(sock.recv(65535))
                if number:
                    return f"{errno.errorcode[number]} at netlink"
            else:
                # TCP fast open waits for an answer.
                sock.settimeout(0 if name == "connect" else SECONDS)
                last = getattr(sock, name)(*arguments)
        except BlockingIOError:
            return "begun"
        except OSError as error:
            return f"{errno.errorcode.get(error.errno or 0, str(error))} at {name}"
    return "done" if last is None or isinstance(last, int) else f"done {last!r}"


def call(result: int) -> None:
    """Raise OSError if a call of LIBC failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _child(act: Callable[[int], None]) -> tuple[int, str]:
    """Run `act` in a child with the end of a pipe; its exit status, and what it wrote."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            act(writer)
        finally:
            os._exit(126)
    os.close(writer)
    written = b""
    while piece := os.read(reader, 65536):
        written += piece
    os.close(reader)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), written.decode()


def _become(uid: int) -> None:
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)


def _system(name: str, arguments: list[Any]) -> None:
    if name == "open":
        os.close(os.open(*arguments))
    elif name == "unshare":
        call(LIBC.unshare(*arguments))
    else:
        call(LIBC.syscall(*map(_word, arguments)))


def _word(argument: int | bytes) -> Any:
    return ctypes.c_char_p(argument) if isinstance(argument, bytes) else ctypes.c_long(argument)


def _netlink_error(answer: bytes) -> int:
    kind: int = struct.unpack_from("=H", answer, 4)[0]
    code: int = struct.unpack_from("=i", answer, 16)[0]
    return -code if kind == NLMSG_ERROR else 0
