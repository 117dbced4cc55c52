#!/bin/sh
# /init of the guest's initramfs (busybox): mounts the host's root read-only with a tmpfs above it and goes on there.
# shellcheck shell=dash
export PATH=/bin
mount -t proc proc /proc
mount -t devtmpfs devtmpfs /dev

stop() {
    echo "guest-init: $1" >/dev/console
    echo b >/proc/sysrq-trigger
}

insmod /overlay.ko || stop "cannot load the overlay module"
mount -t virtiofs -o ro root /lower || stop "cannot mount the host's root"
mount -t tmpfs -o mode=755,size=60% tmpfs /upper || stop "cannot mount a tmpfs"
mkdir /upper/data /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work overlay /root ||
    stop "cannot mount the overlay"
# The overlay keeps its layers; nobody else is to reach them.
umount -l /upper
umount -l /lower
ip link set lo up
hostname dst-guest

# shellcheck disable=SC1091
. /settings
# DST_VM_STAGE2: the script that goes on.
umount -l /dev
umount -l /proc
exec switch_root /root /bin/bash "$DST_VM_STAGE2"
