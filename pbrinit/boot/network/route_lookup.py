"""The kernel's own look-up of one packet, return path check included: what `ip route get` asks.

In: a question such as `in wan tcp 198.51.100.9:40000 > 192.0.2.2:22`.  Out: what becomes of the
packet, and of its answer.  Source: inet_rtm_getroute in net/ipv4/route.c, inet6_rtm_getroute in
net/ipv6/route.c; rtnetlink(7).

The kernel looks up TCP, UDP and ICMP, and does not say by which rule it decided: that says
`pbrctl explain` where the policy is, from the plan.
"""

from __future__ import annotations

import _socket
import errno
import os
import struct
from types import SimpleNamespace

from pbrinit.boot.network import links
from pbrinit.boot.network.routes import KINDS
from pbrinit.wire import decimal_number
from pbrinit.wire.netlink.route_dump import ROUTE, SIZES
from pbrinit.wire.netlink.socket import ATTRIBUTE, HEADER, attributes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pbrinit.wire.bootplan import BootPlan
    from pbrinit.wire.netlink.socket import Kernel

    End = tuple[str, int]

FORMS = (
    "in INTERFACE tcp|udp|icmp SOURCE > DESTINATION [as USER]",
    "out tcp|udp|icmp [SOURCE] > DESTINATION [as USER] [by INTERFACE]",
)
RTM_GETROUTE, NLM_F_REQUEST = 26, 1
RTM_F_LOOKUP_TABLE = 0x1000
RTA_DST, RTA_SRC, RTA_IIF, RTA_OIF, RTA_PREFSRC, RTA_TABLE = 1, 2, 3, 4, 7, 15
RTA_UID, RTA_IP_PROTO, RTA_SPORT, RTA_DPORT = 25, 27, 28, 29
PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1}
ICMP, ICMPV6 = 1, 58
PORT_RANGE = "net/ipv4/ip_local_port_range"
"""The ports that clients take; every plan sets it."""

HIGHEST_PORT = 65535
HIGHEST_UID = 2**32 - 2
TABLES = {254: "main", 255: "local"}
UNICAST, LOCAL = 1, 2
WHY = {
    errno.EACCES: "a rule prohibits it",
    errno.EINVAL: "a rule drops it, or an address is one that no packet has here",
    errno.EHOSTUNREACH: "no rule lets it in",
    errno.ENETUNREACH: "no rule takes it",
    errno.EXDEV: "the return path check: nobody there is spoken to",
}


class QuestionError(Exception):
    """A question that cannot be understood; the text says why."""


class Question:
    """A packet and its way: `came` and `bound` are devices, or nothing."""

    def __init__(
        self,
        protocol: int,
        ends: tuple[End, End],
        uid: int,
        arrives_on: str = "",
        bound_to: str = "",
    ) -> None:
        self.protocol = protocol
        self.source, self.destination = ends
        self.uid = uid
        self.arrives_on = arrives_on
        self.bound_to = bound_to

    @property
    def family(self) -> int:
        """AF_INET or AF_INET6."""
        return _family(self.destination[0])

    def answer(self, source: str, device: str) -> Question:
        """What is sent back: from this machine, or by `device` to the `source` it chose."""
        if self.arrives_on:
            return Question(self.protocol, (self.destination, self.source), self.uid)
        ends = (self.destination, (source, self.source[1]))
        return Question(self.protocol, ends, self.uid, arrives_on=device)

    def message(self) -> bytes:
        """As the kernel takes it."""
        bits = SIZES[self.family] * 8
        protocol = ICMPV6 if self.protocol == ICMP and bits > 32 else self.protocol  # noqa: PLR2004
        parts = [(RTA_DST, _packed(self.destination[0])), (RTA_IP_PROTO, bytes([protocol])),
                 (RTA_UID, struct.pack("=I", self.uid))]  # fmt: skip
        if self.source[0]:
            parts.append((RTA_SRC, _packed(self.source[0])))
        if self.protocol != ICMP:
            parts += [(RTA_SPORT, struct.pack("!H", self.source[1])),
                      (RTA_DPORT, struct.pack("!H", self.destination[1]))]  # fmt: skip
        for kind, device in ((RTA_IIF, self.arrives_on), (RTA_OIF, self.bound_to)):
            if device:
                parts.append((kind, struct.pack("=I", _socket.if_nametoindex(device))))
        body = b"".join(_attribute(kind, value) for kind, value in parts)
        length = bits if self.source[0] else 0
        head = ROUTE.pack(self.family, bits, length, 0, 0, 0, 0, 0, RTM_F_LOOKUP_TABLE)
        size = HEADER.size + len(head) + len(body)
        return HEADER.pack(size, RTM_GETROUTE, NLM_F_REQUEST, 0, 0) + head + body


def _attribute(kind: int, value: bytes) -> bytes:
    size = ATTRIBUTE.size + len(value)
    return ATTRIBUTE.pack(size, kind) + value + bytes(-size % 4)


def explain(kernel: Kernel, question: Question) -> SimpleNamespace:
    """What becomes of the packet, and of its answer where one is made.

    Raises KernelError.
    """
    asked, source, device = _decide(kernel, question)
    answer = SimpleNamespace(asked=asked, answer=None)
    if asked.outcome == ("delivered" if question.arrives_on else "sent"):
        back = question.answer(question.source[0] or source, device)
        answer.answer = _decide(kernel, back)[0]
    return answer


def lines(answer: SimpleNamespace) -> list[str]:
    """The same for a person."""
    texts = [_line(answer.asked)]
    return texts + ([f"the answer: {_line(answer.answer)}"] if answer.answer else [])


