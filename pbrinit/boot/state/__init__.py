"""What stands in files below /run."""
