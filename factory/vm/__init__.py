"""Virtual machines: QEMU, UEFI firmware, the kernel's own selftests."""
