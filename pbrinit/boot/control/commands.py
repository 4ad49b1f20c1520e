"""The commands of `pbrctl`, and the one place where words become one of them.

In: the words of a command line, from a person, a file or a hostile program.  Out: one of a closed
set of commands with typed arguments, or a `UsageError`.  Nothing else that the words say has an
effect: no path, no option and no number gets further than this module unless it is a field here.
"""

from __future__ import annotations

from pbrinit.boot.guard import requests
from pbrinit.boot.network import route_lookup
from pbrinit.wire import decimal_number
from pbrinit.wire.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

JSON = "--json"
SENT = "-"
"""The file of a policy that comes with the command, on standard input or after the words."""

TRIAL_SECONDS = 60
TOKEN_DIGITS = 16
HEXADECIMAL = frozenset("0123456789abcdef")
HIGHEST_NUMBER = 99_999
"""What is above is called no number of seconds at all."""

QUERIES = {
    "status": ("status", "rules, interfaces, programs, what was repaired and dropped"),
    "audit": ("audit", "rules, routes, addresses and sysctls, compared now"),
    "rules": ("rules", "the rules in force, as `ip` commands"),
    "drops": ("drops", "what arrived and went nowhere, by kind"),
    "refused": ("refused", "who was refused last, where the policy logs it"),
    "explain": ("explain QUESTION", "what the kernel does with one packet"),
}
"""What reports: usage, and what it is for."""

CHANGES = {
    "try": (
        "try FILE [--confirm SECONDS]",
        "put a policy in force until the time is up; - is piped",
    ),
    "confirm": ("confirm TOKEN", "keep the policy on trial, until the machine starts again"),
    "restart": ("restart PROGRAM", "end a program of the policy and start it again"),
}
"""What changes something: usage, and what it is for."""


class UsageError(Exception):
    """A command that cannot be done as typed; the text says why."""


class Command(Record):
    """Any of them. `as_json` is for a program that reads the answer."""

    as_json: bool


class Query(Command):
    """One of QUERIES; `question` is what `explain` is asked, and empty for all others."""

    name: str
    question: tuple[str, ...]


class Try(Command):
    """Put the policy in `file` in force for so many seconds; SENT is the one that comes along."""

    name = "try"
    file: str
    seconds: int


class Confirm(Command):
    """Keep the policy on trial that has this token; without one, whichever is on trial."""

    name = "confirm"
    token: str


class Restart(Command):
    """End a program and start it again."""

    name = "restart"
    program: str


def parse(words: Sequence[str]) -> Query | Try | Confirm | Restart:
    """The command that these words are. Raises UsageError."""
    as_json = JSON in words
    name, *rest = [word for word in words if word != JSON] or [""]
    if name in QUERIES:
        if rest and name != "explain":
            raise UsageError(f"{QUERIES[name][0]} takes nothing more")
        return Query(name=name, question=tuple(rest), as_json=as_json)
    match [name, *rest]:
        case ["try", file]:
            return Try(file=file, seconds=TRIAL_SECONDS, as_json=as_json)
        case ["try", file, "--confirm", length] | ["try", "--confirm", length, file]:
            return Try(file=file, seconds=trial_seconds(length), as_json=as_json)
        case ["confirm", *token] if len(token) <= 1:
            return Confirm(token=_token(*token), as_json=as_json)
        case ["restart", program]:
            return Restart(program=program, as_json=as_json)
    if name in CHANGES:
        raise UsageError(CHANGES[name][0])
    raise UsageError(f"there is no command {name!r}; --help lists them")


def trial_seconds(text: str) -> int:
    """How long a trial is to last. Raises UsageError."""
    seconds = decimal_number.parse(text, HIGHEST_NUMBER)
    if seconds is None:
        raise UsageError(f"--confirm takes seconds, not {text!r}")
    if not 0 < seconds <= requests.LONGEST_TRIAL:
        raise UsageError(f"a trial lasts 1 to {requests.LONGEST_TRIAL} s")
    return seconds


def is_token(text: str) -> bool:
    """Whether it is written as a token of a trial is."""
    return len(text) == TOKEN_DIGITS and HEXADECIMAL.issuperset(text)


def usage() -> str:
    """All commands, a line each."""
    known = [*QUERIES.values(), *CHANGES.values()]
    width = max(len(form) for form, _ in known)
    asked = (f"  {form:<{width}}  {about}" for form, about in known)
    forms = (f"  explain {form}" for form in route_lookup.FORMS)
    return "\n".join(["usage: pbrctl COMMAND [--json]", *asked, "a question is", *forms])


def _token(text: str = "") -> str:
    if text and not is_token(text):
        raise UsageError(f"a token has {TOKEN_DIGITS} hexadecimal digits: `try` prints it")
    return text
