"""Addresses of examples/office.toml, by version of IP.

In: nothing.  Out: addresses of the machine, of hosts and of routers.
"""

from __future__ import annotations

SELF_WAN = {4: "192.0.2.2", 6: "2001:db8::2"}
SELF_LAN = {4: "10.20.0.1", 6: "fd00:20::1"}
ROUTERS = {4: ("10.20.0.254", "10.20.0.253"), 6: ("fd00:20::fe", "fd00:20::fd")}
"""The routers of the first branch and of the second."""

CLERK = {4: "10.20.0.7", 6: "fd00:20::7"}
TECHNICIAN = {4: "10.21.0.9", 6: "fd00:21::9"}
NAMES = {4: "10.21.0.53", 6: "fd00:21::53"}
SECOND = {4: "10.22.0.7", 6: "fd00:22::7"}
"""A host in the second branch."""

WORLD = {4: "198.51.100.9", 6: "2001:db8:7::9"}
