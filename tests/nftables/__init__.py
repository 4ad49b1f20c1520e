"""The policies of examples/ once more, written for nftables by hand, and both asked the same."""