def _line(verdict: SimpleNamespace) -> str:
    table = f" (table {verdict.table})" if verdict.table else ""
    return f"{'allowed' if verdict.allowed else 'dropped'}: {verdict.why}{table}"


def _decide(kernel: Kernel, question: Question) -> tuple[SimpleNamespace, str, str]:
    """The verdict, the source that the kernel chose, and the device it leaves by."""
    error, payload = kernel.request(question.message())
    if error:
        why = WHY.get(error, os.strerror(error))
        verdict = SimpleNamespace(
            allowed=False, outcome="dropped", why=why, table=None, device=None,
            error=errno.errorcode.get(error, str(error)),
        )  # fmt: skip
        return verdict, "", ""
    kind = ROUTE.unpack_from(payload)[7]
    values = dict(attributes(payload, ROUTE.size))
    number = int.from_bytes(values.get(RTA_TABLE, b"\0"), "little")
    device = _socket.if_indextoname(int.from_bytes(values[RTA_OIF], "little"))
    source = (
        _socket.inet_ntop(question.family, values[RTA_PREFSRC]) if RTA_PREFSRC in values else ""
    )
    outcome, why = _outcome(question, kind, device)
    verdict = SimpleNamespace(
        allowed=outcome != "returned", outcome=outcome, why=why,
        table=TABLES.get(number, number), device=device, error=None,
    )  # fmt: skip
    return verdict, source, device


def _outcome(question: Question, kind: int, device: str) -> tuple[str, str]:
    if question.arrives_on:
        if kind == LOCAL:
            return "delivered", "it is for this machine"
        return "forwarded", f"it is passed on by {device}"
    if kind == UNICAST and device != "lo":
        return "sent", f"it leaves by {device}"
    if question.destination[0] in own_addresses(question.family):
        return "delivered", "it is for this machine"
    return "returned", f"it comes back to this machine ({KINDS.get(kind, kind)}), nothing leaves"


def own_addresses(family: int) -> set[str]:
    """This machine's addresses."""
    from pbrinit.boot.network.addresses import Addresses  # noqa: PLC0415  for this answer alone
    from pbrinit.wire.netlink.socket import Kernel  # noqa: PLC0415

    with Kernel() as kernel:
        texts = {text.rpartition("/")[0] for _, text, _ in Addresses(kernel).as_list()}
    loopback = {"127.0.0.1", "::1"}
    return {text for text in texts | loopback if _family(text) == family}


def parse(words: list[str], plan: BootPlan) -> Question:
    """Read a question; interfaces and users are the policy's names, or a device, or a number.

    Raises QuestionError.
    """
    words = " ".join(words).replace(">", " > ").split()
    devices = {link.name: link.device for link in plan.links}
    options: dict[str, str] = {}
    while len(words) > 2 and words[-2] in ("as", "by"):  # noqa: PLR2004  a word and its value
        options[words[-2]] = words[-1]
        words = words[:-2]
    uid = _uid(options.get("as", "0"), dict(plan.users))
    bound = _device(options["by"], devices) if "by" in options else ""
    match words:
        case ["in", name, protocol, source, ">", destination] if not bound:
            came = _device(name, devices)
        case ["out", protocol, source, ">", destination]:
            came = ""
        case ["out", protocol, ">", destination]:
            came, source = "", ""
        case _:
            raise QuestionError("write " + ", or ".join(f"explain {form}" for form in FORMS))
    if protocol not in PROTOCOLS:
        raise QuestionError(f"{protocol} is none of tcp, udp, icmp")
    ports = protocol != "icmp"
    ends = (_end(source, ports, _client_port(plan)), _end(destination, ports, None))
    if source and _family(ends[0][0]) != _family(ends[1][0]):
        raise QuestionError(f"{source} and {destination} are not of one family")
    return Question(PROTOCOLS[protocol], ends, uid, came, bound)


def _client_port(plan: BootPlan) -> int:
    """The first of the ports that clients take."""
    return int(dict(plan.sysctls)[PORT_RANGE].split()[0])


def _end(text: str, ports: bool, otherwise: int | None) -> End:
    """An address and a port: `192.0.2.1:22`, `[2001:db8::1]:22`, or the address alone."""
    if not text:
        return "", otherwise or 0
    address, port = text, ""
    if text.startswith("["):
        address, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    try:
        address = _socket.inet_ntop(_family(address), _packed(address))
    except (OSError, ValueError):  # ValueError: a NUL, or what has no form in UTF-8
        raise QuestionError(f"{text!r} is not an address") from None
    if not ports:
        if port:
            raise QuestionError(f"{text}: icmp has no ports")
        return address, 0
    if not port and otherwise is None:
        raise QuestionError(f"{text} has no port: write ADDRESS:PORT, [ADDRESS]:PORT in IPv6")
    if not port:
        return address, otherwise or 0
    number = decimal_number.parse(port, HIGHEST_PORT)
    if not number:
        raise QuestionError(f"{text} has no port from 1 to 65535")
    return address, number


def _device(name: str, devices: dict[str, str]) -> str:
    device = devices.get(name, name)
    if device not in links.devices():
        raise QuestionError(f"there is no interface {name!r}, only {' '.join(devices)}")
    return device


def _uid(name: str, users: dict[str, int]) -> int:
    if name in users:
        return users[name]
    uid = decimal_number.parse(name, HIGHEST_UID)
    if uid is not None:
        return uid
    if name == "root":
        raise QuestionError('root is number 0: write "as 0", or no "as"')
    raise QuestionError(f"the policy has no user {name!r}, only {' '.join(users) or 'none'}")


def _family(address: str) -> int:
    return _socket.AF_INET6 if ":" in address else _socket.AF_INET


def _packed(address: str) -> bytes:
    return _socket.inet_pton(_family(address), address)
