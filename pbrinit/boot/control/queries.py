"""What may be asked of a machine that runs, at its console and by `pbrctl` on it: one answer.

In: a command's words and the `BootPlan`.  Out: the answer, as values that JSON can say and as
lines that a person reads.
"""

from __future__ import annotations

from types import SimpleNamespace

from pbrinit.boot.control.commands import QUERIES, UsageError
from pbrinit.boot.network import route_lookup
from pbrinit.boot.network.audit import Audit, describe_all
from pbrinit.boot.network.commands import command
from pbrinit.boot.network.repair import MISSING
from pbrinit.boot.network.rules import in_force, preference, repairs
from pbrinit.boot.observe import drop_counters, reject_log
from pbrinit.boot.observe.status import describe, read_status
from pbrinit.boot.system import sysctl
from pbrinit.wire.netlink.socket import HEADER, Kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pbrinit.wire.bootplan import BootPlan

    Answer = tuple[object, Sequence[str]]


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
        wrong = describe_all([*now.rules(kernel), *now.routes(kernel)])
    wrong += sysctl.differences(now.sysctls().items())
    counts = {"rules": len(plan.rules), "routes": now.count, "sysctls": len(now.sysctls())}
    values = {**counts, "as_planned": not wrong, "differences": wrong}
    counted = ", ".join(f"{count} {what}" for what, count in counts.items())
    return values, [*wrong, f"{counted}: {'NOT AS PLANNED' if wrong else 'as planned'}"]


def rules(plan: BootPlan, _: Sequence[str]) -> Answer:
    """The rules in force."""
    with Kernel() as kernel:
        in_force_rules = in_force(kernel)
    different = repairs(plan, in_force_rules)
    wrong = describe_all(different)
    missing = {repair.messages[0] for repair in different if repair.fault == MISSING}
    planned = sorted(zip(plan.rules, plan.rule_commands, strict=True), key=_order)
    rows = [{"command": f"ip {command(text, message)}", "in_force": message not in missing}
             for message, text in planned]  # fmt: skip
    values = {
        "rules": rows,
        "found": len(in_force_rules),
        "as_planned": not wrong,
        "differences": wrong,
    }
    state = "as planned" if not wrong else "NOT AS PLANNED"
    lines = [str(r["command"]) if r["in_force"] else f"MISSING: {r['command']}" for r in rows]
    return values, [*lines, *wrong, f"{len(in_force_rules)} rules, {state}"]


def drops(_: BootPlan, __: Sequence[str]) -> Answer:
    """What arrived and went nowhere, by kind."""
    counters = drop_counters.read()
    return counters, drop_counters.lines(counters)


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
        verdict = route_lookup.explain(kernel, question)
    return verdict, route_lookup.lines(verdict)


WORK: dict[str, Callable[[BootPlan, Sequence[str]], Answer]] = {
    "status": status,
    "audit": audit,
    "rules": rules,
    "drops": drops,
    "refused": refused,
    "explain": explain,
}
COMMANDS = {name: (*known, WORK[name]) for name, known in QUERIES.items()}
"""Usage, what it is for, and what answers it."""


def _order(rule: tuple[bytes, str]) -> tuple[int, int]:
    """IPv4 first, each family in the order in which the kernel asks its rules."""
    payload = rule[0][HEADER.size :]
    return payload[0], preference(payload)
