#!/bin/bash
# First process of the guest after guest-init.sh: loads modules, starts udevd, runs the command, reports its status in
# the folder shared with vm.sh and ends the machine. Programs are slow to start here, so builtins do what they can.
readonly CONTROL=/run/dst-vm
readonly LEFTOVER_SECONDS=1
readonly DRAIN_SECONDS=10
readonly SYNC_SECONDS=20
readonly ENOUGH_OPEN_FILES=500000
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

load_modules() {
    local -a modules=(ublk_drv configfs)
    ((DST_VM_DISKS == 0)) || modules+=(virtio_blk)
    modprobe -a "${modules[@]}"
    mount -t configfs configfs /sys/kernel/config
}

# Older udev rules leave out ublk disks: give them what newer ones do, probing with blkid and the watch that
# probes again after every close of a writer.
start_udev() {
    local daemon rules=/etc/udev/rules.d
    for daemon in /usr/lib/systemd/systemd-udevd /lib/systemd/systemd-udevd; do
        [[ -x $daemon ]] || continue
        [[ -d $rules ]] || mkdir -p "$rules"
        echo 'ACTION!="remove", SUBSYSTEM=="block", KERNEL=="ublkb*", OPTIONS+="watch", IMPORT{builtin}="blkid"' \
            >"$rules/61-ublk-probe.rules"
        "$daemon" --daemon </dev/null >/dev/kmsg 2>&1
        if ((DST_VM_DISKS)); then
            udevadm trigger --action=add --subsystem-match=block
            udevadm settle --timeout=30
        fi
        return
    done
}

output_port() {
    local port
    for port in /sys/class/virtio-ports/*; do
        if [[ $(<"$port/name") == dst.output ]]; then
            REPLY=/dev/${port##*/}
            return
        fi
    done
}

# wait_gone SECONDS PID: whether the process ended in time.
wait_gone() {
    local rounds=$(($1 * 50))
    while kill -0 "$2" 2>/dev/null; do
        ((rounds-- > 0)) || return 1
        # Sleeps without starting a program.
        read -rt 0.02 <>/run/dst-never
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

run_shell() {
    stty -F /dev/hvc0 sane rows "$DST_VM_ROWS" cols "$DST_VM_COLUMNS"
    setsid -c -w env -i "${environment[@]}" bash -i </dev/hvc0 >/dev/hvc0 2>&1
}

# Output goes through a pipe: the port itself can be opened only once, so /dev/stderr and the like would fail.
run_command() {
    local copier status
    output_port
    cat /run/dst-output >"$REPLY" &
    copier=$!
    (exec env -i "${environment[@]}" "${command[@]}") </dev/null >/run/dst-output 2>&1
    status=$?
    wait_gone "$LEFTOVER_SECONDS" "$copier" || kill_leftovers "$copier"
    wait_gone "$DRAIN_SECONDS" "$copier"
    return "$status"
}

# The end without unmounting: a disk that no longer answers must not keep the guest alive.
finish() {
    if ((DST_VM_LASTING_DISKS)); then
        sync &
        wait_gone "$SYNC_SECONDS" $! || echo "guest-run: sync hangs, going on" >/dev/kmsg
    fi
    ((DST_VM_GATE)) && dmesg >"$CONTROL/dmesg"
    echo "$1" >"$CONTROL/status"
    echo b >/proc/sysrq-trigger
    sleep 60
}

# Each file that the guest remembers costs virtiofsd an open file; out of them, every further path would fail with
# EMFILE. Inodes count double here (the overlay's and its layer's), so the bound leaves room for the seconds between two
# looks.
forget_files() {
    local inodes
    while true; do
        read -r inodes _ </proc/sys/fs/inode-nr
        ((inodes < DST_VM_OPEN_FILES * 2 / 3)) || echo 2 >/proc/sys/vm/drop_caches
        read -rt 1 <>/run/dst-never
    done
}

load_modules
((DST_VM_OPEN_FILES >= ENOUGH_OPEN_FILES)) || forget_files &
((DST_VM_UDEV)) && start_udev
# From here on the console also tells what the boot kept quiet.
echo 7 >/proc/sys/kernel/printk
mapfile -d '' command <"$CONTROL/command"
mapfile -d '' environment <"$CONTROL/environment"
cd "$DST_VM_DIRECTORY" || cd /
echo "$(</proc/uptime)" >"$CONTROL/uptime"
if ((${#command[@]})); then run_command; else run_shell; fi
finish $?
