"""A TOML file to a policy, or every problem in it at once. Only this room knows TOML."""
