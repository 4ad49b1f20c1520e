"""Tools that others wrote, asked what they see of the appliance: it is on a tap, they beside it."""
