"""Networks: the sets of peers that a policy names, from lists, files and words.

In: what a policy says of a network, and `Problems` to note what is wrong.  Out: prefixes, or
the `Peers` that an entry is about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pbrinit.addresses import AddressSet, Family, Prefix
from pbrinit.atoms import AtomError, prefix
from pbrinit.policy import Interface, Peers
from pbrinit.problems import Problems

NOT = "not "
SHOWN = 10
"""How many findings of one set are said one by one."""


def in_file(problems: Problems, key: str, name: object) -> list[Prefix]:
    """The prefixes in a file beside the policy, one a line; what follows a # is not read."""
    if not isinstance(name, str):
        problems.add(key, "must be the name of a file in quotes")
        return []
    path = Path(problems.file).parent / name
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text of prefixes"
        problems.add(key, f"{path} cannot be read: {reason}")
        return []
    found = []
    bad = 0
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        try:
            found += [prefix(text)] if text else []
        except AtomError as error:
            bad += 1
            if bad <= SHOWN:
                problems.add(key, f"{path}, line {number}: {error.what}", error.hint)
    if bad > SHOWN:
        problems.add(key, f"{path}: {bad - SHOWN} more lines are wrong")
    if not found and not bad:
        problems.add(key, f"{path} has no prefix in it", "name at least one")
    return found


def chosen(
    problems: Problems, key: str, words: Sequence[str], networks: Mapping[str, Peers]
) -> Peers:
    """The union of the networks named, or everybody where none is, without those that are
    named after a "not".
    """
    taken = [word for word in words if not word.startswith(NOT)]
    left_out = [word.removeprefix(NOT).strip() for word in words if word.startswith(NOT)]
    strangers = [name for name in (*taken, *left_out) if name not in networks]
    for name in strangers:
        problems.unknown(key, f'no network is named "{name}"', name, networks)
    sets = []
    for family in Family:
        found = AddressSet(family) if taken else AddressSet.everything(family)
        for name in taken:
            found = found | networks[name].of(family) if name in networks else found
        for name in left_out:
            found = found - networks[name].of(family) if name in networks else found
        sets.append(found)
    sound = not strangers and all(any(networks[name].both) for name in taken)
    if words and sound and not any(sets):
        problems.add(key, "holds no address at all", 'the "not" takes all of it away')
    return Peers(" ".join(words), *sets)


def check_reachable(
    problems: Problems, key: str, peers: Peers, interfaces: Iterable[Interface]
) -> None:
    """Note peers that no interface of the entry leads to: a mistake, not a wish."""
    for family in Family:
        ways = [i for i in interfaces if i.gateway(family) or i.own(family)]
        if not ways or any(i.gateway(family) for i in ways):
            continue
        near = AddressSet.of(family, (a.network for i in ways for a in i.own(family)))
        names = ", ".join(i.name for i in ways)
        prefixes = peers.of(family).prefixes
        lost = [p for p in prefixes if not AddressSet.of(family, [p]) & near]
        for one in lost[:SHOWN]:
            problems.add(key, f"{one} cannot be reached by {names}", "no gateway there")
        if len(lost) > SHOWN:
            more = len(lost) - SHOWN
            problems.add(key, f"nor can {more} more prefixes of it", "no gateway there")
