"""Services and ports as a policy writes them, parsed or refused with a reason.

In: one string.  Out: a `Service` or `Ports`, or a `ScalarError` that says what is wrong and what
was probably meant.
"""

from __future__ import annotations

import re

from pbrinit.net.services import REMOTE_EPHEMERAL_PORTS, Ports, Protocol, Service
from pbrinit.policy.reader.scalars import ScalarError

LOWEST_PORT, HIGHEST_PORT = 1, 65534  # fib_rule_port_range_valid, include/net/fib_rules.h
HIGHEST_PROTOCOL = 255
LONGEST_NUMBER = 5
WITH_OWN_NAME = {
    Protocol.TCP: 'write "tcp/…"',
    Protocol.UDP: 'write "udp/…"',
    Protocol.ICMP: 'write "icmp", or "icmp/echo" for ping',
    Protocol.ICMPV6: 'write "icmp", or "icmp/echo" for ping: they are for both families',
}
SERVICE_HINT = 'such as "tcp/22", "udp/5000-5010", "icmp/echo", "icmp" or "ip/47"'
TYPES_HINT = 'of ICMP there are "icmp/echo" (ping) and "icmp" (all of it), in both families'
FEWEST_EPHEMERAL = 4096
EPHEMERAL_HINT = 'such as "32768-51819"'
PORTS_HINT = 'such as "1024-65534"'


def service(text: str) -> Service:
    """Parse `tcp/22`, `udp/5000-5010`, `icmp/echo`, `icmp`, or `ip/47` for any other protocol.

    Raises ScalarError.
    """
    parsed = _service(text)
    if parsed is None:
        raise ScalarError(f'"{text}" is not a service', _suggestion(text) or SERVICE_HINT)
    return parsed


def _service(text: str) -> Service | None:
    """The service; None for any other form. Raises ScalarError for a number that cannot be used."""
    protocol, slash, rest = text.partition("/")
    if text in ("icmp", "icmp/echo"):
        return Service(Protocol.ICMP, echo=bool(slash))
    if protocol in ("tcp", "udp") and slash:
        return Service(Protocol[protocol.upper()], _ports(text, rest, SERVICE_HINT))
    if protocol == "ip" and rest.isascii() and rest.isdigit():
        return Service(_protocol(rest))
    return None


def _suggestion(text: str) -> str | None:
    """A hint for what others write for a service: TCP/22, 22/tcp, tcp:22, "tcp 22"."""
    words = re.split(r"[/:\s]+", text.strip().lower())
    if words[0] in ("icmp", "icmpv6", "icmp6", "ping"):
        return TYPES_HINT
    if words[0].isdigit():
        words.reverse()
    meant = "/".join(words)
    try:
        return f'did you mean "{meant}"?' if _service(meant) is not None else None
    except ScalarError:
        return None


def ports(text: str) -> Ports:
    """Parse a port or a range of ports: `1024-65534`.

    Raises ScalarError.
    """
    return _ports(text, text, PORTS_HINT)


def ephemeral_ports(text: str) -> Ports:
    """Parse the ephemeral ports of this machine. Other hosts have theirs in the same range, so an
    answer to any host is one to such a port.

    Raises ScalarError.
    """
    found = ports(text)
    if found not in REMOTE_EPHEMERAL_PORTS:
        raise ScalarError(f"{text} is not within {REMOTE_EPHEMERAL_PORTS}", EPHEMERAL_HINT)
    if found.last - found.first + 1 < FEWEST_EPHEMERAL:
        raise ScalarError(f"{text} are fewer than {FEWEST_EPHEMERAL} ports", EPHEMERAL_HINT)
    return found


def _ports(text: str, rest: str, hint: str) -> Ports:
    first, dash, last = rest.partition("-")
    ends = (first, last if dash else first)
    if not all(end.isascii() and end.isdigit() and len(end) <= LONGEST_NUMBER for end in ends):
        raise ScalarError(f'"{text}" has no port number', hint)
    parsed = Ports(*(int(end) for end in ends))
    if parsed.first > parsed.last:
        raise ScalarError(f"{text} ends before it begins", f"did you mean {last}-{first}?")
    if parsed.first < LOWEST_PORT or parsed.last > HIGHEST_PORT:
        raise ScalarError(
            f"{text} is not within {LOWEST_PORT}-{HIGHEST_PORT}",
            "the kernel's rules cannot match port 0 and port 65535",
        )
    return parsed


def _protocol(text: str) -> int:
    number = int(text) if len(text) <= LONGEST_NUMBER else HIGHEST_PROTOCOL + 1
    if not 1 <= number <= HIGHEST_PROTOCOL:
        raise ScalarError(f"ip/{text} is not within 1-{HIGHEST_PROTOCOL}")
    if number in WITH_OWN_NAME:
        raise ScalarError(f"ip/{number} has a name of its own", WITH_OWN_NAME[Protocol(number)])
    return number
