"""A TOML file to a policy, or all of its problems at once. No other room knows TOML."""
