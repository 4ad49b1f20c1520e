"""`python -m factory`: builds the kernel or the image, or boots the image on this terminal.

In: a command line, which the Makefile makes.  Out: files below build/, or a running guest.
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
from pbrinit.policy.reader.reader import read_policy

BUILD = Path("build")
CARD: dict[str, qemu.Card] = {"vm": "virtio-net-pci", "pc": "e1000e"}
"""The network card that QEMU gives to a guest of each variant."""


def main() -> int:
    """Run one command; returns the exit status."""
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
    kernel = verbs.add_parser("kernel", help="build the kernel, or take it from the cache")
    kernel.set_defaults(verb=_kernel)
    review_ = verbs.add_parser(
        "review", help="review the kernel: what is in it, and which checks it fails"
    )
    review_.add_argument("--json", action="store_true", help="as JSON")
    review_.add_argument("--accept", action="store_true", help="mark its present state as reviewed")
    review_.set_defaults(verb=_review)
    selftest = verbs.add_parser("selftest", help="run the kernel's own tests in a guest")
    selftest.set_defaults(verb=_selftest)
    image = verbs.add_parser("image", help="build the image with a policy in it")
    image.add_argument("policy", type=Path, help="the policy file")
    image.add_argument(
        "--output", type=Path, default=BUILD, help="the folder for it (default: %(default)s)"
    )
    image.set_defaults(verb=_image)
    boot = verbs.add_parser("boot", help="boot the image in QEMU on this terminal")
    boot.add_argument("policy", type=Path, help="the policy that is in the image")
    boot.set_defaults(verb=_boot)
    for verb in (kernel, review_, selftest, image, boot):
        verb.add_argument("--variant", choices=VARIANTS, default=VARIANTS[0], help="of the kernel")
    return parser


def _kernel(options: argparse.Namespace) -> int:
    kernel = build_kernel(options.variant)
    step(f"Linux {kernel.version}: {kernel.image}, {size(kernel.image)}; next: make image")
    return 0


def _review(options: argparse.Namespace) -> int:
    return report.main(options.variant, as_json=options.json, accept=options.accept)


def _selftest(options: argparse.Namespace) -> int:
    outcomes = kernel_selftest.run(options.variant)
    for outcome in outcomes:
        counts = f"{len(outcome.passed)} passed, {len(outcome.failed)} failed"
        step(f"{outcome.script} {outcome.test}: {counts}")
        for check in outcome.failed:
            step(f"  FAIL {check}")
    for script, test, reason in kernel_selftest.left_out():
        step(f"{script} {test}: not run, it needs {reason}")
    passed, failed = (
        sum(len(getattr(outcome, result)) for outcome in outcomes)
        for result in ("passed", "failed")
    )
    step(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


def _image(options: argparse.Namespace) -> int:
    make_image(options.policy, options.output, options.variant)
    return 0


def _boot(options: argparse.Namespace) -> int:
    try:
        policy = read_policy(options.policy)
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
"""The prefix that QEMU advertises where a policy uses router advertisements: its default,
fec0::/64, is deprecated (RFC 3879), and hosts do not use it."""


def _network(interface: Interface) -> qemu.User:
    """A user-mode network of QEMU for an interface, with its gateways as the addresses that answer.

    QEMU forwards what the policy allows to be sent by it to wherever this host can connect.
    """
    prefixes = {a.version: ip_network(a.network) for a in interface.addresses}
    if interface.awaiting_address(Family.V6):
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
