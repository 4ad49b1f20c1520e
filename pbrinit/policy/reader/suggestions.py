"""What was probably meant by a name that is not defined.

In: the name, and what is defined.  Out: a hint for a person, or None.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pbrinit.policy.interfaces import Interface
from pbrinit.policy.reader.scalars import ScalarError, block, listed, parted, quoted
from pbrinit.policy.reader.services import service

LONGEST = 5
"""The digits of a port."""

LEFT_OUT = {
    "interface": "leave it out: that means every interface",
    "service": "name each; a deny entry without service denies every one",
    "user": "leave it out: that means any user",
    "program": "leave it out: that means every program that has no room",
}
"""Hints for "any", which is the name of no interface, service, user or program."""

ADDRESS = frozenset("0123456789abcdefABCDEF.:/-, ")
PING = 'write ping = "icmp/echo" in [service], and "ping" here'
KNOWN = {
    ("user", "root"): "write root = 0 in [user]",
    ("service", "icmp/echo"): PING,
    ("service", "ping"): PING,
    ("service", "echo"): PING,
    ("service", "icmp"): 'write icmp = "icmp" in [service]',
}
"""Hints for what people write who know the value and have given it no name."""


def name(kind: str, text: str, interfaces: Iterable[Interface]) -> str | None:
    """A hint for a name of an interface, service, user or program that is not defined."""
    if text == "any":
        return LEFT_OUT[kind]
    if (kind, text) in KNOWN:
        return KNOWN[kind, text]
    if kind == "service" and text.isascii() and text.isdigit():
        return f'write NAME = "tcp/{text[:LONGEST]}", or "udp/{text[:LONGEST]}", in [service]'
    if kind == "interface":
        names = [interface.name for interface in interfaces if interface.device == text]
        if names:
            return f'that is the device: write "{names[0]}", its name'
    if kind == "service" and "/" in text:
        return _with_name(kind, text)
    return listed(text)


def network(text: str, networks: Mapping[str, object]) -> str | None:
    """A hint for a name of a network that is not defined: a prefix, or a "!" for a "not"."""
    if text.startswith("!") and text[1:].strip() in networks:
        return f'did you mean "not {text[1:].strip()}"?'
    if ADDRESS.issuperset(text) and {".", ":"} & set(text):
        return _with_name("network", text)
    return listed(text)


def _with_name(kind: str, text: str) -> str:
    """A hint for a value in the place of a name: give it a name."""
    parse = block if kind == "network" else service
    parts = parted(text)
    try:
        for part in parts:
            parse(part)
    except ScalarError as error:
        range_hint = error.hint if kind == "network" and "-" in text else None
        named = f"give it a name in [{kind}], and write that name here"
        return f"{named}; {range_hint}" if range_hint else named
    value = f'"{text}"' if len(parts) == 1 else quoted(parts)
    return f'give it a name: NAME = {value} in [{kind}], and write "NAME" here'
