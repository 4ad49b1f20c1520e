"""Policies nobody thought of, drawn from a source of random numbers.

In: a `random.Random`.  Out: policy files as text, not all of which compile, or one that does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from pbrinit.cli.build import loaded
from pbrinit.net.addresses import Family
from pbrinit.plan.plan import Plan
from pbrinit.policy.policy import Policy
from pbrinit.policy.problems import PolicyError

LINKS_4 = {
    "192.0.2.2/24": "192.0.2.1",
    "10.1.0.129/25": "10.1.0.254",
    "172.16.3.6/30": "172.16.3.5",
    "100.64.0.1/31": "100.64.0.0",
    "10.9.9.9/32": None,
}
LINKS_6 = {
    "2001:db8::2/64": "2001:db8::1",
    "2001:db8:1::aa/120": "2001:db8:1::1",
    "fd00:2::1/126": "fd00:2::2",
    "fd00:3::5/127": None,
}
"""Addresses, and the gateway that the link may have."""

ROUTERS = {
    "192.0.2.2/24": ("192.0.2.9", "192.0.2.1"),
    "10.1.0.129/25": ("10.1.0.254", "10.1.0.200"),
    "172.16.3.6/30": ("172.16.3.5",),
    "100.64.0.1/31": ("100.64.0.0",),
    "2001:db8::2/64": ("2001:db8::9", "2001:db8::1", "fe80::9"),
    "2001:db8:1::aa/120": ("2001:db8:1::9",),
    "fd00:2::1/126": ("fd00:2::2",),
    "fd00:3::5/127": ("fd00:3::4",),
}
BEYOND = (
    "198.51.100.0/24", "203.0.113.0/29", "203.0.113.128/25", "10.128.0.0/9", "192.168.1.1/32",
    "192.0.0.0/9", "10.0.0.0/8", "172.16.0.0/12", "100.64.0.0/10", "203.0.113.0/24",
    "2001:db8:5::/48", "2001:db8:7::/48", "fd00:8000::/17", "3fff::/20", "2001:db8:6::1/128",
    "2001:db8::/32", "2001:db8:1::/64", "fd00::/8", "2001:db8:5:6::/64", "2000::/3",
)  # fmt: skip
"""Routers of the links, and who may live beyond one."""

NETWORKS = (
    "198.51.100.0/24", "198.51.100.64/27", "203.0.113.7", "10.0.0.0/8", "192.0.2.0/24",
    "192.0.2.53", "172.16.3.4/30", "0.0.0.0/0", "2001:db8:5::/48", "2001:db8::53",
    "2001:db8::/32", "fd00:2::2", "::/0", "2000::/3",
)  # fmt: skip
SERVICES = (
    "tcp/22", "tcp/80-90", "udp/53", "udp/123", "icmp/echo", "tcp/1", "udp/1-1023", "ip/47",
    "tcp/32767", "icmp", "tcp/8000-8010",
)  # fmt: skip
AT_CLIENTS_PORTS = ("udp/65534", "tcp/61000-65534", "tcp/40000", "udp/32768")
"""What only others may serve."""

RANGES = ("1024-65534", "1-65534", "40000-50000")
ARP_FROM = ("100.64.64.0/18", "203.0.114.7", "0.0.0.0/0")
"""Who asks by ARP from outside the prefix of a link."""

EPHEMERAL = ("32768-39999", "40001-65534", "32768-65533")

OWN_CLIENTS = ("123", "1-1023", "500", "1024-65534", "32768-60999", "61000-65534")
"""Of this machine."""

WIDE_4 = ("198.51.100", "203.0.113", "192.0.2")
WIDE_6 = ("2001:db8:5::", "2001:db8::", "2001:db8:7::")
PROGRAMS = ("a", "b", "c")
IN_A_ROOM = 0.7
"""How often an entry about this machine is about a room of it, where there are any."""

MANY = 0.4
"""How often a policy has a network of many prefixes."""

ROUTED = 0.4
"""How often an interface has routes."""

LOGGED = 0.3
"""How often who was refused is logged."""

Named = dict[str, list[object]]
UIDS = (0, 1, 999, 1001, 65534, 4294967294)


def policy(random: Random) -> str:
    """A policy file, not always one that compiles."""
    lines = ['hostname = "drawn"']
    lines += _perhaps(random, 0.2, f'ephemeral-ports = "{random.choice(EPHEMERAL)}"')
    names = ["wan", "lan", "dmz"][: random.choice((1, 1, 2, 2, 2, 3))]
    fours, sixes = (random.sample([*links], len(names)) for links in (LINKS_4, LINKS_6))
    gateway = {family: random.choice((None, *names, *names, *names)) for family in Family}
    beyond = random.sample(BEYOND, len(BEYOND))
    for number, name in enumerate(names):
        addresses = random.choice(
            ([fours[number]], [sixes[number]], [fours[number], sixes[number]])
        )
        known = (({**LINKS_4, **LINKS_6}[a], a) for a in addresses)
        gateways = [g for g, a in known
                    if g and name == gateway[Family.V6 if ":" in a else Family.V4]]  # fmt: skip
        lines += [f"[interface.{name}]", f'device = "eth{number}"', f"address = {addresses}"]
        lines += [f"gateway = {gateways}"] if gateways else []
        routes = [*_routes(random, addresses, beyond)] if random.random() < ROUTED else []
        lines += [f"route = {routes}"] if routes else []
        if any("." in gateway for gateway in gateways):
            lines += _perhaps(random, 0.2, f'arp-from = "{random.choice(ARP_FROM)}"')
    networks, services, users = (
        _named(random, pool, prefix)
        for pool, prefix in ((NETWORKS, "n"), (SERVICES, "s"), (UIDS, "u"))
    )
    others: Named = {**services, **{f"{k}c": [random.choice(AT_CLIENTS_PORTS)] for k in services}}
    if random.random() < MANY:
        networks["many"] = [*_many(random)]
    lines += ["[network]", *(f"{k} = {v}" for k, v in networks.items())]
    lines += ["[service]", *(f"{k} = {v}" for k, v in others.items())]
    lines += ["[user]", *(f"{k} = {v[0]}" for k, v in users.items())]
    runs = random.sample(PROGRAMS, random.choice((0, 0, 1, 2, 3)))
    for run in runs:
        lines += [f"[run.{run}]", f'command = ["/{run}"]', f'user = "{random.choice([*users])}"']
        lines += _perhaps(random, 0.1, "isolate = false")
    for _ in range(random.randint(0, 6)):
        lines += _entry(random, _Words(names, networks, others, users, runs))
    for _ in range(random.choice((0, 1, 2)) if runs[1:] else 0):
        lines += _between(random, runs, services)
    for _ in range(random.choice((0, 0, 1, 2))):
        lines += _deny(random, names, networks, services, users)
    if random.random() < LOGGED:
        lines.insert(0, "log = true")
    return "\n".join(lines) + "\n"


def compiled(random: Random) -> tuple[str, Policy, Plan]:
    """The next that compiles, as text, policy and plan."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "drawn.toml"
        while True:
            text = policy(random)
            path.write_text(text)
            try:
                return text, *loaded(path)
            except PolicyError:
                continue


