"""A plan on trial: it is put in force, and goes again by itself unless it is confirmed.

In: what somebody asks of the guard, and the time.  Out: a sentence for whoever asked, and the plan
that is in force.  The guard holds this and nobody else: a client that dies leaves a trial that
ends, and a guard that dies one that the next guard ends.
"""

from __future__ import annotations

import os

from pbrinit.boot.guard import switch
from pbrinit.boot.network import slots
from pbrinit.boot.state import active_plan, confirmed_policy, program_status
from pbrinit.boot.system.log import seconds
from pbrinit.wire.bootplan import FIELDS, BootPlan, ProgramPlan, RoomPlan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pbrinit.boot.state.guard_status import GuardStatus

LONGEST_SECONDS = 3600
CHANGEABLE = {"hostname", "policy", "digest", "on_failure", "summary", "users", "sysctls", "rules",
              "kernel_rule_removals", "rule_commands", "links", "forwarding_sysctls", "log",
              "assignments"}  # fmt: skip
"""The parts of a plan in which two may differ while the machine runs."""


class RefusedError(Exception):
    """What cannot be done as asked; nothing has changed. The text says why."""


class Trial:
    """The plan in force, and what comes back instead."""

    def __init__(self, image: BootPlan, record: GuardStatus) -> None:
        self.plan = active_plan.read(image)
        self._image = image
        self._record = record
        self._before = active_plan.rollback(self.plan)
        if self._before is None:
            self._keep()

    def resume(self) -> None:
        """Go on from where another guard ended. Raises what `adopt` does."""
        if switch.is_half_done(self.plan):
            switch.switch_plan(self.plan, lambda: None)
            self._record.log(f'policy "{self.plan.policy}" is in force, after a switch was cut off')

    def pause(self, longest: float) -> float:
        """How long there is to wait: no longer than the trial lasts."""
        if self._before is None:
            return longest
        return min(longest, max(0.0, self._before.deadline - seconds()))

    def is_over(self) -> bool:
        """Whether nobody has confirmed, and the time is up."""
        return self._before is not None and seconds() >= self._before.deadline

    def answer(self, words: Sequence[str]) -> str:
        """Do what is asked: `try SECONDS`, `adopt` or `confirm`. Who tries may say by its digest
        which plan was in force when the next one was made, and who adopts which plan the policy
        that is kept has with nothing given: where another is meanwhile, it is refused.

        Raises RefusedError; and what `adopt` does where the plan before could not be put back.
        """
        match words:
            case ["try", text, *now] if text.isdigit() and 0 < int(text) <= LONGEST_SECONDS:
                return self._try(int(text), now)
            case ["try", *_]:
                raise RefusedError(f"a trial lasts 1 to {LONGEST_SECONDS} s")
            case ["adopt", *kept]:
                return self._adopt(kept)
            case ["confirm"]:
                return self._confirm()
            case _:
                raise RefusedError(f"nobody here does {' '.join(words)!r}")

    def end(self) -> None:
        """Put the plan before in force again. Raises what `adopt` does."""
        before = self._before
        if before is None:
            return
        self._record.log(f'policy "{self.plan.policy}" was not confirmed')
        self._switch(before.plan, None)
        confirmed_policy.forget()

    def _keep(self) -> None:
        """What was tried is kept where it was confirmed, else forgotten: another guard may have
        ended in between.
        """
        tried = confirmed_policy.read(confirmed_policy.TRIED)
        if tried is not None and tried.digest == self.plan.digest:
            confirmed_policy.confirm()
        else:
            confirmed_policy.forget()

    def _try(self, length: int, now: Sequence[str]) -> str:
        if self._before is not None:
            left = self._before.deadline - seconds()
            raise RefusedError(f'policy "{self.plan.policy}" is on trial for {left:.0f} s more')
        if now and now[0] != self.plan.digest:
            raise RefusedError("another plan has come in force meanwhile: try again")
        new = self._next()
        tried = confirmed_policy.read(confirmed_policy.TRIED) if new.dynamic_interfaces else None
        if new.dynamic_interfaces and (tried is None or tried.digest != new.digest):
            raise RefusedError("what it is read from is not there, for when an address changes")
        self._switch(new, active_plan.Rollback(self.plan, seconds() + length))
        return f'policy "{new.policy}" is in force for {length} s; `pbrctl confirm` keeps it'

    def _adopt(self, kept: Sequence[str]) -> str:
        """For what is not a person's, and needs no trial: an address that was given. It ends one:
        the plan on trial is for another address.
        """
        if kept and kept[0] != confirmed_policy.plan(self._image).digest:
            raise RefusedError("another policy is kept meanwhile")
        new = self._next(leased=True)
        if self._before is not None:
            self._record.log(f'policy "{self.plan.policy}" is on trial no more: an address changed')
        self._switch(new, None)
        confirmed_policy.forget()
        return f'policy "{new.policy}" is in force'

    def _confirm(self) -> str:
        if self._before is None:
            raise RefusedError("no policy is on trial")
        active_plan.write(self.plan, None)
        self._before = None
        self._keep()
        told = f'policy "{self.plan.policy}" is kept, until the machine starts again'
        self._record.log(told)
        return told

    def _next(self, *, leased: bool = False) -> BootPlan:
        """The plan that is asked for, in the place that is free; of one for a lease the rooms may
        have other addresses, and `Programs.renew` sees to them.

        Raises RefusedError.
        """
        try:
            new = active_plan.load(active_plan.NEXT)
            os.unlink(active_plan.NEXT)  # noqa: PTH108  pathlib is not in the image
        except Exception as error:
            raise RefusedError(f"the plan cannot be read: {error}") from None
        compared = (_without_addresses(self.plan), _without_addresses(new))
        different = differences(*(compared if leased else (self.plan, new)))
        if different:
            raise RefusedError("; ".join(different))
        return slots.relocate(new, 1 - slots.slot_of(self.plan))

    def _switch(self, new: BootPlan, before: active_plan.Rollback | None) -> None:
        """Raises RefusedError where the plan in force stayed so; what `adopt` raises where it is
        not known which is.
        """
        old, trial = self.plan, self._before

        def commit() -> None:
            active_plan.write(new, before)
            self.plan, self._before = new, before

        try:
            switch.switch_plan(new, commit, old)
        except Exception as error:
            self._record.log(f'policy "{new.policy}" cannot be put in force: {error}')
            self._put_back(old, trial)
            _tell(old, new)
            raise RefusedError(f"it cannot be put in force, and was taken back: {error}") from None
        _tell(old, new)
        self._record.log(
            f'policy "{new.policy}" {new.digest[:16]}: {len(new.rules)} rules in force'
        )

    def _put_back(self, old: BootPlan, before: active_plan.Rollback | None) -> None:
        def commit() -> None:
            active_plan.write(old, before)
            self.plan, self._before = old, before

        switch.switch_plan(old, commit)


