"""The name of a device that is found by its MAC address.

In: a `LinkPlan` and a `Kernel`.  Out: the device has the link's name; who had it before has another
one, and gets its own when its turn comes.  Or a `LinkError` that says what to do.

Cards are named by the kernel in the order it finds them, so two may have each other's name.
"""

from __future__ import annotations

import os
import struct

from pbrinit.boot.network import links
from pbrinit.wire.netlink.socket import ATTRIBUTE, HEADER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pbrinit.wire.bootplan import LinkPlan
    from pbrinit.wire.netlink.socket import Kernel

NEW_LINK, ACK_REQUEST, NAME = 16, 5, 3
"""RTM_NEWLINK, NLM_F_REQUEST with NLM_F_ACK, IFLA_IFNAME (linux/rtnetlink.h, if_link.h)."""

LINK = struct.Struct("=BBHiII")
SPARE = "spare"
"""A device whose name is needed is called so, with a number."""


def give_name(kernel: Kernel, link: LinkPlan) -> None:
    """Give the device with the link's MAC address the link's name, if it has another one.

    Raises LinkError, OSError.
    """
    found = links.of_mac(link.mac)
    if link.device in found or link.rename is None:
        return
    if not found:
        raise links.LinkError(f"no device has the MAC address {link.mac}")
    if len(found) > 1:
        raise links.LinkError(
            f"{' and '.join(found)} both have the MAC address {link.mac}: take one away, or write"
            f' device = "{found[0]}" in the policy'
        )
    if link.device in links.devices():
        _free(kernel, link.device)
    links.send(kernel, (link.rename,), links.index(found[0]))


def _free(kernel: Kernel, name: str) -> None:
    """Give a device that has this name another one. It must be down for that.

    Raises LinkError, OSError.
    """
    links.take_down(name)
    used = links.devices()
    spare = next(f"{SPARE}{at}" for at in range(len(used) + 1) if f"{SPARE}{at}" not in used)
    value = spare.encode() + b"\0"
    attribute = ATTRIBUTE.pack(ATTRIBUTE.size + len(value), NAME) + value + bytes(-len(value) % 4)
    body = LINK.pack(0, 0, 0, links.index(name), 0, 0) + attribute
    message = HEADER.pack(HEADER.size + len(body), NEW_LINK, ACK_REQUEST, 0, 0) + body
    (error,) = kernel.attempt([message])
    if error:
        raise links.LinkError(f"link set {name} name {spare}: {os.strerror(error)}")
