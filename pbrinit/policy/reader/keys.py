"""The keys of the policy language: all there are, each with its shape and what it says.

In: nothing.  Out: `POLICY`, which the reader checks a document against and the schema for
editors is made from.  What the keys mean: docs/language.md, docs/meaning.md.
"""

from __future__ import annotations

from pbrinit.net.services import CLIENTS
from pbrinit.policy.reader.schema_types import (
    Command,
    Entries,
    Flag,
    JsonSchema,
    Key,
    Named,
    Number,
    Pairs,
    Table,
    Text,
    Texts,
    TextsOr,
)

HIGHEST_UID = 2**32 - 2
VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
PATH = r"(/(?!\.{1,2}(/|$))[A-Za-z0-9_.@+-]+)+"

ON = Key("on", Texts(), "The interfaces it comes or goes by, by name. Left out: every interface.")
IN = Key("in", Texts(), "The interfaces that it comes by. Left out: every interface.")
OUT = Key("out", Texts(), "The interfaces that it leaves by. Left out: every interface.")
FROM = Key("from", Texts(), 'The networks that may ask, "not NAME" without one. Left out: anybody.')
TO = Key(
    "to", Texts(), 'The networks that may be asked, "not NAME" without one. Left out: anybody.'
)
SERVICE = Key("service", Texts(), "The services that may be asked for, by name.", needed=True)
ANY_SERVICE = Key("service", Texts(), "The services, by name. Left out: every packet.")
USER = Key("user", Text(), "The user whose programs ask or answer. Left out: any user.")
RUN = Key("run", Text(), "The program that asks or answers, by its name in [run]. Left out: none.")
CLIENT_PORTS = Key(
    "clients",
    Text(),
    f'The ports of those who ask, such as "1024-65534". Left out: {CLIENTS}.',
)
REJECT = Key("reject", Flag(), "Tell the sender of what would be forwarded that it is prohibited.")
LOGGED = Key("log", Flag(), "Write down who is refused for this entry. Left out: only counted.")

ON_FAILURE = (
    'What the machine does when it cannot keep to the policy, its interfaces down: "stay", '
    '"reboot after 30 s", "poweroff". Left out: stay.'
)

NO_USER = "forwarded packets have no user"
BOTH_WAYS = "it has two interfaces: write in and out"

INTERFACE = Table(
    (
        Key("device", Text(), 'The name that the kernel gives the device, such as "eth0".'),
        Key("mac", Text(), "The device's MAC address; it gets the interface's name."),
        Key(
            "address",
            Texts(),
            'Addresses with prefix length: "192.0.2.2/24"; "dhcp" for one of IPv4 by DHCP, '
            '"ra" for one of IPv6 by router advertisement.',
            needed=True,
        ),
        Key("gateway", Texts(), "The way to everybody else: at most one a family."),
        Key(
            "route",
            Texts(),
            'Who lives beyond another router of the link: "10.1.0.0/16 via 10.0.0.254".',
        ),
    ),
    just_one=("device", "mac"),
)
LISTED = Table((Key("file", Text(), "A file beside the policy, a prefix a line.", needed=True),))
INPUT = Table(
    (ON, FROM, SERVICE, USER, RUN),
    elsewhere={"to": "input is to this machine: leave it out"},
)
OUTPUT = Table(
    (ON, TO, SERVICE, USER, RUN),
    elsewhere={"from": "output is from this machine: leave it out"},
)
FORWARD = Table(
    (IN, OUT, FROM, TO, SERVICE, CLIENT_PORTS),
    elsewhere={"user": NO_USER, "run": NO_USER, "on": BOTH_WAYS},
)
DENY = Table(
    (ON, FROM, TO, ANY_SERVICE, USER, REJECT, LOGGED),
    elsewhere={
        "in": "write on, from and to",
        "out": "write on, from and to",
        "run": "deny is about the machine and all its rooms: allow the program less",
    },
)
RUN_TABLE = Table(
    (
        Key(
            "command", Command(), "The program's path in the image, and its arguments.", needed=True
        ),
        Key("user", Text(), "The user that it runs as, by name.", needed=True),
        Key("restart", Text(), 'When it is started again: "always", "on-failure" or "never".'),
        Key("environment", Pairs(VARIABLE, "name of a variable"), "Variables of its environment."),
        Key("keep", Texts(), 'Capabilities that it keeps: "net_raw". Left out: none.'),
        Key("package", Texts(), "The Debian packages that have it, by name."),
        Key(
            "files",
            Pairs(PATH, "absolute path"),
            "Files for the image: a path there, a file beside the policy.",
        ),
        Key(
            "ask",
            Text(),
            'What it may ask of the machine by pbrctl: "status", or "try" too. Left out: nothing.',
        ),
        Key("isolate", Flag(), "Whether it has a room of its own. Left out: true."),
    )
)
BETWEEN = Table(
    (
        Key("from", Text(), "The program that may ask.", needed=True),
        Key("to", Text(), "The program that may be asked.", needed=True),
        SERVICE,
    )
)
EXPECTED = Table((ON, IN, OUT, FROM, TO, ANY_SERVICE, USER, RUN))
EXPECT = Table(
    (
        Key("never", EXPECTED, "None of these packets is let through."),
        Key("always", EXPECTED, "Each of these packets is let through, and its answer."),
    ),
    just_one=("never", "always"),
)
CONSOLE = Table(
    (
        Key(
            "password",
            Text(),
            "The hash of the password, as `pbrctl password` makes it.",
            needed=True,
        ),
    )
)
METRICS = Table(
    (
        Key(
            "port",
            Number(1, 65534),
            "The TCP port of the page; an input entry opens it.",
            needed=True,
        ),
        Key("user", Text(), "The user whose program serves it; not root.", needed=True),
    )
)
POLICY = Table(
    (
        Key("hostname", Text(), "The machine's name.", needed=True),
        Key("on-failure", Text(), ON_FAILURE),
        Key("log", Flag(), "Write down who was refused. Left out: only counted."),
        Key("console", CONSOLE, "What is asked of those who sit at the machine."),
        Key("metrics", METRICS, "The status as a text page for Prometheus."),
        Key("interface", Named(INTERFACE), "The interfaces; every other device stays down."),
        Key("network", Named(TextsOr(LISTED)), "Named sets of prefixes, of both families."),
        Key(
            "service",
            Named(Texts()),
            'Named sets of "tcp/22", "udp/5000-5010", "icmp/echo", "icmp", "ip/47".',
        ),
        Key("user", Named(Number(0, HIGHEST_UID)), "Names for user numbers."),
        Key("run", Named(RUN_TABLE), "The programs that run, each in a room of its own."),
        Key("input", Entries(INPUT), "Who may reach this machine."),
        Key("output", Entries(OUTPUT), "What this machine may reach."),
        Key("forward", Entries(FORWARD), "What may pass through this machine."),
        Key("between", Entries(BETWEEN), "What a program may ask of one in another room."),
        Key("deny", Entries(DENY), "What is taken away from all that entries allow."),
        Key("expect", Entries(EXPECT), "What must hold; proved for all packets."),
    )
)


def schema() -> JsonSchema:
    """The whole schema, of draft 4, whose address is its name: nothing is fetched from there."""
    return {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "title": "pbrinit policy",
        "description": "What a machine lets in, out and through; everything else is dropped.",
        **POLICY.schema(),
    }
