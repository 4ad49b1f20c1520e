"""Answers of a DHCP server, made by scapy.

In: a question as it was sent, and what the server says.  Out: the bytes of the answer.
"""

from __future__ import annotations

from typing import Any

from scapy.layers.dhcp import BOOTP, DHCP

OFFERED = (
    ("server_id", "192.0.2.1"),
    ("lease_time", 3600),
    ("subnet_mask", "255.255.255.0"),
    ("router", "192.0.2.1"),
    ("name_server", "192.0.2.53", "192.0.2.54"),
)


def option(question: bytes, name: str) -> Any:
    """What a question says by an option; None where it does not have it."""
    told = BOOTP(question)[DHCP].options
    return next((o[1] for o in told if isinstance(o, tuple) and o[0] == name), None)


def answer(
    kind: str, question: bytes, *options: Any, address: str = "192.0.2.77", **fields: Any
) -> bytes:
    """An answer to a question: "offer", "ack" or "nak"."""
    asked = BOOTP(question)
    given = {"op": 2, "xid": asked.xid, "chaddr": asked.chaddr, "yiaddr": address, **fields}
    told = [("message-type", kind), *(options or OFFERED), "end"]
    return bytes(BOOTP(**given) / DHCP(options=told))
