#!/bin/busybox sh
# The first process of a kernel under test: makes the machine what the tests expect, runs each line of /plan, and says on
# the console how it ended, for `cargo xtask test-kernels` to read.
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs devtmpfs /dev
for place in /run /tmp; do busybox mount -t tmpfs tmpfs $place; done
busybox mkdir -p /run/netns
busybox mount -t bpf bpf /sys/fs/bpf
busybox ip link set lo up

echo "@kernel $(busybox uname -r)"
while read -r module; do
    busybox insmod /modules/$module || echo "@fault the module $module cannot be loaded"
done < /modules/order

export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp BLOCKER_BIN=/tests/blocker RUST_BACKTRACE=0 BLOCKER_ASK_MS=100
while read -r name line; do
    echo "@begin $name"
    busybox sh -c "$line" < /dev/null
    echo "@end $name $?"
done < /plan
echo "@over"
busybox poweroff -f
