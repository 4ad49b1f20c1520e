"""The order of things at boot.

In: the boot file.  Out: a machine on which the rules are in force before any interface is
up, with a console; or one on which no interface is up, which says why.
"""

from __future__ import annotations

import os

from pbrinit.boot.network import links, rules
from pbrinit.boot.system import console_writer, syscalls, sysctl
from pbrinit.boot.system.hardening import SYSCTLS
from pbrinit.boot.system.log import log, seconds
from pbrinit.wire import bootplan
from pbrinit.wire.netlink.socket import Kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from pbrinit.wire.bootplan import BootPlan

PLAN = bootplan.PATH
MOUNTS = (
    ("proc", "/proc", "proc", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC, ""),
    ("sysfs", "/sys", "sysfs", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC, ""),
    ("devtmpfs", "/dev", "devtmpfs", syscalls.MS_NOSUID | syscalls.MS_NOEXEC, "mode=755"),
    (
        "tmpfs",
        "/run",
        "tmpfs",
        syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC,
        "mode=755",
    ),
    (
        "cgroup2",
        "/sys/fs/cgroup",
        "cgroup2",
        syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC,
        "",
    ),
)
"""Source, target, kind, flags and data of each mount, in order."""


class ClosedError(Exception):
    """A step that failed without which no interface may be up."""


class Step:
    """One step before the links: what goes wrong in it becomes a ClosedError with its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, ClosedError):
            text = str(error) or type(error).__name__
            raise ClosedError(f"{self._name}: {text}") from error


def before_links() -> BootPlan:
    """Everything up to the rules in force.

    Raises ClosedError with the step that failed and why.
    """
    with Step("mounts"):
        _mount()
    log("no interface is up")
    with Step("the plan"):
        plan = _read_plan()
    with Step("sysctls"):
        sysctl.write(SYSCTLS)
        sysctl.write(plan.sysctls)
    with Step("netlink"), Kernel() as kernel:
        start = seconds()
        with Step("rules"):
            rules.enforce(kernel, plan)
        sent = seconds()
        with Step("reading the rules back"):
            in_force = rules.in_force(kernel)
            differences = rules.differences(plan, in_force)
        compared = seconds()
    if differences:
        raise ClosedError("the rules read back differ: " + "; ".join(differences))
    with Step("looking for interfaces that are up"):
        up = [device for device in links.devices() if links.is_up(device)]
    if up:
        raise ClosedError(f"{' '.join(up)} was up before the rules were in force")
    with Step("loopback and the tables of sets"), Kernel() as kernel:
        links.bring_up(kernel, plan.links[0])
    loaded = seconds()
    with Step("reading the routes back"):
        from pbrinit.boot.network import audit  # noqa: PLC0415  not before the rules

        routes = audit.check_routes(plan)
    log(
        f'policy "{plan.policy}": {len(in_force)} rules in force, sent in'
        f" {(sent - start) * 1000:.0f} ms, read back and equal in"
        f" {(compared - sent) * 1000:.0f} ms; {routes} routes read back and equal in"
        f" {(seconds() - loaded) * 1000:.0f} ms; no interface is up yet"
    )
    for sentence in plan.summary:
        log(sentence)
    log("all else is dropped")
    return plan


def bring_up(plan: BootPlan) -> None:
    """Each interface of the policy; one that fails is said and passed over.

    Nothing here can open anything: the rules are in force already, and so is what the sets of
    the policy leave out. Forwarding comes last; for a card that is not there yet the guard switches
    it on.
    """
    import _socket  # noqa: PLC0415  the module is loaded, its name is needed here alone

    with Step("the host name"):
        _socket.sethostname(plan.hostname)
    with Kernel() as kernel:
        for link in plan.links[1:]:
            if link.room:
                continue  # it comes with its program
            try:
                links.bring_up(kernel, link)
                log(f"{link.name}: {link.device} is up")
            except Exception as error:
                log(f"{link.name}: FAILED: {error}")
                if link.device in links.devices():
                    links.take_down(link.device)
        for address in links.wait_for_addresses(kernel):
            log(f"{address}: another host says that it is his; it is not used yet")
    with Step("forwarding"):
        sysctl.write_present(plan.forwarding_sysctls)
    planned = {link.device for link in plan.links}
    for device in links.devices():
        if device not in planned:
            log(f"{device}: not in the policy, stays down")
    log("ready")


def _mount() -> None:
    queues = console_writer.begin()
    for source, target, kind, flags, data in MOUNTS:
        syscalls.mount(source, target, kind, flags, data)
    nothing = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    # What a library or an error prints must not wait for a terminal either.
    output = queues.stray.writer.fileno()
    for opened, number in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(opened, number)


def _read_plan() -> BootPlan:
    with open(PLAN, "rb") as file:  # noqa: PTH123  pathlib is not in the image
        return bootplan.unpack(file.read())
