"""Names of devices that this kernel gives to no card.

In: a `Policy`.  Out: a remark for each interface whose `device` will not be there, with what to
write.  Without udev a card keeps the name that its driver gives it: eth0, eth1, …, in the order in
which they are found; some on USB are usb0.
"""

from __future__ import annotations

import re

from pbrinit.policy.policy import Policy
from pbrinit.policy.problems import Problems

GIVEN = re.compile(r"(eth|usb)(0|[1-9][0-9]*)")
"""eth%d and usb%d (alloc_etherdev, net/ethernet/eth.c; usbnet_probe, drivers/net/usb/usbnet.c)."""

BY_MAC = (
    'write "eth0", "eth1", …, or mac = "…" instead: then the interface\'s name is the device\'s'
)
ABSENT = (
    (re.compile(r".*\.\d+|vlan.*"), "VLANs are not in this kernel"),
    (re.compile(r"v?br[0-9-].*|br|virbr.*|docker.*|lxc.*|ovs.*"), "bridges are not in this kernel"),
    (re.compile(r"(wg|tun|tap|ppp|ipsec|gre|sit|vti|xfrm|vxlan|he-).*"),
     "tunnels are not in this kernel"),
    (re.compile(r"(bond|team|lag).*"), "bonds are not in this kernel"),
    (re.compile(r"(wlan|wlp|wlo|wlx|ath|ra).*"), "wireless cards are not in this kernel"),
    (re.compile(r"(dummy|ifb|veth|macvlan|ipvlan).*"), "nobody makes such a device here"),
    (re.compile(r"(en|em|p)[a-z0-9]+"), "udev gives such names, and there is none here"),
)  # fmt: skip
"""What looks like one of these, and why it is never there."""

OTHERWISE = "this kernel gives no card such a name"


def remark_on_card_names(policy: Policy, remarks: Problems) -> None:
    """Take note of each device that will not be there."""
    for interface in policy.interfaces:
        name = interface.device
        if interface.mac is not None or GIVEN.fullmatch(name):
            continue
        why = next((why for form, why in ABSENT if form.fullmatch(name)), OTHERWISE)
        remarks.report(f"interface.{interface.name}.device", f'no card is "{name}": {why}', BY_MAC)
