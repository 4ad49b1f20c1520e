"""The status as a page for Prometheus.

In: a `BootPlan` and what the guard has written down; nothing that takes long, as strangers ask
for it.  Out: text.  Source: Prometheus' text-based exposition format, version 0.0.4.
"""

from __future__ import annotations

from pbrinit.boot.network import links
from pbrinit.boot.observe import drop_counters, reject_log
from pbrinit.boot.state import guard_status, program_status
from pbrinit.boot.system.log import seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pbrinit.wire.bootplan import BootPlan

    Labels = dict[str, str]
    Sample = tuple[Labels, float]

TYPE = "text/plain; version=0.0.4; charset=utf-8"


def page(plan: BootPlan) -> str:
    """The whole page."""
    return "".join(
        f"# HELP {name} {about}\n# TYPE {name} {kind}\n"
        + "".join(f"{name}{_labels(labels)} {value:.15g}\n" for labels, value in samples)
        for name, kind, about, samples in _families(plan)
    )


def _families(plan: BootPlan) -> Iterator[tuple[str, str, str, list[Sample]]]:
    """Name, type, meaning and samples of each metric."""
    status = guard_status.read()
    named = {link.device: link.name for link in plan.links}
    info = {"hostname": plan.hostname, "policy": plan.policy, "digest": plan.digest}
    yield "pbrinit_info", "gauge", "The machine and its policy.", [(info, 1)]
    for name, kind, about, value in (
        ("uptime_seconds", "gauge", "Seconds since the kernel started.", seconds()),
        ("rules", "gauge", "Rules of the plan.", len(plan.rules)),
        ("routes", "gauge", "Routes of the plan, when they were last compared.", status.routes),
        ("verified_total", "counter", "How often the kernel was compared with the plan.",
         status.verified),
        ("verified_at_seconds", "gauge", "When that was last, in seconds of uptime.", status.at),
        ("repairs_total", "counter", "Differences that were put right.", status.repairs),
        ("carrier_changes_total", "counter", "Carriers lost and come.", status.carriers),
    ):  # fmt: skip
        yield f"pbrinit_{name}", kind, about, [({}, value)]
    devices = [device for device in links.devices() if device in named]
    by_device = {device: {"device": device, "interface": named[device]} for device in devices}
    for name, about, read in (
        ("link_up", "Whether the interface is up.", links.is_up),
        ("link_carrier", "Whether it has a carrier.", links.carrier),
    ):
        samples = [(by_device[device], float(read(device))) for device in devices]
        yield f"pbrinit_{name}", "gauge", about, samples
    counted = {device: links.counters(device) for device in devices}
    for name in links.COUNTERS:
        samples = [(by_device[device], float(counted[device][name])) for device in devices]
        yield f"pbrinit_link_{name}_total", "counter", f"The device's {name}.", samples
    lost = [({"kind": str(each["kind"]), "family": str(each["family"])}, float(each["count"]))
            for each in drop_counters.read()]  # fmt: skip
    # Of what is a difference of counters it is not sure that it never goes back.
    yield "pbrinit_drops", "gauge", "What arrived and went nowhere; `pbrctl drops` explains.", lost
    if plan.log:
        received = float(reject_log.recent()[0])
        about = "Refusals that the log has heard of, which are not all."
        yield "pbrinit_refused_total", "counter", about, [({}, received)]
    programs = program_status.report(plan)
    for name, kind, about, values in (
        ("up", "gauge", "Whether the program runs.", [p.process is not None for p in programs]),
        ("restarts_total", "counter", "How often it was started again.",
         [p.restarts for p in programs]),
    ):  # fmt: skip
        samples = [({"program": p.name}, float(v)) for p, v in zip(programs, values, strict=True)]
        yield f"pbrinit_program_{name}", kind, about, samples


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
