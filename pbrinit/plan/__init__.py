"""What the kernel is told: the plan, as ip commands, as netlink messages, as boot plan."""
