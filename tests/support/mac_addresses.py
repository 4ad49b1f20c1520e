"""Hardware addresses of a guest's cards, and of the peers at the other ends of their cables.

In: nothing.  Out: addresses as text; the first is of the first card.
"""

from __future__ import annotations

PEER_MACS = ("52:54:00:00:00:fe", "52:54:00:00:01:fe")
GUEST_MACS = ("52:54:00:12:34:56", "52:54:00:12:34:57")
MAC, GUEST_MAC, GUEST_LAN_MAC = PEER_MACS[0], *GUEST_MACS
