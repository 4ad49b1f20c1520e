"""What filtering costs: `make bench`."""
