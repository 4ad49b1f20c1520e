"""What the person asked for: a policy, its parts, and its addresses that are assigned later."""
