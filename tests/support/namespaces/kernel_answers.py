"""What the kernel of a network namespace says to single messages.

In: messages as bytes.  Out: the reason of each refusal, None where it took the message.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from pbrinit.wire.netlink.socket import Kernel, KernelError, with_index

Marked = tuple[bytes, tuple[int, ...]]
"""A message, and where the index of the device belongs in it."""


def answers(messages: Sequence[Marked], device: str) -> list[str | None]:
    """The reason of each refusal, in order."""
    found: list[str | None] = []
    index = socket.if_nametoindex(device)
    with Kernel() as kernel:
        for message, offsets in messages:
            try:
                kernel.apply([with_index(message, offsets, index)])
                found.append(None)
            except KernelError as error:
                found.append(error.reason)
    return found