def _tell(old: BootPlan, new: BootPlan) -> None:
    """Have PID 1 look where one of two plans logs: it may have seen either in force."""
    if old.log != new.log:
        program_status.request_refresh()


def _without_addresses(plan: BootPlan) -> BootPlan:
    """The plan without what follows from the machine's addresses in its rooms."""
    programs = tuple(
        ProgramPlan(**{**vars(program), "room": RoomPlan(**{**vars(program.room), "messages": ()})})
        if program.room is not None
        else program
        for program in plan.programs
    )
    return BootPlan(**{**vars(plan), "programs": programs})


def differences(old: BootPlan, new: BootPlan) -> list[str]:
    """In what the two differ that a running machine does not change, a sentence each."""
    found = [
        f"{name} differ: that takes a reboot"
        for name in FIELDS
        if name not in CHANGEABLE and getattr(old, name) != getattr(new, name)
    ]
    macs = {link.device: link.mac for link in old.links}
    devices = {link.mac: link.device for link in old.links if link.mac}
    for link in new.links:
        named = devices.get(link.mac, link.device) if link.mac else link.device
        if macs.get(link.device, link.mac) != link.mac:
            found.append(f"{link.name}: another card is to be {link.device}: that takes a reboot")
        elif named != link.device:
            found.append(f"{link.name}: {named} is to be {link.device}: that takes a reboot")
    return found