@dataclass(frozen=True)
class _Words:
    """The names that entries have to choose from."""

    interfaces: list[str]
    networks: Named
    services: Named
    users: Named
    runs: list[str]


def _entry(random: Random, words: _Words) -> Iterator[str]:
    names, networks, services = words.interfaces, words.networks, words.services
    kind = random.choice(["input", "output"] + (["forward"] * 4 if names[1:] else []))
    yield f"[[{kind}]]"
    ours = [name for name in services if kind == "output" or not name.endswith("c")]
    yield f"service = {_some(random, ours)}"
    if kind == "forward":
        ways = random.sample(names, 2)
        yield from _perhaps(random, 0.6, f'in = "{ways[0]}"\nout = "{ways[1]}"')
        yield from _perhaps(random, 0.5, f"from = {_peers(random, networks)}")
        yield from _perhaps(random, 0.5, f"to = {_peers(random, networks)}")
        yield from _perhaps(random, 0.3, f'clients = "{random.choice(RANGES)}"')
        return
    yield from _perhaps(random, 0.3, f"on = {_some(random, names)}")
    side = "from" if kind == "input" else "to"
    yield from _perhaps(random, 0.6, f"{side} = {_peers(random, networks)}")
    if words.runs and random.random() < IN_A_ROOM:
        yield f'run = "{random.choice(words.runs)}"'
        return
    yield from _perhaps(random, 0.5, f'user = "{random.choice([*words.users])}"')
    if kind == "output":
        yield from _perhaps(random, 0.2, f'clients = "{random.choice(OWN_CLIENTS)}"')


def _between(random: Random, runs: list[str], services: Named) -> Iterator[str]:
    asking, asked = random.sample(runs, 2)
    yield "[[between]]"
    yield f'from = "{asking}"\nto = "{asked}"\nservice = {_some(random, services)}'


def _deny(
    random: Random, names: list[str], networks: Named, services: Named, users: Named
) -> Iterator[str]:
    yield "[[deny]]"
    yield from _perhaps(random, 0.3, f"on = {_some(random, names)}")
    yield from _perhaps(random, 0.5, f"from = {_peers(random, networks)}")
    yield from _perhaps(random, 0.5, f"to = {_peers(random, networks)}")
    yield from _perhaps(random, 0.5, f"service = {_some(random, services)}")
    yield from _perhaps(random, 0.2, f'user = "{random.choice([*users])}"')
    chance = random.random()
    if chance < 0.3:
        yield "reject = true"
    elif chance > 0.7:
        yield "log = true"


def _perhaps(random: Random, chance: float, line: str) -> list[str]:
    return [line] if random.random() < chance else []


def _many(random: Random) -> Iterator[str]:
    """More prefixes than are written as rules, in both families."""
    for number in random.sample(range(1, 255), random.randint(9, 40)):
        yield f"{random.choice(WIDE_4)}.{number}"
        yield f"{random.choice(WIDE_6)}{number:x}"


def _named(random: Random, pool: tuple[object, ...], prefix: str) -> Named:
    groups = range(random.randint(1, 3))
    return {f"{prefix}{i}": random.sample(pool, random.randint(1, 3)) for i in groups}


def _routes(random: Random, addresses: list[str], beyond: list[str]) -> Iterator[str]:
    """Who lives beyond routers of one link: taken from those who are nowhere so far."""
    for prefix in [*beyond[: random.randint(1, 6)]]:
        routers = [router for address in addresses for router in ROUTERS.get(address, ())
                   if (":" in router) == (":" in prefix)]  # fmt: skip
        if routers:
            beyond.remove(prefix)
            yield f"{prefix} via {random.choice(routers)}"


def _some(random: Random, names: Iterable[str]) -> list[str]:
    known = sorted(names)
    return random.sample(known, random.randint(1, len(known)))


def _peers(random: Random, networks: Named) -> list[str]:
    """One name or some, or everybody but some."""
    if "many" in networks and random.random() < 0.4:
        return [random.choice(("many", "not many"))]
    some = _some(random, networks)
    return [f"not {name}" for name in some] if random.random() < 0.4 else some
