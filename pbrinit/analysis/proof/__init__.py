"""The same questions for every packet, by z3; z3 is imported here alone."""
