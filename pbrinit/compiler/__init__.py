"""A policy to the plan that enforces it."""
