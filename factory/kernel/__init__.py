"""The kernel: source, options, command line, compilation, what is in it."""
