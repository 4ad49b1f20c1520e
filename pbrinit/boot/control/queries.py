"""What may be asked of a machine that runs, at its console and by `pbrctl` on it: one answer.

In: a command's words and the `BootPlan`.  Out: the answer, as values that JSON can say and as
lines that a person reads.
"""

from __future__ import annotations

from types import SimpleNamespace

from pbrinit.boot.network import route_lookup
from pbrinit.boot.network.audit import Audit
from pbrinit.boot.network.rules import differences, in_force
from pbrinit.boot.observe import drop_counters, reject_log
from pbrinit.boot.observe.status import describe, read_status
from pbrinit.boot.system import sysctl
from pbrinit.wire.netlink.socket import Kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pbrinit.wire.bootplan import BootPlan

    Answer = tuple[object, Sequence[str]]


class UsageError(Exception):
    """A command that cannot be done as typed; the text says why."""


def answer(plan: BootPlan, words: Sequence[str]) -> Answer:
    """What the command says.

    Raises UsageError, and KernelError or OSError where the kernel cannot be asked.
    """
    command, *rest = words
    if command not in COMMANDS:
        raise UsageError(f"there is no command {' '.join(words)!r}; help lists them")
    usage, _, work = COMMANDS[command]
    if rest and work is not explain:
        raise UsageError(f"{usage} takes nothing more")
    return work(plan, rest)


def status(plan: BootPlan, _: Sequence[str]) -> Answer:
    """The status page."""
    page = read_status(plan)
    return page, list(describe(page))


def audit(plan: BootPlan, _: Sequence[str]) -> Answer:
    """Rules, routes, addresses and sysctls, compared with the plan now."""
    now = Audit(plan)
    with Kernel() as kernel:
        wrong = [text for text, _ in (*now.rules(kernel), *now.routes(kernel)) if text]
    wrong += sysctl.differences(now.sysctls().items())
    counts = {"rules": len(plan.rules), "routes": now.count, "sysctls": len(now.sysctls())}
    told = {**counts, "as_planned": not wrong, "differences": wrong}
    counted = ", ".join(f"{count} {what}" for what, count in counts.items())
    return told, [*wrong, f"{counted}: {'NOT AS PLANNED' if wrong else 'as planned'}"]


def rules(plan: BootPlan, _: Sequence[str]) -> Answer:
    """The rules in force."""
    with Kernel() as kernel:
        found = in_force(kernel)
    wrong = differences(plan, found)
    rows = [{"command": f"ip {text}", "in_force": f"missing: {text}" not in wrong}
             for text in sorted(plan.rule_commands, key=_order)]  # fmt: skip
    told = {"rules": rows, "found": len(found), "as_planned": not wrong, "differences": wrong}
    planned = "as planned" if not wrong else "NOT AS PLANNED"
    lines = [str(r["command"]) if r["in_force"] else f"MISSING: {r['command']}" for r in rows]
    return told, [*lines, *wrong, f"{len(found)} rules, {planned}"]


def drops(_: BootPlan, __: Sequence[str]) -> Answer:
    """What arrived and went nowhere, by kind."""
    found = drop_counters.read()
    return found, drop_counters.lines(found)


def refused(plan: BootPlan, _: Sequence[str]) -> Answer:
    """Who was refused last.

    Raises UsageError.
    """
    if not plan.log:
        raise UsageError("the policy does not log who was refused: it wants log = true")
    heard, unsaid, last = reject_log.recent()
    counts = f"{heard} heard of, {unsaid} of them not said"
    return SimpleNamespace(heard=heard, unsaid=unsaid, last=last), [*last, counts]


def explain(plan: BootPlan, words: Sequence[str]) -> Answer:
    """What the kernel does with one packet.

    Raises UsageError.
    """
    try:
        question = route_lookup.parse(list(words), plan)
    except route_lookup.QuestionError as error:
        raise UsageError(str(error)) from None
    with Kernel() as kernel:
        told = route_lookup.explain(kernel, question)
    return told, route_lookup.lines(told)


COMMANDS: dict[str, tuple[str, str, Callable[[BootPlan, Sequence[str]], Answer]]] = {
    "status": ("status", "rules, interfaces, programs, what was repaired and dropped", status),
    "audit": ("audit", "rules, routes, addresses and sysctls, compared now", audit),
    "rules": ("rules", "the rules in force, as `ip` commands", rules),
    "drops": ("drops", "what arrived and went nowhere, by kind", drops),
    "refused": ("refused", "who was refused last, where the policy logs it", refused),
    "explain": ("explain QUESTION", "what the kernel does with one packet", explain),
}
"""Usage, what it is for, and what answers it."""


def _order(text: str) -> tuple[str, int]:
    words = text.split()
    return words[0], int(words[4])
