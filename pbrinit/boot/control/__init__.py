"""pbrctl on the machine: queries, actions, and the broker for programs."""
