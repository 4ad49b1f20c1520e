#!/bin/sh
# Puts kernel and initramfs together into files that boot; runs with the tools, SOURCE_DATE_EPOCH set.
# In:  the folder $1 with vmlinuz, base.cpio.zst, policy.cpio, cmdline, os-release
# Out: initramfs.cpio.zst, pbrinit.efi, pbrinit.img in the same folder. The same input gives the same
#      bytes.
set -eu
cd "$1"

# The kernel unpacks one archive after the other (init/initramfs.c, unpack_to_rootfs).
zstd --quiet -19 policy.cpio
cat base.cpio.zst policy.cpio.zst > initramfs.cpio.zst

ukify build --linux=vmlinuz --initrd=initramfs.cpio.zst --cmdline=@cmdline \
    --os-release=@os-release --stub=/usr/lib/systemd/boot/efi/linuxx64.efi.stub \
    --output=pbrinit.efi

# UEFI reads FAT32, which has at least 65,525 clusters: with the smallest clusters, of one sector, that
# is 33 MiB. A larger file system has room for the UKI and 2 MiB for its own tables.
mib=$(($(stat -c %s pbrinit.efi) / 1048576 + 3))
[ "$mib" -ge 34 ] || mib=34

# 1 MiB before the partition and one after, for the two copies of the partition table.
truncate -s $((mib + 2))M pbrinit.img
sfdisk --quiet pbrinit.img << EOF
label: gpt
label-id: 6f1f6a5c-6a54-4d0c-8f0b-5d0b6c1a7e01
first-lba: 2048
start=2048, size=${mib}MiB, type=uefi, uuid=6f1f6a5c-6a54-4d0c-8f0b-5d0b6c1a7e02, name=pbrinit
EOF
mkfs.vfat -F 32 -s 1 -S 512 -n PBRINIT -i 9B51A7E0 --invariant --offset 2048 \
    pbrinit.img $((mib * 1024)) > /dev/null
mmd -i pbrinit.img@@1M ::EFI ::EFI/BOOT
mcopy -i pbrinit.img@@1M pbrinit.efi ::EFI/BOOT/BOOTX64.EFI
