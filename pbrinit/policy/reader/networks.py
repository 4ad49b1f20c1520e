"""Networks: the sets of peers that a policy names, from lists, files and words.

In: what a policy says of a network.  Out: the `Peers` that each name stands for, or that an
entry is about; what is wrong is noted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_, sub
from pathlib import Path

from pbrinit.net.addresses import AddressSet, Family
from pbrinit.policy.policy import ANYBODY, Peers
from pbrinit.policy.problems import SHOWN, Problems
from pbrinit.policy.reader import suggestions
from pbrinit.policy.reader.document import Node, Word, read_text
from pbrinit.policy.reader.scalars import AtomError, Block, block

NOT = "not "


def defined(section: Node) -> dict[str, Peers]:
    """The networks that a policy defines, by name."""
    return {name: _network(section, name) for name in section.names()}


def name_in(word: str) -> str:
    """The name of a network, with or without a "not" before it."""
    return word.removeprefix(NOT).strip()


def is_left_out(word: str) -> bool:
    """Whether a "not" stands before the name."""
    return word.startswith(NOT)


def _network(section: Node, name: str) -> Peers:
    file = section.node(name).text("file")
    found = _in_file(section.problems, file) if file else section.atoms(name, block)
    ranges: dict[Family, list[tuple[int, int]]] = {family: [] for family in Family}
    for family, first, last in found:
        ranges[family].append((first, last))
    return Peers(name, *(AddressSet.of_ranges(family, ranges[family]) for family in Family))


def chosen(
    problems: Problems, key: str, words: Sequence[Word], networks: Mapping[str, Peers]
) -> Peers:
    """The union of the networks named, or everybody where none is, without those that are
    named after a "not".
    """
    for word in words:
        name = name_in(word.text)
        if name not in networks:
            said = f'no network is named "{name}"'
            problems.unknown(word.key, said, name, networks, suggestions.network(name, networks))
    known = [word.text for word in words if name_in(word.text) in networks]
    taken = [networks[name_in(word)] for word in known if not is_left_out(word)] or [ANYBODY]
    left_out = [networks[name_in(word)] for word in known if is_left_out(word)]
    sets = []
    for family in Family:
        joined = reduce(or_, (peers.of(family) for peers in taken))
        sets.append(reduce(sub, (peers.of(family) for peers in left_out), joined))
    sound = len(known) == len(words) and all(any(peers.both) for peers in taken)
    if sound and not any(sets):
        problems.add(key, "holds no address at all", 'the "not" takes all of it away')
    return Peers(" ".join(word.text for word in words), *sets)


def _in_file(problems: Problems, word: Word) -> list[Block]:
    """The prefixes in a file beside the policy, one a line; what follows a # is not read."""
    path, key = Path(problems.file).parent / word.text, word.key
    try:
        # Those of Path raise where a name is too long.
        if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113
            problems.add(key, f"{path} is no file")
            return []
        lines = read_text(path).split("\n")
    except AtomError as error:
        problems.add(key, f"{path} cannot be read: {error.what}", error.hint)
        return []
    found = []
    bad = 0
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        try:
            found += [block(text)] if text else []
        except AtomError as error:
            bad += 1
            if bad <= SHOWN:
                problems.add(key, f"{path}, line {number}: {error.what}", error.hint)
    if bad > SHOWN:
        problems.add(key, f"{path}: {bad - SHOWN} more lines are wrong")
    if not found and not bad:
        problems.add(key, f"{path} has no prefix in it", "name at least one")
    return found
