"""Where each key of the language belongs, for those who write one elsewhere.

In: nothing.  Out: `HOMES`, a hint for each key that is in one kind of table alone, or in few.
"""

from __future__ import annotations

from collections.abc import Mapping

TOP = "it belongs at the head of the file, above the first [section]"
INTERFACE = "it belongs in [interface.NAME]"
ENTRY = "it belongs in an entry: [[input]], [[output]], [[forward]] or [[deny]]"
EXPECTED = "it belongs in [[expect]]"

HOMES: Mapping[str, str] = {
    "hostname": TOP,
    "on-failure": TOP,
    "device": INTERFACE,
    "mac": INTERFACE,
    "address": INTERFACE,
    "gateway": INTERFACE,
    "route": INTERFACE,
    "file": 'it belongs in [network]: NAME = { file = "…" }',
    "on": ENTRY,
    "in": "it belongs in [[forward]]",
    "out": "it belongs in [[forward]]",
    "from": ENTRY,
    "to": ENTRY,
    "clients": "it belongs in [[forward]]",
    "reject": "it belongs in [[deny]]",
    "log": "it belongs in [[deny]], or at the head of the file, above the first [section]",
    "never": EXPECTED,
    "always": EXPECTED,
}
