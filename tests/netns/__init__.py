"""Plans in force on the kernel of this machine, in network namespaces made for it."""
