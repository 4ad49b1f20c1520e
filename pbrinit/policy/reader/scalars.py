"""The scalar values of the language: each a string, parsed or refused with a reason.

In: one string.  Out: its value, or a `ScalarError` that says what is wrong and what was probably
meant.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import NamedTuple

from pbrinit.net.addresses import Address, Family, InterfaceAddress
from pbrinit.policy.policy import STAY, FailureAction, OnFailure
from pbrinit.wire.password_hash import FORMS, PasswordError, is_hash, matches

LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
LONGEST_HOSTNAME = 64  # __NEW_UTS_LEN, include/uapi/linux/utsname.h
LAST_WITH_ANYCAST = 126  # a link of two has no address of all its routers (RFC 6164, section 6)
LENGTH = re.compile(r"[0-9]{1,3}")
MAPPED = 0xFFFF
FEW_PREFIXES = 16
"""So many prefixes of a range are named in a hint."""

MULTICAST = {
    Family.V4: (224 << 24, (240 << 24) - 1),
    Family.V6: (0xFF << 120, (1 << 128) - 1),
}
ON_FAILURE = re.compile(r"([a-z]+)(?: after ([0-9]{1,5}) s)?")
ON_FAILURE_HINT = '"stay", "reboot after 30 s" or "poweroff after 5 s"'
LONGEST_PAUSE = 86400
MEMORY = re.compile(r"([1-9][0-9]{0,6}) ([KMG]iB)")
UNITS = {"KiB": 10, "MiB": 20, "GiB": 30}
LEAST_MEMORY, MOST_MEMORY = 1 << 20, 1 << 40
REBOOT_PAUSE = 30
"""Seconds between reboots of a machine that fails each time, so that a person can read why."""


class ScalarError(Exception):
    """One value that cannot be used: what is wrong, and a hint if there is one."""

    def __init__(self, what: str, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


def hostname(text: str) -> str:
    """A host name (RFC 1123, section 2.1) that the kernel accepts: at most 64 characters.

    Raises ScalarError.
    """
    if len(text) > LONGEST_HOSTNAME or not all(LABEL.fullmatch(part) for part in text.split(".")):
        raise ScalarError(f'"{text}" is not a host name', "letters, digits and -, at most 64")
    return text


def on_failure(text: str) -> OnFailure:
    """What the machine does after a failure: "stay", or "reboot" or "poweroff" after some seconds.

    Raises ScalarError.
    """
    words = ON_FAILURE.fullmatch(text)
    actions = [action.value for action in FailureAction]
    if words is None or words[1] not in actions:
        first = text.replace("-", "").split()[:1]
        close = difflib.get_close_matches(first[0].lower(), actions, n=1) if first else []
        meant = f'did you mean "{close[0]}"? ' if close else ""
        raise ScalarError(
            f'"{text}" is not an action on failure', f"{meant}write {ON_FAILURE_HINT}"
        )
    action = FailureAction(words[1])
    if action is FailureAction.STAY:
        if words[2] is not None:
            raise ScalarError(f'"{text}" has a time', 'to stay needs no time: write "stay"')
        return STAY
    seconds = int(words[2]) if words[2] else REBOOT_PAUSE * (action is FailureAction.REBOOT)
    if seconds > LONGEST_PAUSE:
        raise ScalarError(f'"{text}" is more than a day', f"at most {LONGEST_PAUSE} s")
    return OnFailure(action, seconds)


def password_hash(text: str) -> str:
    """The hash of a password. It is tried, since with a hash that cannot be checked no login works.

    Raises ScalarError.
    """
    hint = "`pbrctl password` makes one"
    if not is_hash(text):
        raise ScalarError(
            f"this is not the hash of a password in the form {' or '.join(FORMS)}", hint
        )
    try:
        matches("", text)
    except PasswordError as error:
        raise ScalarError(str(error), hint) from None
    return text


def memory(text: str) -> int:
    """An amount of memory, in bytes: "16 MiB".

    Raises ScalarError.
    """
    words = MEMORY.fullmatch(text)
    if words is None:
        raise ScalarError(f'"{text}" is no amount of memory', 'such as "16 MiB"')
    size = int(words[1]) << UNITS[words[2]]
    if not LEAST_MEMORY <= size <= MOST_MEMORY:
        raise ScalarError(f"{text} is out of bounds", "at least 1 MiB, at most 1024 GiB")
    return size


def address(text: str) -> Address:
    """An address of either family.

    Raises ScalarError.
    """
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        raise ScalarError(f'"{text}" is not an address', 'such as "192.0.2.1"') from None
    _check_not_scoped(text)
    return parsed


def interface_address(text: str) -> InterfaceAddress:
    """An address that an interface can have, with the length of its prefix.

    Raises ScalarError, also for addresses that no host can have.
    """
    if "/" not in text:
        raise ScalarError(f'"{text}" has no prefix length', 'such as "192.0.2.2/24"')
    try:
        parsed = ipaddress.ip_interface(text)
    except ValueError:
        raise ScalarError(f'"{text}" is not an address with a prefix length') from None
    _check_not_scoped(text)
    ip = parsed.ip
    if not text.partition("/")[2].isdigit():
        raise ScalarError(
            f"{text} has no length after the /", f'write "{ip}/{parsed.network.prefixlen}"'
        )
    if ip.is_multicast or ip.is_loopback or ip.is_unspecified:
        raise ScalarError(f"{ip} cannot be an interface's address")
    if isinstance(parsed, ipaddress.IPv6Interface):
        if parsed.ip.ipv4_mapped is not None:
            raise _mapped(parsed.ip)
        if parsed.ip.is_link_local:
            raise ScalarError(f"{ip} is link-local", "the kernel sets that address itself")
        routers = parsed.network.prefixlen <= LAST_WITH_ANYCAST
        if routers and ip == parsed.network.network_address:
            raise ScalarError(
                f"{ip} is the address of every router of the subnet", "RFC 4291, section 2.6.1"
            )
    elif parsed.network.prefixlen < 31 and ip in (  # noqa: PLR2004  RFC 3021
        parsed.network.network_address,
        parsed.network.broadcast_address,
    ):
        raise ScalarError(
            f"{text} is a network address or a broadcast address", "write a host's address"
        )
    return parsed


class Block(NamedTuple):
    """A prefix, by its first and its last address."""

    family: Family
    first: int
    last: int


def block(text: str) -> Block:
    """A prefix, or a single address. Lists of these are long, and ipaddress takes ten times as
    long, so it is not used here.

    Raises ScalarError; for bits set beyond the length its hint is the prefix that was probably
    meant.
    """
    host, slash, digits = text.partition("/")
    family = Family.V6 if ":" in host else Family.V4
    try:
        first = int.from_bytes(socket.inet_pton(family, host))
    except (OSError, ValueError):
        hint = _of_range(text) or 'such as "198.51.100.0/24"'
        raise ScalarError(f'"{text}" is not a prefix', hint) from None
    length = family.bits
    if slash:
        length = int(digits) if LENGTH.fullmatch(digits) else family.bits + 1
    if length > family.bits:
        what = f"{text} has no length from 0 to {family.bits} after the /"
        raise ScalarError(what, _without_mask(text))
    rest = (1 << family.bits - length) - 1
    if first & rest:
        meant = family.prefix(first & ~rest, length)
        raise ScalarError(f"{text} has bits set beyond its length", f'did you mean "{meant}"?')
    if family is Family.V6 and first >> 32 == MAPPED:
        raise _mapped(ipaddress.IPv6Address(first))
    group_first, group_last = MULTICAST[family]
    if group_first <= first and first + rest <= group_last:
        raise ScalarError(
            f"{text} is multicast", "no packet comes from there, and none is sent there"
        )
    return Block(family, first, first + rest)


def _of_range(text: str) -> str | None:
    """A hint with the prefixes that a range of addresses makes: its last address, or what is
    different in it, stands after a "-".
    """
    first, dash, last = (part.strip() for part in text.partition("-"))
    if last.isascii() and last.isdigit():
        last = f"{first.rpartition('.')[0]}.{last}"
    try:
        ends = ipaddress.ip_address(first), ipaddress.ip_address(last)
        prefixes = [str(found) for found in ipaddress.summarize_address_range(*ends)]
    except (ValueError, TypeError):
        return None
    if not dash:
        return None
    few = quoted(prefixes) if len(prefixes) <= FEW_PREFIXES else f"{len(prefixes)} prefixes"
    return f"a range is written as prefixes: {few}"


def _without_mask(text: str) -> str | None:
    """A hint with the prefix that a netmask of IPv4 makes."""
    try:
        network = ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        return None
    return f'did you mean "{network}"?'


def parted(text: str) -> list[str]:
    """The parts of a string with commas, which is one string to TOML. The protocol before the
    first port is that of all ports.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    protocol, slash, _ = text.partition("/")
    if protocol.lower() in ("tcp", "udp"):
        parts = [part if "/" in part else f"{protocol}{slash}{part}" for part in parts]
    return parts


def quoted(parts: Iterable[str]) -> str:
    """Strings as TOML writes a list of them."""
    words = ", ".join(f'"{part}"' for part in parts)
    return f"[{words}]"


def listed(text: str) -> str | None:
    """A hint for a list that is written as one string; None where it is no list."""
    parts = parted(text)
    return f"put each in quotes of its own: {quoted(parts)}" if len(parts) > 1 else None


def _check_not_scoped(text: str) -> None:
    if "%" in text:
        raise ScalarError(f"{text} names a device after the %", "leave that out")


def _mapped(ip: ipaddress.IPv6Address) -> ScalarError:
    return ScalarError(
        f"{ip} is an IPv4 address written as IPv6, which no packet carries",
        f'did you mean "{ip.ipv4_mapped}"?',
    )
