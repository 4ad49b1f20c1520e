"""The guard: for as long as the machine runs, it is what the plan says, or closed.

In: a `BootPlan`, and requests for another one.  Out: differences repaired, logged and counted; or a
`GuardError` where one comes back.  It compares what the kernel reports as changed, sysctls every
second, as the kernel does not report their changes, and everything now and then.

Nothing that one request, message, file or device brings ends it: a round that fails is tried again,
and only where no round gets through for some seconds it gives up.
"""

from __future__ import annotations

import select
import time

from pbrinit.boot.guard.duplicates import Duplicates
from pbrinit.boot.guard.link_keeper import LinkKeeper
from pbrinit.boot.guard.requests import Requests
from pbrinit.boot.guard.switch import SwitchError
from pbrinit.boot.guard.trial import RefusedError, Trial
from pbrinit.boot.network.audit import Audit, describe, describe_all
from pbrinit.boot.network.repair import CHANGED, OF_SYSCTL, Repair
from pbrinit.boot.state.guard_status import GuardStatus
from pbrinit.boot.system import sysctl
from pbrinit.boot.system.log import seconds
from pbrinit.wire.netlink.monitor import ChangeMonitor, Changes
from pbrinit.wire.netlink.socket import Kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pbrinit.wire.bootplan import BootPlan

TICK_SECONDS = 0.8
FULL_SECONDS = 30.0
SHARE = 50
"""A full audit takes at most one part in so many of the machine's time."""

MAX_ROUNDS = 5
"""So often a difference is repaired before the guard gives up on it."""

MAX_REPEATS, REPEATS_SECONDS = 12, 10.0
"""A difference that is repaired so often in that time is made on purpose. What is missing after a
link went down and came up is not counted: a bad cable must not close the machine."""

RETRY_SECONDS = 0.05
MAX_FAILURES, FAILING_SECONDS = 12, 5.0
"""Where so many rounds in a row fail, and for so long, the machine is not guarded. A trial that
cannot be rolled back for that long closes the machine as well."""

LISTEN_SECONDS = 5.0
"""Between two attempts to listen for requests."""

SHOWN = 10


class GuardError(Exception):
    """What differs from the plan and cannot be repaired."""


