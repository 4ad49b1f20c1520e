"""Links, addresses, routes and rules of the kernel: set, read back, compared."""
