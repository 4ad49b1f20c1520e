"""The keys of the policy language, each with its type and a description.

In: nothing.  Out: `POLICY`, which the reader checks a document against, and from which the schema
for editors is made.  What the keys mean: docs/language.md, docs/meaning.md.
"""

from __future__ import annotations

from pbrinit.net.services import LOCAL_EPHEMERAL_PORTS, REMOTE_EPHEMERAL_PORTS
from pbrinit.policy.programs import Share
from pbrinit.policy.reader.schema_types import (
    Command,
    Flag,
    JsonSchema,
    Key,
    NamedTables,
    Number,
    String,
    StringMap,
    StringOrList,
    StringsOrTable,
    Table,
    TableArray,
)

HIGHEST_UID = 2**32 - 2
MOST_PROCESSES, MOST_OPEN_FILES = 4096, 65536
VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
PATH = r"(/(?!\.{1,2}(/|$))[A-Za-z0-9_.@+-]+)+"

ON = Key(
    "on",
    StringOrList(),
    "The interfaces it arrives or leaves by, by name. Left out: every interface.",
)
IN = Key("in", StringOrList(), "The interfaces that it arrives by. Left out: every interface.")
OUT = Key("out", StringOrList(), "The interfaces that it leaves by. Left out: every interface.")
FROM = Key(
    "from",
    StringOrList(),
    'The networks that may send requests, "not NAME" excludes one. Left out: every address.',
)
TO = Key(
    "to",
    StringOrList(),
    'The networks that may get requests, "not NAME" excludes one. Left out: every address.',
)
SERVICE = Key(
    "service", StringOrList(), "The services that may be requested, by name.", required=True
)
ANY_SERVICE = Key("service", StringOrList(), "The services, by name. Left out: every packet.")
USER = Key(
    "user", String(), "The user whose programs send requests or answers. Left out: any user."
)
RUN = Key(
    "run",
    String(),
    "The program that sends requests or answers, by its name in [run]. Left out: none.",
)
CLIENT_PORTS = Key(
    "clients",
    String(),
    f'The source ports of requests, such as "1024-65534". Left out: {REMOTE_EPHEMERAL_PORTS}.',
)
OWN_CLIENT_PORTS = Key(
    "clients",
    String(),
    'The ports that this machine sends requests from, such as "123". Left out: '
    f"{LOCAL_EPHEMERAL_PORTS}, or the part of it that the rooms leave.",
)
REJECT = Key(
    "reject", Flag(), "Send an ICMP error, prohibited, to the sender of what would be forwarded."
)
LOGGED = Key(
    "log", Flag(), "Log refused requests that this entry names. Left out: they are only counted."
)

ON_FAILURE = (
    'What the machine does when it cannot enforce the policy, all interfaces down: "stay", '
    '"reboot after 30 s", "poweroff". Left out: stay.'
)

NO_USER = "forwarded packets have no user"
BOTH_WAYS = "it has two interfaces: write in and out"

