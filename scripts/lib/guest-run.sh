#!/bin/bash
# First process of the guest (see vm.sh): sets the machine up, runs the command, reports its status, ends the machine.
# What it does comes from the folder that vm.sh shares: settings, command, environment, keep, shares.
readonly CONTROL=/run/dst-vm
readonly DRAIN_SECONDS=10
readonly SYNC_SECONDS=20
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

mount_basics() {
    mount -t proc proc /proc
    mount -t sysfs sysfs /sys
    mount -t devtmpfs devtmpfs /dev
    mkdir -p /dev/pts /dev/shm
    mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
    mount -t tmpfs -o mode=1777 tmpfs /dev/shm
    [[ -e /dev/fd ]] || ln -s /proc/self/fd /dev/fd
    [[ -e /dev/stdin ]] || { ln -s fd/0 /dev/stdin; ln -s fd/1 /dev/stdout; ln -s fd/2 /dev/stderr; }
    mount -t debugfs debugfs /sys/kernel/debug
    mount -t tracefs tracefs /sys/kernel/tracing
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
}

# Fresh /tmp and /run, through which the folders in "keep" stay visible.
mount_fresh() {
    local top=$1 mode=$2 path
    local -a kept=()
    mkdir -p /.hidden
    mount --bind "$top" /.hidden
    mount -t tmpfs -o "mode=$mode" tmpfs "$top"
    [[ $top == /run ]] && mkdir -p "$CONTROL" && mount -t virtiofs control "$CONTROL"
    mapfile -d '' kept <"$CONTROL/keep"
    for path in "${kept[@]}"; do
        if [[ $path == "$top"/* ]]; then
            mkdir -p "$path"
            mount --bind "/.hidden${path#"$top"}" "$path"
        fi
    done
    umount -l /.hidden
    rmdir /.hidden
}

mount_shares() {
    local path number=0
    local -a shares
    mapfile -d '' shares <"$CONTROL/shares"
    for path in "${shares[@]}"; do
        mkdir -p "$path"
        mount -t virtiofs "share$number" "$path"
        number=$((number + 1))
    done
}

load_modules() {
    mkdir -p "/lib/modules/$RELEASE"
    mount --bind "$KERNEL_DIR/usr/lib/modules/$RELEASE" "/lib/modules/$RELEASE"
    modprobe configfs && mount -t configfs configfs /sys/kernel/config
    ((DISKS == 0)) || modprobe virtio_blk
    modprobe ublk_drv
}

# Older udev rules leave out ublk disks: give them what newer ones do, probing with blkid and the watch that
# probes again after every close of a writer.
start_udev() {
    local daemon
    for daemon in /usr/lib/systemd/systemd-udevd /lib/systemd/systemd-udevd; do
        [[ -x $daemon ]] || continue
        mkdir -p /run/udev /etc/udev/rules.d
        echo 'ACTION!="remove", SUBSYSTEM=="block", KERNEL=="ublkb*", OPTIONS+="watch", IMPORT{builtin}="blkid"' \
            >/etc/udev/rules.d/61-ublk-probe.rules
        "$daemon" --daemon </dev/null >/dev/kmsg 2>&1
        udevadm trigger --action=add --subsystem-match=block
        udevadm settle --timeout=30
        return
    done
}

output_port() {
    local port
    for port in /sys/class/virtio-ports/*; do
        if [[ $(<"$port/name") == dst.output ]]; then
            echo "/dev/${port##*/}"
            return
        fi
    done
}

# wait_gone SECONDS PID: whether the process ended in time.
wait_gone() {
    local rounds=$(($1 * 20))
    while kill -0 "$2" 2>/dev/null; do
        ((rounds-- > 0)) || return 1
        sleep 0.05
    done
}

# Ends whatever the command left running, so that the output is complete; sparing $1.
kill_leftovers() {
    local process pid
    for process in /proc/[0-9]*; do
        pid=${process#/proc/}
        # Kernel threads have no program file.
        [[ $pid != 1 && $pid != "$1" && -e $process/exe ]] && kill -KILL "$pid" 2>/dev/null
    done
}

run_command() {
    local -a command environment
    local copier status
    mapfile -d '' command <"$CONTROL/command"
    mapfile -d '' environment <"$CONTROL/environment"
    cd "$DIRECTORY" || cd /
    if ((${#command[@]} == 0)); then
        stty -F /dev/hvc0 sane rows "$ROWS" cols "$COLUMNS"
        setsid -c -w env -i "${environment[@]}" bash -i </dev/hvc0 >/dev/hvc0 2>&1
        return
    fi
    # Through a pipe: the port itself can be opened only once, so /dev/stderr and the like would fail.
    mkfifo /run/output
    cat /run/output >"$(output_port)" &
    copier=$!
    (
        # The subshell cannot stay: leftovers keep the pipe, not this script.
        exec >/run/output 2>&1 </dev/null
        rm /run/output
        exec env -i "${environment[@]}" "${command[@]}"
    )
    status=$?
    wait_gone 1 "$copier" || kill_leftovers "$copier"
    wait_gone "$DRAIN_SECONDS" "$copier"
    return "$status"
}

# The end without unmounting: a disk that no longer answers must not keep the guest alive.
finish() {
    local status=$1
    if ((LASTING_DISKS)); then
        sync &
        wait_gone "$SYNC_SECONDS" $! || echo "guest-run: sync hangs, going on" >/dev/kmsg
    fi
    ((GATE)) && dmesg >"$CONTROL/dmesg"
    echo "$status" >"$CONTROL/status.new"
    mv "$CONTROL/status.new" "$CONTROL/status"
    echo b >/proc/sysrq-trigger
    sleep 60
}

mount_basics
mount_fresh /run 755
mount_fresh /tmp 1777
# shellcheck disable=SC1091
source "$CONTROL/settings"
mount_shares
load_modules
((UDEV)) && start_udev
# From here on the console also tells what the boot kept quiet.
dmesg -n 7
[[ -n $UPTIME_MARK ]] && cp /proc/uptime "$CONTROL/uptime"
run_command
finish $?
