"""QEMU: which accelerator works on this host, and the command line of a virtual machine.

In: a `Machine`.  Out: an argument list, or a guest on the terminal.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from factory import log
from factory.vm import firmware
from factory.vm.firmware import Firmware

QEMU = "qemu-system-x86_64"

# A KVM without hardware support emulates each instruction, and cannot emulate all of the kernel's.
# So the trial counts to 100 million first: that takes 0.1 s on a processor, 0.2 s with TCG, and a
# minute with such a KVM.
TRIAL_SECONDS = 2.0

# mov ecx, 100000000; 1: dec ecx; jnz 1b; mov dx, 0xf4; mov al, 0x2a; out dx, al; hlt; jmp $-1
# isa-debug-exit turns the byte n into QEMU's exit status 2n + 1 (QEMU hw/misc/debugexit.c).
TRIAL_CODE = bytes.fromhex("66b900e1f505 6649 75fc baf400 b02a ee f4 ebfd")
TRIAL_STATUS = 0x2A * 2 + 1


@dataclass(frozen=True)
class Accelerator:
    """The accelerator of a guest, and the reason for it in one line."""

    name: Literal["kvm", "tcg"]
    reason: str

    @property
    def options(self) -> list[str]:
        """QEMU's arguments that choose it."""
        cpu = "host" if self.name == "kvm" else "max"
        return ["-accel", self.name, "-cpu", cpu]


@dataclass(frozen=True)
class User:
    """QEMU's user-mode network: NAT to the outside, with ARP, DHCP and DNS; needs no root.

    It is for demonstrations, not for tests. `network` and `host` (the address that answers as the
    gateway) make it fit the guest's own addresses, `network6` and `host6` the same for IPv6.
    QEMU's defaults are 10.0.2.0/24 and fec0::/64. Connections *to* the guest are not forwarded.
    `isolated` cuts it off from the outside.
    """

    network: str | None = None
    host: str | None = None
    network6: str | None = None
    host6: str | None = None
    isolated: bool = False

    def options(self, name: str) -> str:
        """The value of QEMU's -netdev; `name` is what the card calls it by."""
        keys = {
            "net": self.network,
            "host": self.host,
            "ipv6-net": self.network6,
            "ipv6-host": self.host6,
            "restrict": "on" if self.isolated else None,
        }
        given = [f"{key}={value}" for key, value in keys.items() if value is not None]
        return ",".join(["user", f"id={name}", *given])


@dataclass(frozen=True)
class Dgram:
    """Every Ethernet frame as one datagram between two Unix sockets (QEMU 7.2 and later).

    `local` is the socket that QEMU makes, `remote` the one that receives the guest's frames.
    """

    local: Path
    remote: Path

    def options(self, name: str) -> str:
        """The value of QEMU's -netdev; `name` is what the card calls it by."""
        return (
            f"dgram,id={name},local.type=unix,local.path={_value(self.local)},"
            f"remote.type=unix,remote.path={_value(self.remote)}"
        )


@dataclass(frozen=True)
class Tap:
    """A tap device that exists when QEMU starts (ip-tuntap(8)): this host is on the link."""

    device: str

    def options(self, name: str) -> str:
        """The value of QEMU's -netdev; `name` is what the card calls it by."""
        return f"tap,id={name},ifname={self.device},script=no,downscript=no"


Card = Literal["virtio-net-pci", "e1000e", "igb", "usb-net"]
"""QEMU's names of network cards."""


@dataclass(frozen=True)
class Nic:
    """A network card; the model `usb-net` needs a machine with `usb`."""

    netdev: User | Dgram | Tap
    mac: str = "52:54:00:12:34:56"
    model: Card = "virtio-net-pci"


@dataclass(frozen=True)
class Direct:
    """Boot of a kernel by QEMU itself, without UEFI."""

    kernel: Path
    initrd: Path | None = None
    cmdline: str = "console=ttyS0"


@dataclass(frozen=True)
class Disk:
    """Boot of a disk image by UEFI. The firmware writes to `variables`, so this is a copy, see
    `disk`.
    """

    image: Path
    firmware: Firmware
    variables: Path


@dataclass(frozen=True)
class Machine:
    """A virtual PC with `memory` MiB.

    `usb` adds a controller with a keyboard; `monitor` is a socket for QEMU's monitor; without
    `serial` it has no serial port, and nothing appears on this terminal. `more` are further
    arguments of QEMU, for a screen for example.
    """

    boots: Direct | Disk
    nics: tuple[Nic, ...] = ()
    memory: int = 128
    usb: bool = False
    serial: bool = True
    monitor: Path | None = None
    more: tuple[str, ...] = ()


def accelerator() -> Accelerator:
    """KVM where a guest really starts with it, else TCG.

    Even if /dev/kvm can be opened, QEMU may abort or the guest may hang.
    """
    refusal = trial(Accelerator("kvm", ""))
    if refusal is None:
        return Accelerator("kvm", "KVM: a trial guest started")
    return Accelerator("tcg", f"KVM: no trial guest started ({refusal}), using TCG")


