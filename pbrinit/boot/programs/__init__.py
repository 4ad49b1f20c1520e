"""Starts the programs of the policy, each in its room, and keeps them running."""