INTERFACE = Table(
    (
        Key("device", String(), 'The name that the kernel gives the device, such as "eth0".'),
        Key("mac", String(), "The device's MAC address; it gets the interface's name."),
        Key(
            "address",
            StringOrList(),
            'Addresses with prefix length: "192.0.2.2/24"; "dhcp" for one of IPv4 by DHCP, '
            '"ra" for one of IPv6 by router advertisement.',
            required=True,
        ),
        Key(
            "gateway",
            StringOrList(),
            "The next hop for all other addresses: at most one for each family.",
        ),
        Key(
            "route",
            StringOrList(),
            'A prefix behind another router of the link: "10.1.0.0/16 via 10.0.0.254".',
        ),
        Key(
            "arp-from",
            StringOrList(),
            "Prefixes outside of its own from which ARP requests for its addresses are answered: a "
            'provider\'s line check, "100.64.0.0/10". Left out: none.',
        ),
    ),
    exactly_one_of=("device", "mac"),
)
LISTED = Table(
    (Key("file", String(), "A file beside the policy, one prefix a line.", required=True),)
)
INPUT = Table(
    (ON, FROM, SERVICE, USER, RUN),
    key_hints={"to": "input is to this machine: leave it out"},
)
OUTPUT = Table(
    (ON, TO, SERVICE, OWN_CLIENT_PORTS, USER, RUN),
    key_hints={"from": "output is from this machine: leave it out"},
)
FORWARD = Table(
    (IN, OUT, FROM, TO, SERVICE, CLIENT_PORTS),
    key_hints={"user": NO_USER, "run": NO_USER, "on": BOTH_WAYS},
)
DENY = Table(
    (ON, FROM, TO, ANY_SERVICE, USER, REJECT, LOGGED),
    key_hints={
        "in": "write on, from and to",
        "out": "write on, from and to",
        "run": "deny is about the machine and all its rooms: allow the program less",
    },
)
RUN_TABLE = Table(
    (
        Key(
            "command",
            Command(),
            "The program's path in the image, and its arguments.",
            required=True,
        ),
        Key("user", String(), "The user that it runs as, by name.", required=True),
        Key("restart", String(), 'When it is restarted: "always", "on-failure" or "never".'),
        Key(
            "environment",
            StringMap(VARIABLE, "a name of a variable"),
            "Variables of its environment.",
        ),
        Key("keep", StringOrList(), 'Capabilities that it keeps: "net_raw". Left out: none.'),
        Key("package", StringOrList(), "The Debian packages that it needs, by name."),
        Key(
            "files",
            StringMap(PATH, "an absolute path"),
            "Files for the image: a path there, a file beside the policy.",
        ),
        Key(
            "ask",
            String(),
            'What it may do by pbrctl on the machine: "status", or "try" too. Left out: nothing.',
        ),
        Key("isolate", Flag(), "Whether it has a room of its own. Left out: true."),
        Key(
            "memory",
            String(),
            'How much memory it may have, with its files in /tmp and /run: "16 MiB". Left out: an '
            "equal part of what the other programs leave.",
        ),
        Key(
            "processes",
            Number(1, MOST_PROCESSES),
            f"How many processes and threads it may have. Left out: {Share.processes}.",
        ),
        Key(
            "open-files",
            Number(16, MOST_OPEN_FILES),
            f"How many files each of its processes may open. Left out: {Share.open_files}.",
        ),
        Key(
            "cpu-weight",
            Number(1, 10000),
            "Its part of the processor where there is not enough for all. "
            f"Left out: {Share.cpu_weight}.",
        ),
    )
)
BETWEEN = Table(
    (
        Key("from", String(), "The program that may send requests.", required=True),
        Key("to", String(), "The program that may get requests.", required=True),
        SERVICE,
    )
)
EXPECTED = (ON, IN, OUT, FROM, TO, ANY_SERVICE, USER, RUN)
ANSWERS = Key(
    "answers",
    Flag(),
    "Whether packets may pass that have the form of an answer by an entry. Left out: false.",
)
EXPECT = Table(
    (
        Key("never", Table((*EXPECTED, ANSWERS)), "None of these packets is allowed."),
        Key("always", Table(EXPECTED), "Each of these packets is allowed, and its answer."),
    ),
    exactly_one_of=("never", "always"),
)
CONSOLE = Table(
    (
        Key(
            "password",
            String(),
            "The hash of the password, as `pbrctl password` makes it.",
            required=True,
        ),
    )
)
METRICS = Table(
    (
        Key(
            "port",
            Number(1, 65534),
            "The TCP port of the page; an input entry opens it.",
            required=True,
        ),
        Key("user", String(), "The user that serves it; not root.", required=True),
    )
)
POLICY = Table(
    (
        Key("hostname", String(), "The machine's name.", required=True),
        Key("on-failure", String(), ON_FAILURE),
        Key("log", Flag(), "Log refused packets. Left out: they are only counted."),
        Key(
            "ephemeral-ports",
            String(),
            "The ports that clients of this machine have, such as "
            f'"32768-51819". Left out: {LOCAL_EPHEMERAL_PORTS}.',
        ),
        Key("console", CONSOLE, "Access to the console of the machine."),
        Key("metrics", METRICS, "The status as a text page for Prometheus."),
        Key("interface", NamedTables(INTERFACE), "The interfaces; every other device stays down."),
        Key(
            "network",
            NamedTables(StringsOrTable(LISTED)),
            "Named sets of prefixes, of both families.",
        ),
        Key(
            "service",
            NamedTables(StringOrList()),
            'Named sets of "tcp/22", "udp/5000-5010", "icmp/echo", "icmp", "ip/47".',
        ),
        Key("user", NamedTables(Number(0, HIGHEST_UID)), "Names for user numbers."),
        Key("run", NamedTables(RUN_TABLE), "The programs that run, each in a room of its own."),
        Key("input", TableArray(INPUT), "What may reach this machine."),
        Key("output", TableArray(OUTPUT), "What this machine may reach."),
        Key("forward", TableArray(FORWARD), "What may pass through this machine."),
        Key("between", TableArray(BETWEEN), "What a program may request of one in another room."),
        Key("deny", TableArray(DENY), "What is denied although entries allow it."),
        Key("expect", TableArray(EXPECT), "What must hold; proved for every packet."),
    )
)


def schema() -> JsonSchema:
    """The schema of a policy file. The address names the draft, and nothing is fetched from it."""
    return {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "title": "pbrinit policy",
        "description": "What a machine accepts, sends and forwards; everything else is dropped.",
        **POLICY.schema(),
    }
