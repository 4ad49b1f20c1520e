#!/bin/bash
# PID 1 of the guest, /init: runs the kernel's own tests and says what they said.
mount -t proc proc /proc
echo -1 > /proc/sys/kernel/panic
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
export PATH=/tmp/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/ LC_ALL=C
mkdir /tmp/bin
cp /selftest/nettest /selftest/ip /tmp/bin
chmod 755 /tmp/bin/*
ip link set lo up
cd /selftest || exit
while read -r script test; do
    echo "=== $script $test"
    timeout 300 bash "./$script" -t "$test" < /dev/null 2>&1
    echo "=== $script $test ended with $?"
done < tests
echo "=== done"
busybox poweroff -f
