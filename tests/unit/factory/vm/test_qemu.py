"""The QEMU command line and the choices behind it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from factory.vm.firmware import Firmware
from factory.vm.qemu import (
    TRIAL_STATUS,
    Accelerator,
    Dgram,
    Direct,
    Disk,
    Machine,
    Nic,
    User,
    command,
    refusal,
    trial,
)

TCG = Accelerator("tcg", "")
KVM = Accelerator("kvm", "")
KERNEL = Direct(Path("/k/vmlinuz"), Path("/k/initrd"), "console=ttyS0 quiet")
CABLE = Dgram(Path("/w/guest"), Path("/w/far"))
UEFI = Firmware(Path("/f/CODE.fd"), "raw", Path("/f/VARS.fd"), "raw")


def after(words: Sequence[str], option: str) -> list[str]:
    """Every value given to an option."""
    return [value for key, value in itertools.pairwise(words) if key == option]


def test_kvm_gives_the_guest_the_hosts_processor() -> None:
    assert after(command(Machine(KERNEL), KVM), "-accel") == ["kvm"]
    assert after(command(Machine(KERNEL), KVM), "-cpu") == ["host"]


def test_tcg_does_not_ask_for_the_hosts_processor() -> None:
    assert after(command(Machine(KERNEL), TCG), "-cpu") == ["max"]


def test_a_kernel_is_booted_with_its_initramfs_and_command_line() -> None:
    words = command(Machine(KERNEL), TCG)
    assert after(words, "-kernel") == ["/k/vmlinuz"]
    assert after(words, "-initrd") == ["/k/initrd"]
    assert after(words, "-append") == ["console=ttyS0 quiet"]


def test_a_kernel_may_carry_its_own_initramfs() -> None:
    assert "-initrd" not in command(Machine(Direct(Path("/k/vmlinuz"))), TCG)


def test_a_machine_has_128_mib_unless_told() -> None:
    assert after(command(Machine(KERNEL), TCG), "-m") == ["128"]
    assert after(command(Machine(KERNEL, memory=64), TCG), "-m") == ["64"]


def test_a_machine_has_no_network_card_unless_told() -> None:
    words = command(Machine(KERNEL), TCG)
    assert "-nodefaults" in words
    assert "-netdev" not in words


def test_no_card_has_a_rom_that_could_speak_before_the_kernel() -> None:
    nics = (Nic(User(), model="e1000e"), Nic(CABLE))
    devices = after(command(Machine(KERNEL, nics), TCG), "-device")
    cards = [device for device in devices if "netdev=" in device]
    assert len(cards) == 2
    assert all(card.endswith(",romfile=") for card in cards)


def test_each_card_is_on_its_own_network() -> None:
    nics = (
        Nic(CABLE, "52:54:00:00:00:01"),
        Nic(User(isolated=True), "52:54:00:00:00:02", "e1000e"),
    )
    words = command(Machine(KERNEL, nics), TCG)
    assert after(words, "-netdev") == [
        "dgram,id=net0,local.type=unix,local.path=/w/guest,remote.type=unix,remote.path=/w/far",
        "user,id=net1,restrict=on",
    ]
    assert after(words, "-device")[1:] == [
        "virtio-net-pci,netdev=net0,mac=52:54:00:00:00:01,romfile=",
        "e1000e,netdev=net1,mac=52:54:00:00:00:02,romfile=",
    ]


def test_a_machine_may_have_a_screen_and_a_keyboard_and_no_serial_port() -> None:
    machine = Machine(
        KERNEL, usb=True, serial=False, monitor=Path("/w/mon"), more=("-device", "VGA")
    )
    words = command(machine, TCG)
    assert "-serial" not in words
    assert after(words, "-monitor") == ["unix:/w/mon,server=on,wait=off"]
    assert after(words, "-device") == ["virtio-rng-pci", "qemu-xhci", "usb-kbd", "VGA"]


def test_a_card_on_usb_has_no_rom() -> None:
    machine = Machine(KERNEL, (Nic(CABLE, model="usb-net"),), usb=True)
    assert after(command(machine, TCG), "-device")[-1] == (
        "usb-net,netdev=net0,mac=52:54:00:12:34:56"
    )


def test_the_user_network_can_be_where_the_guests_addresses_are() -> None:
    network = User("192.0.2.0/24", "192.0.2.1", "2001:db8::/64", "2001:db8::1")
    assert network.options("net0") == (
        "user,id=net0,net=192.0.2.0/24,host=192.0.2.1,ipv6-net=2001:db8::/64,ipv6-host=2001:db8::1"
    )


def test_a_disk_is_booted_by_uefi_and_left_as_it_was() -> None:
    boots = Disk(Path("/b/disk.raw"), UEFI, Path("/w/vars"))
    assert after(command(Machine(boots), TCG), "-drive") == [
        "if=pflash,unit=0,format=raw,readonly=on,file=/f/CODE.fd",
        "if=pflash,unit=1,format=raw,file=/w/vars",
        "if=none,id=disk,format=raw,snapshot=on,file=/b/disk.raw",
    ]


def test_a_comma_in_a_path_does_not_end_the_option() -> None:
    boots = Disk(Path("/a,b/disk.raw"), UEFI, Path("/w/vars"))
    assert after(command(Machine(boots), TCG), "-drive")[2].endswith(",file=/a,,b/disk.raw")


def test_a_trial_guest_counts_to_its_end_without_kvm() -> None:
    assert trial(Accelerator("tcg", "")) is None


def test_a_trial_that_ended_itself_is_a_success() -> None:
    assert refusal(TRIAL_STATUS, "qemu-system-x86_64: warning: no bit 0") is None


def test_a_refusal_is_told_in_qemus_own_words() -> None:
    output = (
        "qemu-system-x86_64: warning: host doesn't support requested feature\n"
        "qemu-system-x86_64: error: failed to set MSR 0x10a to 0x69\n"
        "qemu-system-x86_64: kvm.c:3183: kvm_buf_set_msrs: Assertion failed.\n"
    )
    assert refusal(-6, output) == "failed to set MSR 0x10a to 0x69"


def test_a_wordless_refusal_names_the_signal_or_the_status() -> None:
    assert refusal(-11, "") == "QEMU was killed by SIGSEGV"
    assert refusal(1, "") == "QEMU ended with status 1"
