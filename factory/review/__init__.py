"""The review of a kernel's configuration."""
