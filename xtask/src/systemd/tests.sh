#!/bin/sh
# Installs the daemon and runs the tests of the first boot; boots again; runs the tests of the second. Says on the console how each
# ended, for `cargo xtask test-systemd` to read.
cd /tests/checkout || exit
export HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_PAGER='' SYSTEMD_COLORS=0 RUST_BACKTRACE=0

run() {
    echo "@begin $1"
    name=$1
    shift
    "$@" < /dev/null
    echo "@end $name $?"
}

if [ -e /tests/instead.sh ]; then
    run command sh /tests/instead.sh
elif [ ! -e /tests/booted ]; then
    touch /tests/booted
    systemctl --version | head -n 1
    run install sh -eux /tests/install.sh
    run first_boot /tests/program first_boot:: --test-threads 1 --nocapture
    systemctl reboot
    exit
else
    run second_boot /tests/program second_boot:: --test-threads 1 --nocapture
fi
echo "@over"
systemctl poweroff
