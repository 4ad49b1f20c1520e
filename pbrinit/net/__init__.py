"""Addresses, ports, services, ICMP numbers, special prefixes, a packet: values alone."""
