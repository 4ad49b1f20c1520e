"""A host that says of an address that it is his while others try it: acts of `lab`.

In: an address.  Out: frames, until it is told to stop.
"""

from __future__ import annotations

import errno
import threading
from ipaddress import IPv6Address

from scapy.layers.inet6 import ICMPv6ND_NS, IPv6
from scapy.layers.l2 import Ether

from tests.support.namespaces import in_namespace

PAUSE_SECONDS = 0.02
_stopped = threading.Event()


def start(address: str) -> None:
    """Try the address oneself, as a host does that wants it (RFC 4862, 5.4.2), again and again."""
    last = IPv6Address(address).packed[-3:]
    group = IPv6Address(bytes.fromhex("ff0200000000000000000001ff") + last)
    asked = Ether(src=in_namespace.mac(), dst=b"\x33\x33" + group.packed[-4:])
    asked = asked / IPv6(src="::", dst=str(group), hlim=255) / ICMPv6ND_NS(tgt=address)
    frame = bytes(asked)
    _stopped.clear()

    def claim() -> None:
        while not _stopped.wait(PAUSE_SECONDS):
            try:
                in_namespace.transmit([frame])
            except OSError as error:  # the other end is down at this moment
                if error.errno != errno.ENOBUFS:
                    raise

    threading.Thread(target=claim, daemon=True).start()


def stop() -> None:
    """Let others have it."""
    _stopped.set()
