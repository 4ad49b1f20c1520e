"""A duty of PID 1: addresses are given to interfaces on their links, and the plan comes with them.

In: the image's plan, which says which interfaces.  Out: another plan in force for all that is given
at a time, made by a program of its own (pbrinit.cli.appliance.assign), since nothing here knows the
compiler.
"""

from __future__ import annotations

import os

from pbrinit.boot.autoconf import dhcp, ra
from pbrinit.boot.autoconf.lease_holder import InterfaceClient, LeaseHolder
from pbrinit.boot.guard import requests
from pbrinit.boot.state import active_plan, confirmed_policy, program_status
from pbrinit.wire.assignment import Identity
from pbrinit.wire.dhcp import lease

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pbrinit.boot.autoconf.lease_holder import Held
    from pbrinit.wire.bootplan import BootPlan

PROGRAM = "/usr/lib/pbrinit/control"
PROTOCOLS = {
    2: dhcp.PROTOCOL,
    10: ra.PROTOCOL,
}
"""By family, as the kernel numbers them (AF_INET, AF_INET6)."""

RESOLVERS = "/etc/resolv.conf"
LONGEST_ANSWER = 4096


class ApplyError(Exception):
    """What is given and was not put in force; the text says why."""


def hold(plan: BootPlan) -> None:
    """Hold without end what is given to the interfaces that await something.

    Raises ApplyError, OSError where the machine cannot be what it is with nothing.
    """
    clients = (
        InterfaceClient(
            PROTOCOLS[family], name, device, Identity(hostname=plan.hostname, taken=taken)
        )
        for family, name, device, taken in plan.dynamic_interfaces
    )
    LeaseHolder(clients, ApplyAssignments()).run()


class ApplyAssignments:
    """What a `LeaseHolder` calls.

    A program that ended badly may have asked the guard before: then what is in force is not known
    until the guard has done what it is asked after that.
    """

    def __init__(self) -> None:
        self._in_doubt = os.path.exists(active_plan.IN_FORCE)  # noqa: PTH110  pathlib is not in the image

    def __call__(self, held: Sequence[Held]) -> None:
        """Have the plan for what is held in force; with nothing that of the policy that is kept,
        which needs no compiler.

        Raises ApplyError, OSError, BootFileError.
        """
        if not held:
            kept = confirmed_policy.now()
            activate(kept, (), kept=kept.digest, force=self._in_doubt)
            self._in_doubt = False
            return
        resolvers = [resolver for _, found in held for resolver in found][: lease.MAX_RESOLVERS]
        self._in_doubt = True
        _run([PROGRAM, "lease", *(text for text, _ in held), *resolvers])
        self._in_doubt = False


def _run(words: list[str]) -> None:
    """Run a program. Raises ApplyError with what it says where it does not end well."""
    heard, told = os.pipe()
    moves = [(os.POSIX_SPAWN_DUP2, told, 1), (os.POSIX_SPAWN_DUP2, told, 2)]
    child = os.posix_spawn(words[0], words, {}, file_actions=moves)
    os.close(told)
    answer = b""
    while data := os.read(heard, LONGEST_ANSWER):
        answer = (answer + data)[-LONGEST_ANSWER:]
    os.close(heard)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        said = " ".join(answer.decode(errors="replace").split())
        raise ApplyError(said or f"{words[0]} ended with {status}")


def activate(
    plan: BootPlan, resolvers: Sequence[str], *, kept: str = "", force: bool = False
) -> str:
    """Have the guard adopt a plan, where it is not in force already or `force`, and PID 1 see to
    the rooms, and note who resolves names; what the guard says. `kept` is the digest of the plan
    with nothing given, of the policy that this one is of.

    Raises ApplyError, OSError, BootFileError: then what was in force still is.
    """
    told = "nothing changes"
    if force or active_plan.now().digest != plan.digest:
        done, told = requests.ask(f"adopt {kept}".rstrip(), requests.Offer(plan).pack())
        if not done:
            raise ApplyError(told)
    if any(program.room is not None for program in plan.programs):
        program_status.request_refresh()
    with open(RESOLVERS, "w") as file:  # noqa: PTH123  pathlib is not in the image
        file.write("".join(f"nameserver {resolver}\n" for resolver in resolvers))
    return told
