"""Addresses of examples/router.toml: the router's own, and those of hosts on its two sides.

In: nothing.  Out: each address by its version of IP. wan is card 0, lan card 1.
"""

from __future__ import annotations

WAN, LAN = 0, 1
ROUTER = {WAN: {4: "192.0.2.2", 6: "2001:db8::2"}, LAN: {4: "203.0.113.1", 6: "2001:db8:1::1"}}
FAR = {4: "198.51.100.9", 6: "2001:db8:5::9"}
"""A host that is reached through the gateway."""

HOST = {4: "203.0.113.5", 6: "2001:db8:1::5"}
MAILER = {4: "203.0.113.25", 6: "2001:db8:1::25"}
SERVER = {4: "203.0.113.80", 6: "2001:db8:1::80"}
INSIDE = {"host": HOST, "mailer": MAILER, "server": SERVER}
