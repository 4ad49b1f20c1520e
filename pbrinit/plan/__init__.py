"""What is configured in the kernel: the plan, as ip commands, netlink messages, and boot plan."""
