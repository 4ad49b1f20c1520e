"""What the model assumes of a plan beside its rules and routes, and what programs are told."""
