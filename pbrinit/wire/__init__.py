"""Bytes that host and appliance share, in the small Python of the boot path."""
