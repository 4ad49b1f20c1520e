"""The kernel: source, options, command line, compilation, contents."""
