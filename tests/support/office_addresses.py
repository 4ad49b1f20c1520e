"""Addresses of examples/office.toml, by version of IP.

In: nothing.  Out: addresses of the machine, of hosts and of routers.
"""

from __future__ import annotations

SELF_WAN = {4: "192.0.2.2", 6: "2001:db8::2"}
SELF_LAN = {4: "203.0.113.1", 6: "2001:db8:20::1"}
ROUTERS = {4: ("203.0.113.62", "203.0.113.61"), 6: ("2001:db8:20::fe", "2001:db8:20::fd")}
"""The routers of the first branch and of the second."""

CLERK = {4: "203.0.113.7", 6: "2001:db8:20::7"}
TECHNICIAN = {4: "203.0.113.73", 6: "2001:db8:21::9"}
NAMES = {4: "203.0.113.117", 6: "2001:db8:21::53"}
SECOND = {4: "203.0.113.135", 6: "2001:db8:22::7"}
"""A host in the second branch."""

WORLD = {4: "198.51.100.9", 6: "2001:db8:7::9"}
