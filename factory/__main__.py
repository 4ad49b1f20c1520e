"""`python -m factory`: makes the kernel, the image, and a guest on this terminal.

In: a command line, which the Makefile writes.  Out: files below build/, or a running guest.
"""

from __future__ import annotations

import argparse
import sys
from ipaddress import ip_network
from pathlib import Path

from factory.image.build import make_image
from factory.kernel.build import VARIANTS, build_kernel
from factory.log import die, size, step
from factory.review import report
from factory.vm import kernel_selftest, qemu
from pbrinit.net.addresses import Family
from pbrinit.policy.interfaces import Interface
from pbrinit.policy.problems import PolicyError
from pbrinit.policy.reader.reader import read

BUILD = Path("build")
CARD: dict[str, qemu.Card] = {"vm": "virtio-net-pci", "pc": "e1000e"}
"""What QEMU gives a guest of a variant for a network card."""


def main() -> int:
    """Run one verb; returns the exit status."""
    options = _parser().parse_args()
    try:
        status: int = options.verb(options)
    except KeyboardInterrupt:
        die("interrupted", status=130)
    except OSError as error:
        die(str(error), status=1)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="factory", description="Make kernel and image; boot the image."
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    made = verbs.add_parser("kernel", help="build the kernel, or take it from the cache")
    made.set_defaults(verb=_kernel)
    reviewed = verbs.add_parser("review", help="say what the kernel is, and what is open")
    reviewed.add_argument("--json", action="store_true", help="as JSON")
    reviewed.add_argument("--accept", action="store_true", help="take what is for reviewed")
    reviewed.set_defaults(verb=_review)
    tested = verbs.add_parser("selftest", help="run the kernel's own tests in it")
    tested.set_defaults(verb=_selftest)
    built = verbs.add_parser("image", help="build the image with a policy in it")
    built.add_argument("policy", type=Path, help="the policy file")
    built.add_argument("--output", type=Path, default=BUILD, help="where to (default: %(default)s)")
    built.set_defaults(verb=_image)
    booted = verbs.add_parser("boot", help="boot the image in QEMU on this terminal")
    booted.add_argument("policy", type=Path, help="the policy that is in the image")
    booted.set_defaults(verb=_boot)
    for verb in (made, reviewed, tested, built, booted):
        verb.add_argument("--variant", choices=VARIANTS, default=VARIANTS[0], help="of the kernel")
    return parser


def _kernel(options: argparse.Namespace) -> int:
    kernel = build_kernel(options.variant)
    step(f"Linux {kernel.version}: {kernel.image}, {size(kernel.image)}; next: make image")
    return 0


def _review(options: argparse.Namespace) -> int:
    return report.main(options.variant, as_json=options.json, accept=options.accept)


def _selftest(options: argparse.Namespace) -> int:
    found = kernel_selftest.run(options.variant)
    for one in found:
        step(f"{one.script} {one.test}: {len(one.passed)} passed, {len(one.failed)} failed")
        for what in one.failed:
            step(f"  FAIL {what}")
    for script, test, reason in kernel_selftest.left_out():
        step(f"{script} {test}: not run, it asks for {reason}")
    passed, failed = (sum(len(getattr(one, how)) for one in found) for how in ("passed", "failed"))
    step(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


def _image(options: argparse.Namespace) -> int:
    make_image(options.policy, options.output, options.variant)
    return 0


def _boot(options: argparse.Namespace) -> int:
    try:
        policy = read(options.policy)
    except PolicyError as error:
        die(str(error))
    variant: str = options.variant
    nics = tuple(
        qemu.Nic(
            _network(interface), interface.mac or f"52:54:00:00:00:{number:02x}", CARD[variant]
        )
        for number, interface in enumerate(policy.interfaces, 1)
    )
    kernel, initrd, cmdline = (
        BUILD / name for name in ("vmlinuz", "initramfs.cpio.zst", "cmdline")
    )
    direct = qemu.Direct(kernel, initrd, cmdline.read_text().strip())
    return qemu.boot(qemu.Machine(direct, nics))


ADVERTISED = ip_network("fd77:77:77:77::/64")
"""What QEMU advertises where a policy asks routers: of its own fec0::/64 no host has addresses any
more (RFC 3879)."""


def _network(interface: Interface) -> qemu.User:
    """A network that QEMU plays, with the interface's gateways as the host that answers.

    What the policy lets out by it, QEMU passes on to where this host can go.
    """
    prefixes = {a.version: ip_network(a.network) for a in interface.addresses}
    if interface.waits(Family.V6):
        prefixes[6] = ADVERTISED
    four, six = (interface.gateway(family) for family in Family)
    return qemu.User(
        network=str(prefixes[4]) if 4 in prefixes else None,  # noqa: PLR2004  IP's version
        host=str(four) if four else None,
        network6=str(prefixes[6]) if 6 in prefixes else None,  # noqa: PLR2004  IP's version
        host6=str(six) if six else None,
    )


if __name__ == "__main__":
    sys.exit(main())