class Guard:
    """One machine and its plan."""

    def __init__(self, plan: BootPlan) -> None:
        """Raises OSError where the machine cannot be looked at now."""
        self.rounds = 0
        self._status = GuardStatus()
        self._written = 0
        self._recent: list[tuple[float, tuple[int, str, object]]] = []
        self._monitor = ChangeMonitor()
        self._requests: Requests | None = None
        self._listen_at = 0.0
        self._overdue_since: float | None = None
        self._listen()
        self._trial = Trial(plan, self._status)
        self._duplicates = Duplicates(self._status)
        self._follow_plan()

    def _follow_plan(self) -> None:
        """Guard the plan that is in force now."""
        self._plan = self._trial.plan
        self._audit = Audit(self._plan)
        self._link_keeper = LinkKeeper(self._plan, self._status)

    def watch(self) -> None:
        """Watch without end.

        Raises GuardError, SwitchError, and whatever else makes a round fail: what is on the machine
        then is not known, and it is to be called again.
        """
        self._trial.resume()
        if self._trial.plan is not self._plan:
            self._follow_plan()
        changes = Changes()
        changes.all = True
        due = 0.0
        while True:
            if time.monotonic() >= due:
                changes.all = True
            start = time.monotonic()
            self.settle(changes)
            if changes.all:
                end = time.monotonic()
                due = end + max(FULL_SECONDS, (end - start) * SHARE)
            self.rounds += 1
            changes = self._wait()

    def log_failure(self, error: Exception) -> None:
        """Log that a round failed, where the last line is not the same."""
        text = f"a round failed and is tried again: {error!r}"
        if not self._status.lines or not self._status.lines[-1].endswith(text):
            self._status.log(text)

    def _wait(self) -> Changes:
        """What has to be looked at next: what the kernel tells, and all of a plan that is new.

        Raises what `watch` does.
        """
        self._listen()
        sources: list[ChangeMonitor | Requests] = [self._monitor]
        if self._requests is not None:
            sources.append(self._requests)
        is_late = self._overdue_since is not None
        pause = TICK_SECONDS if is_late else self._trial.pause(TICK_SECONDS)
        ready = select.select(sources, [], [], pause)[0]
        has_failed = (
            self._requests is not None
            and self._requests in ready
            and not self._answer(self._requests)
        )
        if self._trial.has_timed_out():
            self._roll_back()
        changes = self._monitor.wait(0) if self._monitor in ready else Changes()
        changes.all = changes.all or has_failed
        if self._trial.plan is not self._plan:
            self._follow_plan()
            changes.all = True
        return changes

    def _listen(self) -> None:
        """Listen for requests, where that is not done already. A machine on which nothing can be
        requested is guarded all the same.
        """
        if self._requests is not None or time.monotonic() < self._listen_at:
            return
        try:
            self._requests = Requests()
        except OSError as error:
            if self._listen_at == 0.0:
                self._status.log(f"nothing can be requested of the guard: {error}")
            self._listen_at = time.monotonic() + LISTEN_SECONDS

    def _answer(self, requests: Requests) -> bool:
        """Answer one request; whether the machine is in a known state afterwards. What fails in a
        request fails that request alone; it may have cut off a switch, which is ended then.

        Raises SwitchError where no plan could be put in force, and what `Trial.resume` raises.
        """
        try:
            requests.answer(self._trial.answer, RefusedError)
        except SwitchError:
            raise
        except Exception as error:
            self._status.log(f"a request failed: {error!r}")
            self._trial.resume()
            return False
        return True

    def _roll_back(self) -> None:
        """Put the plan before the trial in force. Where that fails, and the plan on trial is in
        force again, it is tried once more with the next round.

        Raises GuardError where it fails for too long, and what `Trial.roll_back` raises.
        """
        now = time.monotonic()
        if self._overdue_since is None:
            self._overdue_since = now
        try:
            self._trial.roll_back()
        except RefusedError as error:
            if now - self._overdue_since > FAILING_SECONDS:
                raise GuardError(f"the trial cannot be rolled back: {error}") from None
        if not self._trial.has_timed_out():
            self._overdue_since = None

    def settle(self, changes: Changes) -> None:
        """Compare what may have changed, and repair until it is as planned.

        Raises GuardError where it still is not after some rounds.
        """
        wrong: list[Repair] = []
        for _ in range(MAX_ROUNDS):
            with Kernel() as kernel:
                before = self._status.repairs
                if changes.all or changes.links:
                    changes.routes |= self._link_keeper.reconcile(kernel)
                if changes.all or changes.routes or changes.tables or self._duplicates.is_waiting:
                    self._duplicates.repair(kernel, self._audit.links_up())
                wrong = self._compare(kernel, changes)
                self._repair(kernel, wrong)
            wrong += self._repair_sysctls()
            if not wrong and before == self._status.repairs:
                self._record(changes)
                return
        raise GuardError(f"cannot be repaired: {'; '.join(describe_all(wrong)[:SHOWN])}")

    def _record(self, changes: Changes) -> None:
        """Write down what was compared, and whatever was repaired or seen before that."""
        if changes:
            self._status.verified += 1
            self._status.at = seconds()
            self._status.routes = self._audit.count
        if changes or self._status.repairs != self._written:
            self._status.write()
            self._written = self._status.repairs

    def _compare(self, kernel: Kernel, changes: Changes) -> list[Repair]:
        wrong: list[Repair] = []
        if changes.all or changes.rules:
            wrong += self._audit.rules(kernel)
        if changes.all or changes.routes:
            wrong += self._audit.routes(kernel)
        elif changes.tables:
            wrong += self._audit.routes(kernel, changes.tables)
        return wrong

    def _repair(self, kernel: Kernel, wrong: list[Repair]) -> None:
        for repair in wrong[:SHOWN]:
            self._status.log(f"repaired: {describe(repair)}")
            self._count(repair)
        if len(wrong) > SHOWN:
            self._status.log(f"repaired: {len(wrong)} differences in all")
        kernel.attempt([message for repair in wrong for message in repair.messages])
        self._status.repairs += len(wrong)

    def _count(self, repair: Repair) -> None:
        """Raise GuardError where this was repaired too often of late."""
        now = time.monotonic()
        self._recent = [kept for kept in self._recent if kept[0] > now - REPEATS_SECONDS]
        if repair.follows_links():
            return
        self._recent.append((now, repair.key))
        if sum(key == repair.key for _, key in self._recent) > MAX_REPEATS:
            raise GuardError(f"comes back again and again: {describe(repair)}")

    def _repair_sysctls(self) -> list[Repair]:
        """Those that were another value, each set again; one that went with its device is none,
        nor is one of a device that came instead and is being made.
        """
        differing = []
        for key, value in self._audit.sysctls().items():
            try:
                if sysctl.read(key) == value or key not in self._audit.sysctls():
                    continue
                actual = sysctl.read(key)
                if actual == value:
                    continue
                repair = Repair(OF_SYSCTL, CHANGED, key)
                self._status.log(f"repaired: {key} was {actual!r}")
                self._count(repair)
                self._status.repairs += 1
                differing.append(repair)
                sysctl.write([(key, value)])
            except (FileNotFoundError, sysctl.SysctlError):
                continue
        return differing


def watch(plan: BootPlan) -> None:
    """Watch without end, over whatever makes a round fail.

    Raises GuardError.
    """
    guard: Guard | None = None
    failures, since, rounds = 0, 0.0, 0
    while True:
        try:
            guard = guard or Guard(plan)
            guard.watch()
        except GuardError:
            raise
        except SwitchError as error:
            raise GuardError(f"no plan can be put in force: {error}") from None
        except Exception as error:
            now = time.monotonic()
            if guard is not None:
                guard.log_failure(error)
            if failures == 0 or (guard is not None and guard.rounds != rounds):
                failures, since = 0, now
            failures += 1
            rounds = guard.rounds if guard is not None else 0
            if failures > MAX_FAILURES and now - since > FAILING_SECONDS:
                raise GuardError(f"the machine cannot be looked at: {error!r}") from None
            time.sleep(RETRY_SECONDS)
