"""What a policy means, packet by packet; apart from the compiler, so that it can judge it."""
