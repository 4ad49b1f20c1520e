"""What was likely meant by a text that names nothing.

In: the text, and what there is to be named.  Out: a hint for a person, or None.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pbrinit.policy.interfaces import Interface
from pbrinit.policy.reader.scalars import AtomError, block, listed, parted, quoted
from pbrinit.policy.reader.services import service

LEFT_OUT = {
    "interface": "leave it out: every interface is meant then",
    "service": "name each; a deny entry without service takes every one away",
    "user": "leave it out: any user is meant then",
    "program": "leave it out: every program that has no room is meant then",
}
"""Instead of "any", which only a network can be."""

ADDRESS = frozenset("0123456789abcdefABCDEF.:/, ")


def name(kind: str, text: str, interfaces: Iterable[Interface]) -> str | None:
    """For a word that names no interface, service, user or program."""
    if text == "any":
        return LEFT_OUT[kind]
    if kind == "interface":
        names = [found.name for found in interfaces if found.device == text]
        if names:
            return f'that is the device: write "{names[0]}", its name'
    if kind == "service" and "/" in text:
        return _with_name(kind, text)
    return listed(text)


def network(text: str, networks: Mapping[str, object]) -> str | None:
    """For a word that names no network: a prefix, or a "!" for a "not"."""
    if text.startswith("!") and text[1:].strip() in networks:
        return f'did you mean "not {text[1:].strip()}"?'
    if ADDRESS.issuperset(text) and {".", ":"} & set(text):
        return _with_name("network", text)
    return listed(text)


def _with_name(kind: str, text: str) -> str:
    """How to give a name to what stands where one should; what is wrong with it is said there."""
    parse = block if kind == "network" else service
    parts = parted(text)
    try:
        for part in parts:
            parse(part)
    except AtomError:
        return f"give it a name in [{kind}], and write that name here"
    value = f'"{text}"' if len(parts) == 1 else quoted(parts)
    return f'give it a name: NAME = {value} in [{kind}], and write "NAME" here'
