"""A policy about sources: two interfaces, with another address each.

In: nothing.  Out: its text.
"""

POLICY = """
hostname = "source"
[interface.wan]
device  = "eth0"
address = ["192.0.2.2/24", "2001:db8::2/64"]
gateway = ["192.0.2.1", "2001:db8::1"]
[interface.lan]
device  = "eth1"
address = ["10.0.0.1/24", "2001:db8:1::1/64"]
[service]
ssh = "tcp/22"
web = "tcp/80"
ntp = "udp/123"
[user]
clock = 1001
[[output]]
on = "wan"
service = "ssh"
[[input]]
on = "wan"
service = "web"
[[output]]
on = "lan"
service = "ntp"
user = "clock"
"""
