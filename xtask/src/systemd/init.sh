#!/bin/busybox sh
# The first process: makes the root file system of the image and the disk, puts the tests into it at the first boot, and becomes systemd.
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs devtmpfs /dev
while read -r module; do
    busybox insmod /modules/$module || echo "@fault the module $module cannot be loaded"
done < /modules/order

busybox mount -t squashfs -o loop,ro /debian.sqfs /image
busybox mount -t ext4 /dev/vda /disk
if [ ! -e /disk/upper ]; then
    busybox mkdir /disk/work /disk/next
    busybox cp -a /add/. /disk/next/
    wants=/disk/next/etc/systemd/system/multi-user.target.wants
    busybox mkdir -p $wants
    busybox ln -s ../tests.service ../outside.service $wants/
    # The console is the tests' own.
    busybox ln -s /dev/null /disk/next/etc/systemd/system/serial-getty@ttyS0.service
    busybox mv /disk/next /disk/upper
fi
busybox mount -t overlay -o lowerdir=/image,upperdir=/disk/upper,workdir=/disk/work overlay /root \
    || echo "@fault there is no root file system"
busybox umount /proc /sys
busybox mount --move /dev /root/dev
exec busybox switch_root /root /sbin/init
