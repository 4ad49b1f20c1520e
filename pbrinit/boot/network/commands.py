"""The `ip` command of a message, with the numbers that the message has.

In: a plan's text, with blanks where numbers stand that differ between the two places of a plan
(`slots`), and the netlink message.  Out: the command for a person.
"""

from __future__ import annotations

import struct

from pbrinit.wire.bootplan import GOTO_BLANK, PREFERENCE_BLANK, TABLE_BLANK
from pbrinit.wire.netlink.constants import (
    FRA_GOTO,
    FRA_PRIORITY,
    FRA_TABLE,
    RTA_TABLE,
    RTM_NEWROUTE,
)
from pbrinit.wire.netlink.route_dump import ROUTE
from pbrinit.wire.netlink.socket import HEADER, attributes

BLANKS = {
    False: ((PREFERENCE_BLANK, FRA_PRIORITY), (GOTO_BLANK, FRA_GOTO), (TABLE_BLANK, FRA_TABLE)),
    True: ((TABLE_BLANK, RTA_TABLE),),
}
"""Which attribute fills a blank, of a rule's message and of a route's. Both have a header of one
length (linux/rtnetlink.h).
"""


def command(text: str, message: bytes) -> str:
    """The text with its blanks filled."""
    if TABLE_BLANK not in text and PREFERENCE_BLANK not in text:
        return text
    is_route = struct.unpack_from("=H", message, 4)[0] == RTM_NEWROUTE
    found = dict(attributes(message[HEADER.size :], ROUTE.size))
    for blank, attribute in BLANKS[is_route]:
        text = text.replace(blank, str(int.from_bytes(found.get(attribute, b""), "little")))
    return text
