#!/bin/sh
# /init of the guest's initramfs: mounts this machine's root read-only with a tmpfs above it, sets up the rest and hands
# over to guest-run.sh. All in busybox, since under emulation every start of a dynamically linked program takes 0.1 s.
# shellcheck shell=dash
export PATH=/bin
readonly CONTROL=/run/dst-vm

stop() {
    echo "guest-init: $1" >/dev/console
    echo b >/proc/sysrq-trigger
    sleep 60
}

mount_root() {
    insmod /overlay.ko || stop "cannot load the overlay module"
    mount -t virtiofs -o ro root /lower || stop "cannot mount the shared root"
    mount -t tmpfs -o mode=755,size=60% tmpfs /upper || stop "cannot mount a tmpfs"
    mkdir /upper/data /upper/work
    mount -t overlay -o lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work overlay /root ||
        stop "cannot mount the overlay"
    # The overlay keeps its layers; nobody else is to reach them.
    umount -l /upper
    umount -l /lower
}

mount_kernel_file_systems() {
    mount -t proc proc /root/proc
    mount -t sysfs sysfs /root/sys
    mount -t devtmpfs devtmpfs /root/dev
    mkdir -p /root/dev/pts /root/dev/shm
    mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /root/dev/pts
    mount -t tmpfs -o mode=1777 tmpfs /root/dev/shm
    ln -s /proc/self/fd /root/dev/fd
    ln -s fd/0 /root/dev/stdin
    ln -s fd/1 /root/dev/stdout
    ln -s fd/2 /root/dev/stderr
    mount -t debugfs debugfs /root/sys/kernel/debug
    mount -t tracefs tracefs /root/sys/kernel/tracing
    mount -t cgroup2 cgroup2 /root/sys/fs/cgroup
    mkdir -p /root/lib/modules
    ln -s "$DST_VM_KERNEL/usr/lib/modules/$DST_VM_RELEASE" "/root/lib/modules/$DST_VM_RELEASE"
}

# What the settings call: keep PATH leaves it visible below a fresh /tmp or /run; share TAG PATH mounts a shared folder.
keep() {
    case $1 in
        "$fresh"/*)
            mkdir -p "/root$1"
            mount --bind "/hidden${1#"$fresh"}" "/root$1"
            ;;
    esac
}
share() {
    mkdir -p "/root$2"
    mount -t virtiofs "$1" "/root$2" || stop "cannot mount the shared folder $2"
}

mount_fresh() {
    fresh=$1
    mkdir -p "/root$fresh"
    mount --bind "/root$fresh" /hidden
    mount -t tmpfs -o "mode=$2" tmpfs "/root$fresh"
    settings_keep
    umount -l /hidden
}

mount -t proc proc /proc
mount -t devtmpfs devtmpfs /dev
# shellcheck disable=SC1091
. /settings
mount_root
mount_kernel_file_systems
mount_fresh /run 755
mount_fresh /tmp 1777
share control "$CONTROL"
settings_shares
mkfifo "/root/run/dst-output" "/root/run/dst-never"
ip link set lo up
hostname dst-guest
umount -l /dev
umount -l /proc
exec switch_root /root /bin/bash "$DST_VM_SCRIPTS/lib/guest-run.sh"
