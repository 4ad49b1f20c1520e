"""QEMU: firmware, boots, the kernel's own selftests."""
