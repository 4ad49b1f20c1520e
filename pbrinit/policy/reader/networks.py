"""Networks: named sets of addresses, from lists, from files, and combined by entries.

In: the table `network` of the document, or the networks that an entry names.  Out: an
`AddressGroup` for each; what is wrong is reported as a problem.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_, sub
from pathlib import Path

from pbrinit.net.addresses import AddressSet, Family
from pbrinit.policy.policy import ANYBODY, AddressGroup
from pbrinit.policy.problems import SHOWN, Problems
from pbrinit.policy.reader import suggestions
from pbrinit.policy.reader.document import TomlString, TomlTable, read_text
from pbrinit.policy.reader.scalars import Block, ScalarError, block

NOT = "not "


def read_networks(section: TomlTable) -> dict[str, AddressGroup]:
    """The networks that a policy defines, by name."""
    return {name: _network(section, name) for name in section.names()}


def name_in(word: str) -> str:
    """The name of a network, with or without a "not" before it."""
    return word.removeprefix(NOT).strip()


def is_negated(word: str) -> bool:
    """Whether there is a "not" before the name."""
    return word.startswith(NOT)


def _network(section: TomlTable, name: str) -> AddressGroup:
    file = section.subtable(name).string("file")
    blocks = _read_file(section.problems, file) if file else section.scalars(name, block)
    ranges: dict[Family, list[tuple[int, int]]] = {family: [] for family in Family}
    for family, first, last in blocks:
        ranges[family].append((first, last))
    return AddressGroup(
        name, *(AddressSet.from_ranges(family, ranges[family]) for family in Family)
    )


def select(
    problems: Problems, key: str, words: Sequence[TomlString], networks: Mapping[str, AddressGroup]
) -> AddressGroup:
    """The union of the networks named, or every address where only negated ones are named, minus
    the networks named after a "not".
    """
    for word in words:
        name = name_in(word.text)
        if name not in networks:
            what = f'no network is named "{name}"'
            hint = suggestions.network(name, networks)
            problems.report_unknown(word.key, what, name, networks, hint)
    defined = [word.text for word in words if name_in(word.text) in networks]
    included = [networks[name_in(word)] for word in defined if not is_negated(word)] or [ANYBODY]
    excluded = [networks[name_in(word)] for word in defined if is_negated(word)]
    sets = []
    for family in Family:
        union = reduce(or_, (group.in_family(family) for group in included))
        sets.append(reduce(sub, (group.in_family(family) for group in excluded), union))
    sound = len(defined) == len(words) and all(any(group.both) for group in included)
    if sound and not any(sets):
        problems.report(key, "contains no address at all", 'the "not" removes all of them')
    return AddressGroup(" ".join(word.text for word in words), *sets)


def _read_file(problems: Problems, word: TomlString) -> list[Block]:
    """The prefixes in a file beside the policy, one a line; a # begins a comment."""
    path, key = Path(problems.file).parent / word.text, word.key
    try:
        # Those of Path raise where a name is too long.
        if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113
            problems.report(key, f"{path} is not a file")
            return []
        lines = read_text(path).split("\n")
    except ScalarError as error:
        problems.report(key, f"{path} cannot be read: {error.what}", error.hint)
        return []
    blocks = []
    bad_lines = 0
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        try:
            blocks += [block(text)] if text else []
        except ScalarError as error:
            bad_lines += 1
            if bad_lines <= SHOWN:
                problems.report(key, f"{path}, line {number}: {error.what}", error.hint)
    if bad_lines > SHOWN:
        problems.report(key, f"{path}: {bad_lines - SHOWN} more lines are wrong")
    if not blocks and not bad_lines:
        problems.report(key, f"{path} has no prefix in it", "name at least one")
    return blocks