def trial(accelerator: Accelerator) -> str | None:
    """Start a guest whose boot sector ends it; returns None where it did, else the reason in
    words.
    """
    with tempfile.NamedTemporaryFile(prefix="pbrinit-trial-") as sector:
        sector.write(TRIAL_CODE.ljust(510, b"\0") + b"\x55\xaa")
        sector.truncate(2**20)  # SeaBIOS takes no disk of less than a cylinder
        sector.flush()
        command = [
            *(QEMU, "-machine", "q35", *accelerator.options, "-m", "32"),
            *("-nodefaults", "-display", "none", "-no-reboot"),
            *("-device", "isa-debug-exit,iobase=0xf4,iosize=4"),
            *("-drive", f"if=ide,format=raw,snapshot=on,file={_value(Path(sector.name))}"),
        ]
        try:
            done = subprocess.run(
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TRIAL_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return f"it did not end within {TRIAL_SECONDS:.0f} s"
        except FileNotFoundError:
            _no_qemu()
    return refusal(done.returncode, done.stderr)


def refusal(status: int, output: str) -> str | None:
    """The result of a trial: None for success, else QEMU's first message."""
    if status == TRIAL_STATUS:
        return None
    for line in output.splitlines():
        words = line.removeprefix(f"{QEMU}: ").removeprefix("error: ")
        if not words.startswith("warning:"):
            return words.strip()
    if status < 0:
        return f"QEMU was killed by {signal.Signals(-status).name}"
    return f"QEMU ended with status {status}"


def command(machine: Machine, accelerator: Accelerator) -> list[str]:
    """The argument list that starts `machine` with its serial port on this terminal.

    Ctrl-A X ends QEMU; Ctrl-C goes to the guest. A reboot of the guest ends QEMU, too.
    """
    words = [QEMU, "-machine", "q35", *accelerator.options, "-m", str(machine.memory)]
    words += ["-nodefaults", "-display", "none", "-no-reboot"]
    if machine.serial:
        words += ["-chardev", "stdio,id=console,mux=on,signal=off"]
        words += ["-serial", "chardev:console", "-mon", "chardev=console"]
    words += ["-device", "virtio-rng-pci"]
    if machine.monitor is not None:
        words += ["-monitor", f"unix:{_value(machine.monitor)},server=on,wait=off"]
    if machine.usb:
        words += ["-device", "qemu-xhci", "-device", "usb-kbd"]
    words += machine.more
    words += _boots(machine.boots)
    for number, nic in enumerate(machine.nics):
        name = f"net{number}"
        words += ["-netdev", nic.netdev.options(name)]
        # An empty romfile: otherwise the firmware's network boot would send packets before the
        # kernel.
        rom = "" if nic.model == "usb-net" else ",romfile="
        words += ["-device", f"{nic.model},netdev={name},mac={nic.mac}{rom}"]
    return words


def _boots(boots: Direct | Disk) -> list[str]:
    if isinstance(boots, Direct):
        initrd = [] if boots.initrd is None else ["-initrd", str(boots.initrd)]
        return ["-kernel", str(boots.kernel), *initrd, "-append", boots.cmdline]
    flash = boots.firmware
    code = f"format={flash.code_format},readonly=on,file={_value(flash.code)}"
    variables = f"format={flash.template_format},file={_value(boots.variables)}"
    return [
        *("-drive", f"if=pflash,unit=0,{code}"),
        *("-drive", f"if=pflash,unit=1,{variables}"),
        # snapshot=on: a boot does not change the image.
        *("-drive", f"if=none,id=disk,format=raw,snapshot=on,file={_value(boots.image)}"),
        *("-device", "virtio-blk-pci,drive=disk,bootindex=0"),
    ]


def disk(image: Path, scratch: Path) -> Disk:
    """The boot of `image` by this host's UEFI firmware, with its variables in the directory
    `scratch`. Ends the program where there is no firmware.
    """
    flash = firmware.choose(firmware.descriptors())
    if flash is None:
        log.die(
            "no UEFI firmware for x86_64 is described in "
            + " or ".join(map(str, firmware.DIRECTORIES)),
            hint="`make deps` installs it (package ovmf)",
        )
    variables = scratch / "uefi-variables"
    shutil.copyfile(flash.template, variables)
    return Disk(image, flash, variables)


def boot(machine: Machine) -> int:
    """Run `machine` on this terminal until it ends or is left; QEMU's exit status."""
    chosen = accelerator()
    log.step(f"{chosen.reason}. `poweroff` ends the guest, Ctrl-A X leaves at once.")
    try:
        return subprocess.run(command(machine, chosen), check=False).returncode
    except FileNotFoundError:
        _no_qemu()


def _no_qemu() -> NoReturn:
    log.die(f"there is no command {QEMU}", hint="`make deps` installs it")


def _value(path: Path) -> str:
    """A path within a QEMU option, where a comma ends the value unless doubled."""
    return str(path).replace(",", ",,")
