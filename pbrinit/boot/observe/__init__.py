"""Status, counters, the log of refused packets, the metrics page."""
