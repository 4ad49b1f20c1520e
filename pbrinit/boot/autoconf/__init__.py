"""Processes that ask for addresses, and the one that applies what they get."""
