"""DHCP for IPv4: messages, the client's state machine, leases (RFC 2131)."""
