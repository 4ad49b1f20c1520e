"""The command line, and the one way from a file to a boot plan."""
