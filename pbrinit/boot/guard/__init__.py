"""Keeps the kernel equal to the plan; tries, switches and rolls back plans."""
