"""Where things are in a plan: bands of preferences, numbers of tables.

In: nothing.  Out: numbers and their names.  docs/how-it-filters.md explains the bands, in this
order.
"""

from __future__ import annotations

TABLE_SINK = 100
TABLE_LOG = 101
TABLE_DHCP, TABLE_ROUTERS = 200, 201
TABLE_HAIRPIN = 1000
TABLE_ROOMS = 2000
TABLE_SETS = 3000

DISPATCH = 0
OUTPUT = 100_000
INPUT = 200_000
INPUT_SIZE = 100_000
TAIL = 10_000_000
ROOMS = 11_000_000
ROOM_SIZE = 20_000

FEW = 8
"""A set of up to this many prefixes is written as rules, some 26 ns each; a larger one is a
table."""
