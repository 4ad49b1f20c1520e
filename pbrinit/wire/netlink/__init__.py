"""rtnetlink messages: constants, a socket, route dumps, notifications."""
