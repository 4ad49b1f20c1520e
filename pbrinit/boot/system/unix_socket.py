"""Unix sockets that one user may use, and who it is that knocks.

In: a path and a kind of socket.  Out: the socket, listening; and of a connection the user of who
made it (unix(7), SO_PEERCRED).
"""

from __future__ import annotations

import _socket
import os
import struct

PEER = struct.Struct("=iII")
"""struct ucred: process, user, group."""


def listen_unix(path: str, kind: int, backlog: int, uid: int = 0) -> _socket.socket:
    """A socket at this path that its user alone may connect to. Raises OSError."""
    if os.path.exists(path):  # noqa: PTH110  pathlib is not in the image
        os.unlink(path)  # noqa: PTH108  of one that ended
    listener = _socket.socket(_socket.AF_UNIX, kind)
    mask = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(mask)
    os.chown(path, uid, uid)
    listener.listen(backlog)
    return listener


def accept(listener: _socket.socket) -> _socket.socket:
    """The next connection. What `accept` of the module socket calls; that one is not imported
    (netlink.socket). Raises OSError.
    """
    descriptor, _ = listener._accept()  # type: ignore[attr-defined]
    return _socket.socket(fileno=descriptor)


def peer_uid(connection: _socket.socket) -> int:
    """Who made the connection. Raises OSError."""
    credentials = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, PEER.size)
    uid: int = PEER.unpack(credentials)[1]
    return uid
