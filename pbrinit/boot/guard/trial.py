"""A plan on trial: it is in force for a time, and is rolled back automatically unless confirmed.

In: what is asked of the guard, and the time.  Out: a sentence for the process that asked, and the
plan that is in force.  The guard holds this and no other process: a client that dies leaves a trial
that ends, and a guard that dies one that the next guard ends.

A trial has an owner, the program that tries or root, and a token that the owner alone is told.  A
program confirms a trial of its own, by its token; what the program's own packets may be does not
change under its trial, nor what the machine does on failure (`packet_rules`).
"""

from __future__ import annotations

import contextlib
import os

from pbrinit.boot.guard import packet_rules, requests, switch
from pbrinit.boot.network import slots
from pbrinit.boot.state import active_plan, confirmed_policy, program_status
from pbrinit.boot.system.log import seconds
from pbrinit.wire import decimal_number
from pbrinit.wire.bootplan import FIELDS, BootFileError, BootPlan, ProgramPlan, RoomPlan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pbrinit.boot.guard.requests import Offer
    from pbrinit.boot.state.guard_status import GuardStatus

TOKEN_BYTES = 8
MOST_MORE = 2
CHANGEABLE = {"hostname", "policy", "digest", "on_failure", "summary", "users", "sysctls", "rules",
              "kernel_rule_removals", "rule_commands", "links", "forwarding_sysctls", "log",
              "assignments"}  # fmt: skip
"""The parts of a plan in which two may differ while the machine runs."""

NAMES = {"dynamic_interfaces": "the interfaces whose address is given to them"}
"""What a part of a plan is called where it has another name in a policy."""


class RefusedError(Exception):
    """What cannot be done as asked; nothing has changed. The text says why."""


