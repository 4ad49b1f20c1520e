"""The words of the language: one text each, parsed or refused with a reason.

In: the text of one value.  Out: the value, or an `AtomError` that says what is wrong and
what was likely meant.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import NamedTuple

from pbrinit.net.addresses import Address, Family, InterfaceAddress
from pbrinit.policy.policy import STAY, Ending, OnFailure
from pbrinit.wire.password_hash import FORMS, PasswordError, is_hash, matches

LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
LONGEST_HOSTNAME = 64  # __NEW_UTS_LEN, include/uapi/linux/utsname.h
LAST_WITH_ANYCAST = 126  # a link of two has no address of all its routers (RFC 6164, section 6)
LENGTH = re.compile(r"[0-9]{1,3}")
MAPPED = 0xFFFF
MULTICAST = {
    Family.V4: (224 << 24, (240 << 24) - 1),
    Family.V6: (0xFF << 120, (1 << 128) - 1),
}
ON_FAILURE = re.compile(r"([a-z]+)(?: after ([0-9]{1,5}) s)?")
ON_FAILURE_HINT = '"stay", "reboot after 30 s" or "poweroff after 5 s"'
LONGEST_PAUSE = 86400
REBOOT_PAUSE = 30
"""Between reboots of a machine that fails each time, so that a person can read why."""


class AtomError(Exception):
    """One value that cannot be used: what is wrong, and the way out where there is one."""

    def __init__(self, what: str, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


def hostname(text: str) -> str:
    """A host name (RFC 1123, section 2.1) that the kernel takes: at most 64 characters.

    Raises AtomError.
    """
    if len(text) > LONGEST_HOSTNAME or not all(LABEL.fullmatch(part) for part in text.split(".")):
        raise AtomError(f'"{text}" is no host name', "letters, digits and -, at most 64")
    return text


def on_failure(text: str) -> OnFailure:
    """What a machine does that is closed: "stay", or "reboot" or "poweroff" after some seconds.

    Raises AtomError.
    """
    words = ON_FAILURE.fullmatch(text)
    known = [ending.value for ending in Ending]
    if words is None or words[1] not in known:
        first = text.replace("-", "").split()[:1]
        near = difflib.get_close_matches(first[0].lower(), known, n=1) if first else []
        meant = f'did you mean "{near[0]}"? ' if near else ""
        raise AtomError(f'"{text}" is nothing to do on failure', f"{meant}write {ON_FAILURE_HINT}")
    ending = Ending(words[1])
    if ending is Ending.STAY:
        if words[2] is not None:
            raise AtomError(f'"{text}" ends nothing', 'to stay needs no time: write "stay"')
        return STAY
    seconds = int(words[2]) if words[2] else REBOOT_PAUSE * (ending is Ending.REBOOT)
    if seconds > LONGEST_PAUSE:
        raise AtomError(f'"{text}" is more than a day', f"at most {LONGEST_PAUSE} s")
    return OnFailure(ending, seconds)


def password_hash(text: str) -> str:
    """The hash of a password, which is tried: a hash that cannot be checked lets nobody in.

    Raises AtomError.
    """
    hint = "`pbrctl password` makes one"
    if not is_hash(text):
        raise AtomError(f"this is no hash of a password in the form {' or '.join(FORMS)}", hint)
    try:
        matches("", text)
    except PasswordError as error:
        raise AtomError(str(error), hint) from None
    return text


def address(text: str) -> Address:
    """An address of either family.

    Raises AtomError.
    """
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        raise AtomError(f'"{text}" is no address', 'such as "192.0.2.1"') from None
    _not_scoped(text)
    return found


def interface_address(text: str) -> InterfaceAddress:
    """An address that an interface can have, with the length of its prefix.

    Raises AtomError for what no host can be addressed by.
    """
    if "/" not in text:
        raise AtomError(f'"{text}" has no prefix length', 'such as "192.0.2.2/24"')
    try:
        found = ipaddress.ip_interface(text)
    except ValueError:
        raise AtomError(f'"{text}" is no address with a prefix length') from None
    _not_scoped(text)
    ip = found.ip
    if not text.partition("/")[2].isdigit():
        raise AtomError(
            f"{text} has no length after the /", f'write "{ip}/{found.network.prefixlen}"'
        )
    if ip.is_multicast or ip.is_loopback or ip.is_unspecified:
        raise AtomError(f"{ip} cannot be an interface's address")
    if isinstance(found, ipaddress.IPv6Interface):
        if found.ip.ipv4_mapped is not None:
            raise _mapped(found.ip)
        if found.ip.is_link_local:
            raise AtomError(f"{ip} is link-local", "the kernel makes that one by itself")
        routers = found.network.prefixlen <= LAST_WITH_ANYCAST
        if routers and ip == found.network.network_address:
            raise AtomError(f"{ip} is every router of the subnet", "RFC 4291, section 2.6.1")
    elif found.network.prefixlen < 31 and ip in (  # noqa: PLR2004  RFC 3021
        found.network.network_address,
        found.network.broadcast_address,
    ):
        raise AtomError(f"{text} is the network itself or its broadcast", "write a host's address")
    return found


class Block(NamedTuple):
    """A prefix, by its first and its last address."""

    family: Family
    first: int
    last: int


def block(text: str) -> Block:
    """A prefix, or an address that stands for itself alone. Lists of these are long, so that
    this one does not go through ipaddress, which takes ten times as long.

    Raises AtomError; for bits set beyond the length it says which prefix was likely meant.
    """
    host, slash, digits = text.partition("/")
    family = Family.V6 if ":" in host else Family.V4
    try:
        first = int.from_bytes(socket.inet_pton(family, host))
    except (OSError, ValueError):
        raise AtomError(f'"{text}" is no prefix', 'such as "198.51.100.0/24"') from None
    length = family.bits
    if slash:
        length = int(digits) if LENGTH.fullmatch(digits) else family.bits + 1
    if length > family.bits:
        what = f"{text} has no length from 0 to {family.bits} after the /"
        raise AtomError(what, _without_mask(text))
    rest = (1 << family.bits - length) - 1
    if first & rest:
        meant = family.prefix(first & ~rest, length)
        raise AtomError(f"{text} has bits set beyond its length", f'did you mean "{meant}"?')
    if family is Family.V6 and first >> 32 == MAPPED:
        raise _mapped(ipaddress.IPv6Address(first))
    group_first, group_last = MULTICAST[family]
    if group_first <= first and first + rest <= group_last:
        raise AtomError(
            f"{text} is multicast", "nobody sends from there, and nothing is sent there"
        )
    return Block(family, first, first + rest)


def _without_mask(text: str) -> str | None:
    """The prefix that a netmask makes, in IPv4."""
    try:
        found = ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        return None
    return f'did you mean "{found}"?'


def parted(text: str) -> list[str]:
    """What commas part, which is one text to TOML; ports are of the protocol that stands before
    the first.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    protocol, slash, _ = text.partition("/")
    if protocol.lower() in ("tcp", "udp"):
        parts = [part if "/" in part else f"{protocol}{slash}{part}" for part in parts]
    return parts


def quoted(parts: Iterable[str]) -> str:
    """Some texts as TOML has a list of them."""
    words = ", ".join(f'"{part}"' for part in parts)
    return f"[{words}]"


def listed(text: str) -> str | None:
    """How to write a list that stands in one text; None where it is none."""
    parts = parted(text)
    return f"each stands in quotes of its own: {quoted(parts)}" if len(parts) > 1 else None


def _not_scoped(text: str) -> None:
    if "%" in text:
        raise AtomError(f"{text} names a device after the %", "leave that out")


def _mapped(ip: ipaddress.IPv6Address) -> AtomError:
    return AtomError(
        f"{ip} is IPv4 in IPv6's clothes, which no packet carries",
        f'did you mean "{ip.ipv4_mapped}"?',
    )
