"""The links while the machine runs: those of the plan are up and as planned, all others down.

In: the plan's links, and what devices there are.  Out: the same devices, each as it should be,
and a line for whatever has changed.
"""

from __future__ import annotations

from pbrinit.boot.network import addresses, links
from pbrinit.boot.system import sysctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pbrinit.boot.state.guard_status import GuardStatus
    from pbrinit.wire.bootplan import BootPlan, LinkPlan
    from pbrinit.wire.netlink.socket import Kernel

LOOPBACK = "lo"


class LinkKeeper:
    """What is known of each device, to say only what has changed.

    Those that lead into rooms come and go with their programs, which is nothing to say; who makes
    a room makes its device, and from then on it is kept up here.
    """

    def __init__(self, plan: BootPlan, record: GuardStatus) -> None:
        self._plan = plan
        self._record = record
        self._planned = {link.device for link in plan.links}
        self._rooms = {link.device for link in plan.links if link.room}
        self._here = set(links.devices())
        self._carriers = {device: links.carrier(device) for device in self._here}
        self._failed: dict[str, str] = {}

    def reconcile(self, kernel: Kernel) -> bool:
        """Make each device what it should be; whether one was brought up.

        Raises OSError where an interface cannot be set down.
        """
        here = set(links.devices())
        repairs = self._record.repairs
        if LOOPBACK in here and not links.is_up(LOOPBACK):
            # Sets that leave out are routes on it: without them more could pass, so nothing does.
            self._record.log("lo was set down: every interface goes down, and all come up again")
            for device in here:
                links.take_down(device)
        for link in self._plan.links:
            self._reconcile_link(kernel, link, here)
        here = set(links.devices())
        for device in sorted(here - self._planned):
            self._keep_down(device)
        for device in sorted(self._here - here - self._rooms):
            self._record.log(f"{device} is gone")
        self._here = here
        for device in sorted(here - self._rooms):
            self._see_carrier(device)
        self._carriers = {device: self._carriers[device] for device in here - self._rooms}
        return self._record.repairs != repairs

    def _reconcile_link(self, kernel: Kernel, link: LinkPlan, here: set[str]) -> None:
        present = link.device in here
        # Asked first: one that is up a moment after it was found down, and is made then, was not.
        if link.room and not (present and links.is_made(link)):
            return
        if present and links.is_up(link.device):
            self._failed.pop(link.name, None)
            return
        if not present and (link.rename is None or not links.has_mac(link.mac)):
            return
        try:
            if present:
                kernel.attempt(addresses.removals(kernel, links.index(link.device)))
            links.bring_up(kernel, link, again=True)
            ours = f"/{link.device}/"
            sysctl.write(
                (k, v) for k, v in self._plan.forwarding_sysctls if ours in k or "/all/" in k
            )
        except Exception as error:
            if link.device in links.devices():
                links.take_down(link.device)
            if self._failed.get(link.name) != str(error):
                self._record.log(f"{link.name}: {link.device} FAILED and stays down: {error}")
            self._failed[link.name] = str(error)
            return
        self._failed.pop(link.name, None)
        self._record.repairs += 1
        self._record.log(f"{link.name}: {link.device} is up again, as planned")

    def _keep_down(self, device: str) -> None:
        if links.is_up(device):
            links.take_down(device)
            self._record.repairs += 1
            self._record.log(f"{device}: not in the policy, was set up; it is down again")
        elif device not in self._here:
            self._record.log(f"{device}: not in the policy, stays down")

    def _see_carrier(self, device: str) -> None:
        now = links.carrier(device)
        before = self._carriers.get(device, now)
        self._carriers[device] = now
        if now != before and links.is_up(device):
            self._record.carriers += 1
            self._record.log(f"{device} has {'its carrier again' if now else 'lost its carrier'}")
