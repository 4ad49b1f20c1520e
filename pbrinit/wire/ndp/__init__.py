"""Router advertisements: messages, the client's state machine, addresses (RFC 4861, 4862)."""
