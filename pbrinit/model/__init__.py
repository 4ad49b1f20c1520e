"""What Linux does with one packet under a plan."""
