"""Two appliances on taps, each booted once: a host and a router, with programs that listen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from factory.image.build import Artefacts
from factory.vm.qemu import Accelerator, Direct
from pbrinit.cli.build import load
from tests.support.attack import images
from tests.support.host_example import MGMT, STRANGER
from tests.support.vm.fixtures import accelerated, artefacts
from tests.support.vm.tap_guest import LinkSide, TapGuest, boot_on_taps, start_servers

__all__ = ["accelerated", "artefacts"]


@pytest.fixture(scope="session")
def gate(artefacts: Artefacts, accelerated: Accelerator) -> Iterator[TapGuest]:
    """examples/host.toml."""
    on_link = ("192.0.2.1/24", "192.0.2.53/24", "192.0.2.66/24",
               "2001:db8::1/64", "2001:db8::53/64", "2001:db8::66/64")  # fmt: skip
    side = LinkSide(on_link, (*MGMT.values(), *STRANGER.values()))
    boots = Direct(artefacts.vmlinuz, artefacts.initramfs, artefacts.cmdline.read_text().strip())
    with boot_on_taps("gate", boots, accelerated, [side]) as found:
        start_servers(found)
        yield found


@pytest.fixture(scope="session")
def router(artefacts: Artefacts, accelerated: Accelerator) -> Iterator[TapGuest]:
    """examples/router.toml between two networks."""
    wan = LinkSide(
        ("192.0.2.1/24", "2001:db8::1/64"),
        ("198.51.100.9/32", "2001:db8:5::9/128"),
        (("203.0.113.0/24", "192.0.2.2"), ("2001:db8:1::/64", "2001:db8::2")),
    )
    lan = LinkSide(
        ("203.0.113.5/24", "203.0.113.25/24", "203.0.113.80/24",
         "2001:db8:1::5/64", "2001:db8:1::25/64", "2001:db8:1::80/64"),
        (),
        (("default", "203.0.113.1"), ("default", "2001:db8:1::1")),
    )  # fmt: skip
    with images.initramfs_with(
        artefacts, load(Path("examples/router.toml")), "router"
    ) as initramfs:
        boots = Direct(artefacts.vmlinuz, initramfs, artefacts.cmdline.read_text().strip())
        with boot_on_taps("router", boots, accelerated, [wan, lan]) as found:
            start_servers(found)
            yield found