class Trial:
    """The plan in force, and what comes back instead."""

    def __init__(self, image: BootPlan, record: GuardStatus) -> None:
        self._image = image
        self._record = record
        self._in_doubt = False
        self.plan, self._before = self._found()
        if self._before is None:
            self._keep()

    def _found(self) -> tuple[BootPlan, active_plan.Rollback | None]:
        """The plan in force, and what comes back, as another guard has left them. Where that cannot
        be read, it is the image's plan: of that one it is known that it may be in force.
        """
        try:
            plan = active_plan.read(self._image)
            return plan, active_plan.rollback(plan)
        except (OSError, BootFileError) as error:
            self._record.log(f"the image's plan comes in force: the last one is lost: {error}")
            return self._image, None

    def resume(self) -> None:
        """Go on from where another guard ended. Raises what `switch_plan` does."""
        if switch.is_interrupted(self.plan):
            switch.switch_plan(self.plan, lambda: None)
            self._record.log(f'policy "{self.plan.policy}" is in force, after a switch was cut off')

    def pause(self, longest: float) -> float:
        """How long there is to wait: no longer than the trial lasts."""
        if self._before is None:
            return longest
        return min(longest, max(0.0, self._before.deadline - seconds()))

    def has_timed_out(self) -> bool:
        """Whether nobody has confirmed, and the time is up."""
        return self._before is not None and seconds() >= self._before.deadline

    def answer(self, words: Sequence[str], data: bytes = b"") -> str:
        """Do what is asked, with the bytes that came along (`requests.Offer`):

        - `try SECONDS [NOW [PROGRAM]]`: put the plan on trial. NOW is the digest of the plan in
          force when this one was made: if another is meanwhile, it is refused.
        - `adopt [KEPT]`: put the plan in force for good. KEPT is the digest of the plan without
          addresses of the confirmed policy: if another is meanwhile, it is refused.
        - `confirm [TOKEN [PROGRAM]]`: keep the plan on trial.

        Raises RefusedError where nothing has changed, whatever the reason; and what `switch_plan`
        raises where the plan before could not be put back.
        """
        try:
            return self._do(words, data)
        except RefusedError:
            raise
        except Exception as error:
            if self._in_doubt:
                raise
            self._record.log(f"a request failed, and nothing has changed: {error!r}")
            raise RefusedError(f"it failed, and nothing has changed: {error!r}") from None

    def _do(self, words: Sequence[str], data: bytes) -> str:
        match words:
            case ["try", text, *more] if len(more) <= MOST_MORE:
                length = decimal_number.parse(text, requests.LONGEST_TRIAL)
                if not length:
                    raise RefusedError(f"a trial lasts 1 to {requests.LONGEST_TRIAL} s")
                return self._try(length, _unpacked(data), *more)
            case ["adopt", *kept] if len(kept) <= 1:
                return self._adopt(kept, _unpacked(data))
            case ["confirm"]:
                return self._confirm()
            case ["confirm", token]:
                return self._confirm(token)
            case ["confirm", token, owner]:
                return self._confirm(token, owner)
            case _:
                raise RefusedError(f"nobody here does {' '.join(words)!r}")

    def roll_back(self) -> None:
        """Put the plan before in force again. Raises what `switch_plan` does."""
        before = self._before
        if before is None:
            return
        self._record.log(f'policy "{self.plan.policy}" was not confirmed')
        self._switch(before.plan, None)
        self._forget()

    def _keep(self) -> None:
        """Keep the policy that was tried if it was confirmed, else forget it: another guard may
        have ended in between.
        """
        try:
            tried = confirmed_policy.read(confirmed_policy.TRIED)
            if tried is not None and tried.digest == self.plan.digest:
                confirmed_policy.confirm()
            else:
                confirmed_policy.forget()
        except Exception as error:
            self._record.log(f"the policy in force may be lost when an address changes: {error!r}")

    def _forget(self) -> None:
        with contextlib.suppress(OSError):
            confirmed_policy.forget()

    def _try(self, length: int, offer: Offer, now: str = "", owner: str = "") -> str:
        if now and now != self.plan.digest:
            raise RefusedError("another plan has come in force meanwhile: try again")
        if self._before is not None and (owner or not self._before.owner):
            left = self._before.deadline - seconds()
            raise RefusedError(f'policy "{self.plan.policy}" is on trial for {left:.0f} s more')
        self.roll_back()  # of a program, where root tries: no program keeps root from it
        new = self._relocated(offer.plan)
        if owner:
            self._check_owner(owner, new)
        if new.dynamic_interfaces:
            if offer.waiting is None or not offer.files:
                raise RefusedError("what it is read from is not there, for when an address changes")
            tried = confirmed_policy.ConfirmedPolicy(new.digest, offer.waiting, offer.files)
            confirmed_policy.write(tried)
        token = os.urandom(TOKEN_BYTES).hex()
        self._switch(new, active_plan.Rollback(self.plan, seconds() + length, owner, token))
        named = f"confirm {token}" if owner else "confirm"
        return f'policy "{new.policy}" is in force for {length} s; `pbrctl {named}` keeps it'

    def _check_owner(self, owner: str, new: BootPlan) -> None:
        """What a program may not change by a trial. Raises RefusedError."""
        program = next((one for one in self.plan.programs if one.name == owner), None)
        if program is None or program.control != "try":
            raise RefusedError(f"no program {owner!r} may try a policy")
        if new.on_failure != self.plan.on_failure:
            raise RefusedError("on-failure differs: a program cannot change it, the console can")
        device = program.room.device if program.room is not None else packet_rules.MACHINE
        if packet_rules.of_device(self.plan, device) != packet_rules.of_device(new, device):
            raise RefusedError(
                f"what {owner} itself may send or answer differs: a program cannot change its own"
                " entries, the console can"
            )

    def _adopt(self, kept: Sequence[str], offer: Offer) -> str:
        """For what is not a person's, and needs no trial: an address that was given. It ends one:
        the plan on trial is for another address.
        """
        if kept and kept[0] != confirmed_policy.plan(self._image).digest:
            raise RefusedError("another policy is kept meanwhile")
        new = self._relocated(offer.plan, leased=True)
        if self._before is not None:
            self._record.log(f'policy "{self.plan.policy}" is on trial no more: an address changed')
        self._switch(new, None)
        self._forget()
        return f'policy "{new.policy}" is in force'

    def _confirm(self, token: str | None = None, owner: str | None = None) -> str:
        """Keep what is on trial; root's word needs no token, and a program's its own."""
        if self._before is None:
            raise RefusedError("no policy is on trial")
        if token is not None and token != self._before.token:
            raise RefusedError(f'the trial of policy "{self.plan.policy}" has another token')
        if owner is not None and owner != self._before.owner:
            raise RefusedError(f'the trial of policy "{self.plan.policy}" is not of {owner}')
        active_plan.write(self.plan, None)
        self._before = None
        self._keep()
        told = f'policy "{self.plan.policy}" is kept, until the machine starts again'
        self._record.log(told)
        return told

    def _relocated(self, new: BootPlan, *, leased: bool = False) -> BootPlan:
        """A plan that is asked for, in the place that is free; of one for a lease the rooms may
        have other addresses, and `Programs.follow` sees to them.

        Raises RefusedError.
        """
        compared = (_without_addresses(self.plan), _without_addresses(new))
        different = differences(*(compared if leased else (self.plan, new)))
        if different:
            raise RefusedError("; ".join(different))
        return slots.relocate(new, 1 - slots.slot_of(self.plan))

    def _switch(self, new: BootPlan, before: active_plan.Rollback | None) -> None:
        """Raises RefusedError where the plan in force stayed so; what `switch_plan` raises where it
        is not known which is.
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

        self._in_doubt = True
        switch.switch_plan(old, commit)
        self._in_doubt = False


def _unpacked(data: bytes) -> Offer:
    try:
        return requests.unpack(data)
    except BootFileError as error:
        raise RefusedError(f"the plan cannot be read: {error}") from None


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
        f"{NAMES.get(name, name)} differ: that takes a reboot"
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
