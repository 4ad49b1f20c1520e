"""What an administrator requests: the policy, its parts, and addresses that are assigned later."""
