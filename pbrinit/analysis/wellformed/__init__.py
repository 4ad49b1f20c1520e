"""Whether the kernel takes a plan as it is written: nothing refused, nothing read as wider."""
