"""Questions that are asked of policy and plan together."""
