"""The numbers of netlink are those that pyroute2 has, which others keep."""

from __future__ import annotations

from typing import Any

import pyroute2.netlink
from pyroute2.netlink import rtnl
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from pbrinit.wire.netlink import constants

MESSAGES = (rtmsg, fibmsg, ifaddrmsg, ifinfmsg)


def numbers() -> dict[str, int]:
    """pyroute2's own, by the names of the kernel's headers."""
    found: dict[str, Any] = {**vars(pyroute2.netlink), **vars(rtnl)}
    found |= {f"RTN_{name.upper()}": number for name, number in rtnl.rt_type.items()
              if isinstance(name, str)}  # fmt: skip
    found |= {f"RT_SCOPE_{name.upper()}": number for name, number in rtnl.rt_scope.items()
              if isinstance(name, str)}  # fmt: skip
    found |= {f"RTPROT_{name.upper()}": number for name, number in rtnl.rt_proto.items()
              if isinstance(name, str)}  # fmt: skip
    for message in MESSAGES:
        for place, attribute in enumerate(message.nla_map):
            numbered = isinstance(attribute[0], int)
            number, name = attribute[:2] if numbered else (place, attribute[0])
            found[name] = number
    return {name: number for name, number in found.items() if isinstance(number, int)}


def test_each_number_that_pyroute2_has_is_the_same() -> None:
    known = numbers()
    ours = {name: number for name, number in vars(constants).items() if name.isupper()}
    shared = ours.keys() & known.keys()
    assert len(shared) >= 70, sorted(ours.keys() - known.keys())
    assert {name: ours[name] for name in shared} == {name: known[name] for name in shared}
