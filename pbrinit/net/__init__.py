"""Addresses, ports, services, ICMP numbers, special prefixes, packets: values, no behaviour."""
