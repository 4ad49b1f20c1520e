"""A client of an sshd that wants to know no more than whether somebody is there; acts of `lab`.

In: addresses.  Out: how long it took.
"""

from __future__ import annotations

import socket
import time

SECONDS = 10.0


def ask(source: str, address: str) -> float:
    """Connect to port 22, until the server has said who it is (RFC 4253, 4.2); the seconds.

    Raises OSError where nobody answers.
    """
    begin = time.monotonic()
    with socket.create_connection((address, 22), SECONDS, (source, 0)) as line:
        if not line.recv(64).startswith(b"SSH-"):
            raise ConnectionError("that is no sshd")
    return time.monotonic() - begin
