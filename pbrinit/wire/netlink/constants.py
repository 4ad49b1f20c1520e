"""The numbers of netlink and rtnetlink, by the names that the kernel's headers give them.

In: nothing.  Out: plain ints.  Sources: linux/netlink.h, linux/rtnetlink.h, linux/fib_rules.h,
linux/if_addr.h, linux/if_link.h, linux/neighbour.h, linux/veth.h, linux/if.h; netlink(7),
rtnetlink(7).
"""

from __future__ import annotations

# Messages of netlink itself, and flags of every message (linux/netlink.h).
NLMSG_NOOP, NLMSG_ERROR, NLMSG_DONE = 1, 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP_INTR = 0x1, 0x4, 0x10
NLM_F_ROOT, NLM_F_MATCH = 0x100, 0x200
NLM_F_DUMP = NLM_F_ROOT | NLM_F_MATCH
NLM_F_EXCL, NLM_F_CREATE = 0x200, 0x400
SOL_NETLINK, NETLINK_GET_STRICT_CHK = 270, 12

# Messages of rtnetlink (linux/rtnetlink.h).
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH = 28
RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34

# Neighbours (linux/neighbour.h): attributes, states.
NDA_DST, NDA_LLADDR = 1, 2
NUD_PERMANENT = 0x80

# Routes (linux/rtnetlink.h): types, origins, scopes, tables, flags, attributes.
RTN_UNICAST, RTN_LOCAL, RTN_BROADCAST, RTN_ANYCAST, RTN_MULTICAST = 1, 2, 3, 4, 5
RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT, RTN_THROW = 6, 7, 8, 9
RTPROT_KERNEL, RTPROT_STATIC = 2, 4
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RT_SCOPE_HOST = 0, 253, 254
RT_TABLE_DEFAULT, RT_TABLE_MAIN, RT_TABLE_LOCAL = 253, 254, 255
RTM_F_CLONED, RTM_F_LOOKUP_TABLE = 0x200, 0x1000
RTNH_F_ONLINK = 0x4
RTA_DST, RTA_SRC, RTA_IIF, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC = 1, 2, 3, 4, 5, 6, 7
RTA_CACHEINFO, RTA_TABLE, RTA_PREF = 12, 15, 20
RTA_UID, RTA_IP_PROTO, RTA_SPORT, RTA_DPORT = 25, 27, 28, 29

# Rules (linux/fib_rules.h): actions, attributes.
FR_ACT_TO_TBL, FR_ACT_GOTO, FR_ACT_NOP, FR_ACT_BLACKHOLE, FR_ACT_PROHIBIT = 1, 2, 3, 6, 8
FRA_DST, FRA_SRC, FRA_IIFNAME, FRA_GOTO, FRA_PRIORITY = 1, 2, 3, 4, 6
FRA_SUPPRESS_PREFIXLEN, FRA_TABLE, FRA_OIFNAME = 14, 15, 17
FRA_UID_RANGE, FRA_PROTOCOL, FRA_IP_PROTO = 20, 21, 22
FRA_SPORT_RANGE, FRA_DPORT_RANGE, FRA_SPORT_MASK, FRA_DPORT_MASK = 23, 24, 28, 29

# Addresses (linux/if_addr.h): attributes, flags.
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS = 1, 2, 4, 8
IFA_F_NODAD, IFA_F_DADFAILED, IFA_F_TENTATIVE = 0x02, 0x08, 0x40

# Links (linux/if_link.h, linux/if.h, linux/veth.h): attributes, flags.
IFLA_ADDRESS, IFLA_IFNAME, IFLA_LINKINFO, IFLA_GROUP, IFLA_NET_NS_FD = 1, 3, 18, 27, 28
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFF_UP, IFF_NOARP = 0x1, 0x80

LOOPBACK_INDEX = 1
"""The index of loopback in every network namespace (loopback_net_init, drivers/net/loopback.c)."""
