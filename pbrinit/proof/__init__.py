"""The proof that a plan does what its policy means, for every packet: docs/proof.md.

classes → lookups → steps → case → obligations → prover; judge puts single packets to both sides.
z3 is imported here alone, and nothing that boots or only checks a policy imports this; but judge,
which needs none, is what pbrctl on the appliance asks.
"""
