"""Addresses and users of examples/host.toml.

In: nothing.  Out: each address by its version of IP.
"""

from __future__ import annotations

VERSIONS = (4, 6)
SELF = {4: "192.0.2.2", 6: "2001:db8::2"}
LENGTH = {4: 24, 6: 64}
"""The prefix length of the link's network."""

ROUTER = {4: "192.0.2.1", 6: "2001:db8::1"}
RESOLVER = {4: "192.0.2.53", 6: "2001:db8::53"}
NEIGHBOUR = {4: "192.0.2.66", 6: "2001:db8::66"}
MGMT = {4: "198.51.100.9", 6: "2001:db8:5::9"}
STRANGER = {4: "203.0.113.7", 6: "2001:db8:7::7"}

ON_LINK = {
    version: {
        "router": ROUTER[version],
        "resolver": RESOLVER[version],
        "neighbour": NEIGHBOUR[version],
    }
    for version in VERSIONS
}
BEHIND = {version: {"mgmt": MGMT[version], "stranger": STRANGER[version]} for version in VERSIONS}
"""Hosts that are reached through the router."""

PEER = {version: {**ON_LINK[version], **BEHIND[version]} for version in VERSIONS}
UPDATER, NOBODY, ROOT = 1001, 1002, 0
"""The policy's user, one that it does not name, and root."""
