"""The links while the machine runs: those of the plan are up and as planned, all others down.

In: the plan's links, and what devices there are.  Out: the same devices, each as it should be,
and a line for whatever has changed.
"""

from __future__ import annotations

from pbrinit.boot.network import addresses, links, room_devices
from pbrinit.boot.system import sysctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pbrinit.boot.state.guard_status import GuardStatus
    from pbrinit.wire.bootplan import BootPlan, LinkPlan
    from pbrinit.wire.netlink.socket import Kernel

LOOPBACK = "lo"


class LinkKeeper:
    """What is known of each device, to say only what has changed.

    Those that lead into rooms come and go with their programs, which is nothing to say; who makes
    a room makes its device, and from then on it is kept up here.
    """

    def __init__(self, plan: BootPlan, status: GuardStatus) -> None:
        self._plan = plan
        self._status = status
        self._planned = {link.device for link in plan.links}
        self._rooms = {link.device for link in plan.links if link.room}
        self._present = set(links.devices())
        self._carriers = {device: links.carrier(device) for device in self._present}
        self._failed: dict[str, str] = {}

    def reconcile(self, kernel: Kernel) -> bool:
        """Make each device what it should be; whether one was brought up. A device that vanishes
        meanwhile is no failure, and one that fails does not keep the others from what they should
        be.

        Raises OSError where an interface cannot be set down.
        """
        failures: list[OSError] = []
        present = set(links.devices())
        repairs = self._status.repairs
        if LOOPBACK in present and not links.is_up(LOOPBACK):
            # Sets that leave out are routes on it: without them more could pass, so nothing does.
            self._status.log("lo was set down: every interface goes down, and all come up again")
            for device in sorted(present):
                _attempt(failures, links.take_down, device)
        for link in self._plan.links:
            _attempt(failures, self._reconcile_link, kernel, link, present)
        present = set(links.devices())
        for device in sorted(present - self._planned):
            _attempt(failures, self._keep_down, device)
        for device in sorted(self._present - present - self._rooms):
            self._status.log(f"{device} is gone")
        self._present = present
        for device in sorted(present - self._rooms):
            _attempt(failures, self._check_carrier, device)
        self._carriers = {d: on for d, on in self._carriers.items() if d in present - self._rooms}
        if failures:
            raise failures[0]
        return self._status.repairs != repairs

    def _reconcile_link(self, kernel: Kernel, link: LinkPlan, devices: set[str]) -> None:
        present = link.device in devices
        if link.room and present and room_devices.remove_forged(kernel, link.device):
            self._status.repairs += 1
            self._status.log(f"{link.device}: is not the device that was made; it is removed")
            return
        # Asked first: one that is up a moment after it was found down, and is made then, was not.
        if link.room and not (present and links.is_ready(link)):
            return
        if present and links.is_up(link.device):
            self._failed.pop(link.name, None)
            return
        if not present and (link.rename is None or not links.of_mac(link.mac)):
            return
        number = 0
        try:
            if present:
                number = links.index(link.device)
                kernel.attempt(addresses.removals(kernel, links.index(link.device)))
            links.bring_up(kernel, link, again=True)
            ours = f"/{link.device}/"
            sysctl.write(
                (k, v) for k, v in self._plan.forwarding_sysctls if ours in k or "/all/" in k
            )
        except Exception as error:
            if link.room and not links.is_same(link.device, number):
                return  # its room has ended meanwhile
            if link.device in links.devices():
                links.take_down(link.device)
            if self._failed.get(link.name) != str(error):
                self._status.log(f"{link.name}: {link.device} FAILED and stays down: {error}")
            self._failed[link.name] = str(error)
            return
        self._failed.pop(link.name, None)
        self._status.repairs += 1
        self._status.log(f"{link.name}: {link.device} is up again, as planned")

    def _keep_down(self, device: str) -> None:
        if links.is_up(device):
            links.take_down(device)
            self._status.repairs += 1
            self._status.log(f"{device}: not in the policy, was set up; it is down again")
        elif device not in self._present:
            self._status.log(f"{device}: not in the policy, stays down")

    def _check_carrier(self, device: str) -> None:
        now = links.carrier(device)
        before = self._carriers.get(device, now)
        self._carriers[device] = now
        if now != before and links.is_up(device):
            self._status.carriers += 1
            self._status.log(f"{device} has {'its carrier again' if now else 'lost its carrier'}")


def _attempt(failures: list[OSError], act: Callable[..., object], *arguments: object) -> None:
    """Do it; what it raises is kept for later."""
    try:
        act(*arguments)
    except OSError as error:
        failures.append(error)
