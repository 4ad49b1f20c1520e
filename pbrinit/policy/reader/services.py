"""Services and ports as a policy writes them: one text each, parsed or refused with a reason.

In: the text of one value.  Out: a `Service` or `Ports`, or an `AtomError` that says what is wrong
and what was likely meant.
"""

from __future__ import annotations

import re

from pbrinit.net.services import Ports, Protocol, Service
from pbrinit.policy.reader.scalars import AtomError

LOWEST_PORT, HIGHEST_PORT = 1, 65534  # fib_rule_port_range_valid, include/net/fib_rules.h
HIGHEST_PROTOCOL = 255
LONGEST_NUMBER = 5
WITH_OWN_WORD = {
    Protocol.TCP: 'write "tcp/…"',
    Protocol.UDP: 'write "udp/…"',
    Protocol.ICMP: 'write "icmp", or "icmp/echo" for ping',
    Protocol.ICMPV6: 'write "icmp", or "icmp/echo" for ping: they are for both families',
}
SERVICE_HINT = 'such as "tcp/22", "udp/5000-5010", "icmp/echo", "icmp" or "ip/47"'
PORTS_HINT = 'such as "1024-65534"'


def service(text: str) -> Service:
    """`tcp/22`, `udp/5000-5010`, `icmp/echo`, `icmp`, or `ip/47` for any other protocol by number.

    Raises AtomError.
    """
    found = _service(text)
    if found is None:
        raise AtomError(f'"{text}" is no service', _service_meant(text) or SERVICE_HINT)
    return found


def _service(text: str) -> Service | None:
    """The service, None where it is written otherwise. Raises AtomError for its number alone."""
    protocol, slash, rest = text.partition("/")
    if text in ("icmp", "icmp/echo"):
        return Service(Protocol.ICMP, echo=bool(slash))
    if protocol in ("tcp", "udp") and slash:
        return Service(Protocol[protocol.upper()], _ports(text, rest, SERVICE_HINT))
    if protocol == "ip" and rest.isascii() and rest.isdigit():
        return Service(_protocol(rest))
    return None


def _service_meant(text: str) -> str | None:
    """The service in what others write for one: TCP/22, 22/tcp, tcp:22, "tcp 22"."""
    words = re.split(r"[/:\s]+", text.strip().lower())
    if words[0].isdigit():
        words.reverse()
    found = "/".join(words)
    try:
        return f'did you mean "{found}"?' if _service(found) is not None else None
    except AtomError:
        return None


def ports(text: str) -> Ports:
    """A port or a range of ports: `1024-65534`.

    Raises AtomError.
    """
    return _ports(text, text, PORTS_HINT)


def _ports(text: str, rest: str, hint: str) -> Ports:
    first, dash, last = rest.partition("-")
    ends = (first, last if dash else first)
    if not all(end.isascii() and end.isdigit() and len(end) <= LONGEST_NUMBER for end in ends):
        raise AtomError(f'"{text}" has no port number', hint)
    found = Ports(*(int(end) for end in ends))
    if found.first > found.last:
        raise AtomError(f"{text} ends before it begins", f"did you mean {last}-{first}?")
    if found.first < LOWEST_PORT or found.last > HIGHEST_PORT:
        raise AtomError(
            f"{text} is not within {LOWEST_PORT}-{HIGHEST_PORT}",
            "the kernel's rules cannot name port 0 and port 65535",
        )
    return found


def _protocol(text: str) -> int:
    number = int(text) if len(text) <= LONGEST_NUMBER else HIGHEST_PROTOCOL + 1
    if not 1 <= number <= HIGHEST_PROTOCOL:
        raise AtomError(f"ip/{text} is not within 1-{HIGHEST_PROTOCOL}")
    if number in WITH_OWN_WORD:
        raise AtomError(f"ip/{number} has a word of its own", WITH_OWN_WORD[Protocol(number)])
    return number
