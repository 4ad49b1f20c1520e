"""The guard: for as long as the machine runs, it is what the plan says, or closed.

In: a `BootPlan`, and what is asked for: another one.  Out: differences repaired, said and counted;
or a `GuardError` where one comes back.  It looks at what changes when the kernel tells of it, at
sysctls every second, as nobody tells of these, and at everything now and then.
"""

from __future__ import annotations

import select
import time

from pbrinit.boot.guard.link_keeper import LinkKeeper
from pbrinit.boot.guard.requests import Requests
from pbrinit.boot.guard.switch import SwitchError
from pbrinit.boot.guard.trial import RefusedError, Trial
from pbrinit.boot.network.audit import Audit
from pbrinit.boot.state.guard_status import GuardStatus
from pbrinit.boot.system import sysctl
from pbrinit.boot.system.log import seconds
from pbrinit.wire.netlink.monitor import ChangeMonitor, Changes
from pbrinit.wire.netlink.socket import Kernel, KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pbrinit.boot.network.routes import Repair
    from pbrinit.wire.bootplan import BootPlan

TICK_SECONDS = 0.8
FULL_SECONDS = 30.0
SHARE = 50
"""A full audit takes at most one part in so many of the machine's time."""

ROUNDS = 5
"""So often a difference is repaired before it is taken for one that cannot be."""

AGAIN, AGAIN_SECONDS = 12, 10.0
"""As often in that time, and somebody works against the guard. What is missing after a link went
down and came up is not counted: a bad cable must not close the machine."""

RETRY_SECONDS = 0.05
SHOWN = 10


class GuardError(Exception):
    """What differs from the plan and cannot be repaired."""


class Guard:
    """One machine and its plan."""

    def __init__(self, plan: BootPlan) -> None:
        self._record = GuardStatus()
        self._written = 0
        self._recent: list[tuple[float, str]] = []
        self._events = ChangeMonitor()
        self._requests = Requests()
        self._trial = Trial(plan, self._record)
        self._take()

    def _take(self) -> None:
        """Guard the plan that is in force now."""
        self._plan = self._trial.plan
        self._audit = Audit(self._plan)
        self._link_keeper = LinkKeeper(self._plan, self._record)

    def watch(self) -> None:
        """Watch without end.

        Raises GuardError, AdoptError, KernelError or OSError: what is on the machine then is not
        known.
        """
        self._trial.resume()
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
            changes = self._wait()

    def _wait(self) -> Changes:
        """What has to be looked at next: what the kernel tells, and all of a plan that is new.

        Raises what `watch` does.
        """
        sources: list[ChangeMonitor | Requests] = [self._events, self._requests]
        ready = select.select(sources, [], [], self._trial.pause(TICK_SECONDS))[0]
        if self._requests in ready:
            self._requests.answer(self._trial.answer, RefusedError)
        if self._trial.is_over():
            self._trial.end()
        changes = self._events.wait(0) if self._events in ready else Changes()
        if self._trial.plan is not self._plan:
            self._take()
            changes.all = True
        return changes

    def settle(self, changes: Changes) -> None:
        """Compare what may have changed, and repair until it is as planned.

        Raises GuardError where it still is not after some rounds.
        """
        wrong: list[Repair] = []
        for _ in range(ROUNDS):
            with Kernel() as kernel:
                before = self._record.repairs
                if changes.all or changes.links:
                    changes.routes |= self._link_keeper.reconcile(kernel)
                wrong = self._compare(kernel, changes)
                self._repair(kernel, wrong)
            differing = self._sysctls()
            if not wrong and not differing and before == self._record.repairs:
                self._note(changes)
                return
        told = [text for text, _ in wrong if text] + [key for key, _ in differing]
        raise GuardError(f"cannot be repaired: {'; '.join(told[:SHOWN])}")

    def _note(self, changes: Changes) -> None:
        """Write down what was compared, and whatever was repaired or seen before that."""
        if changes:
            self._record.verified += 1
            self._record.at = seconds()
            self._record.routes = self._audit.count
        if changes or self._record.repairs != self._written:
            self._record.write()
            self._written = self._record.repairs

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
        for text, _ in [repair for repair in wrong if repair[0]][:SHOWN]:
            self._record.log(f"repaired: {text}")
            self._count(text)
        if len(wrong) > SHOWN:
            self._record.log(f"repaired: {len(wrong)} differences in all")
        kernel.attempt([message for _, messages in wrong for message in messages])
        self._record.repairs += len(wrong)

    def _count(self, text: str) -> None:
        """Raise GuardError where this was repaired too often of late."""
        now = time.monotonic()
        self._recent = [kept for kept in self._recent if kept[0] > now - AGAIN_SECONDS]
        follows_links = text.startswith(("missing: route", "missing: address"))
        self._recent += [] if follows_links else [(now, text)]
        if sum(kept[1] == text for kept in self._recent) > AGAIN:
            raise GuardError(f"comes back again and again: {text}")

    def _sysctls(self) -> list[tuple[str, str]]:
        """Those that were another value, each set again; one that went with its device is none,
        nor is one of a device that came instead and is being made.
        """
        differing = []
        for key, value in self._audit.sysctls().items():
            try:
                if sysctl.read(key) == value or key not in self._audit.sysctls():
                    continue
                found = sysctl.read(key)
                if found == value:
                    continue
                self._record.log(f"repaired: {key} was {found!r}")
                self._count(key)
                self._record.repairs += 1
                differing.append((key, value))
                sysctl.write([(key, value)])
            except (FileNotFoundError, sysctl.SysctlError):
                continue
        return differing


def watch(plan: BootPlan) -> None:
    """Watch without end, over what is no more than a race with a device that comes or goes.

    Raises GuardError.
    """
    guard = Guard(plan)
    failures: list[float] = []
    while True:
        try:
            guard.watch()
        except SwitchError as error:
            raise GuardError(f"no plan can be put in force: {error}") from None
        except (KernelError, OSError) as error:
            now = time.monotonic()
            failures = [at for at in (*failures, now) if at > now - AGAIN_SECONDS]
            if len(failures) > AGAIN:
                raise GuardError(f"the kernel cannot be asked: {error}") from None
            time.sleep(RETRY_SECONDS)
