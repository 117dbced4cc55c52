#!/usr/bin/env bash
# The host loses power and boots again with one CPU less, and so with fewer queues than devices were made with: they
# come back as they were, with what was flushed to them, and a poisoned node is still poisoned. Run on the machine that
# starts the VM; KERNEL picks the guest's kernel (default 7).
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export PATH="$repository/artifacts/bin:$PATH:/usr/sbin:/sbin"
self=$repository/tests/e2e/host_restart.sh
names=(first second third)

mount_lasting() { # the disk that outlives the guest
    mkdir -p /mnt/lasting
    mount /dev/vda /mnt/lasting
}

start_daemon() {
    dstd --run-dir /run/dst --state-dir /mnt/lasting/state >>/mnt/lasting/dstd.log 2>&1 &
    for _ in $(seq 100); do
        dstctl list >/dev/null 2>&1 && return
        sleep 0.2
    done
    echo "dstd does not answer"
    return 1
}

shape() { # NAME: what was derived at creation
    (cd "/run/dst/devices/$1" && cat ublk_id size block_size depth max_io nodes/*/start nodes/*/size)
}

# A disk that keeps its identity over boots, whose flushes can be made to fail.
flaky_disk() {
    modprobe loop
    modprobe dm-flakey
    loop=$(losetup --find --show /mnt/lasting/flaky.img)
    dmsetup create flaky --uuid dst-test-flaky --table "0 32768 linear $loop 0"
}

poison() { # a device over that disk
    local path
    truncate -s 16M /mnt/lasting/flaky.img
    flaky_disk
    path=$(dstctl add-device poisoned --node dev:/dev/mapper/flaky)
    dmsetup suspend --nolockfs --noflush flaky
    dmsetup load flaky --table "0 32768 flakey $loop 0 0 3600 1 error_writes"
    dmsetup resume flaky
    (! flush "$path")
    await poisoned nodes/0/state poisoned
}

flush() { dd if=/dev/zero of="$1" bs=4k count=1 oflag=direct conv=fsync,notrunc status=none; }

await() ( # NAME FILE VALUE
    set +x
    file=/run/dst/devices/$1/$2
    for _ in $(seq 300); do
        [ "$(cat "$file" 2>/dev/null)" = "$3" ] && return
        sleep 0.2
    done
    echo "$file does not become $3"
    dstctl status "$1"
    tail -n 20 /mnt/lasting/dstd.log
    return 1
)

before_the_cut() {
    local name path
    mkfs.ext4 -q /dev/vda
    mount_lasting
    start_daemon
    # The second is gone before the cut, so that ids in order of the list are not the ids of creation.
    for name in "${names[@]}"; do
        path=$(dstctl add-device "$name" --node "file:/mnt/lasting/$name.img,size=64M" \
            --node "file:/mnt/lasting/$name-2.img,size=37M")
        mkfs.ext4 -q "$path"
        mkdir -p "/mnt/$name"
        mount "$path" "/mnt/$name"
        dd if=/dev/urandom of="/mnt/$name/data" bs=1M count=20 conv=fsync status=none
        sha256sum "/mnt/$name/data" >"/mnt/lasting/$name.sum"
        shape "$name" >"/mnt/lasting/$name.shape"
        dd if=/dev/urandom of="/mnt/$name/unflushed" bs=1M count=4 status=none
    done
    umount /mnt/second
    dstctl remove-device second
    [ "$(cat /run/dst/devices/first/queues)" = 2 ]
    poison
    # On the disk: the last lines of the output may go down with the guest.
    touch /mnt/lasting/cut
    sync -f /mnt/lasting
    echo 1 >/proc/sys/kernel/sysrq
    echo b >/proc/sysrq-trigger
    sleep 30
}

after_the_cut() {
    local name path
    [ "$(nproc)" = 1 ]
    mount | grep -q /mnt/lasting && return 1
    mount_lasting
    flaky_disk
    start_daemon
    [ -e /mnt/lasting/cut ]
    for name in first third; do
        await "$name" state live
        [ "$(cat "/run/dst/devices/$name/queues")" = 1 ]
        dstctl status "$name" | grep -E 'queues +1'
        shape "$name" | diff "/mnt/lasting/$name.shape" -
        path=$(readlink -f "/dev/dst/$name")
        [ "$path" = "/dev/ublkb$(cat "/run/dst/devices/$name/ublk_id")" ]
        mkdir -p "/mnt/$name"
        mount "$path" "/mnt/$name"
        sha256sum --check --quiet "/mnt/lasting/$name.sum"
        umount "/mnt/$name"
        e2fsck -fn "$path" >/dev/null
        dstctl remove-device "$name"
    done
    await poisoned state live
    [ "$(cat /run/dst/devices/poisoned/nodes/0/state)" = poisoned ]
    path=$(readlink -f /dev/dst/poisoned)
    (! flush "$path")
    dstctl clear-error poisoned
    flush "$path"
    dstctl remove-device poisoned
    [ "$(dstctl list | wc -l)" = 0 ]
    echo "all came back"
}

case ${1:-} in
    before | after)
        set -x
        "${1}_the_cut"
        exit
        ;;
esac

disk=$(mktemp "${TMPDIR:-/tmp}/dst-disk.XXXXXX")
trap 'rm -f "$disk" "$disk.log"' EXIT
truncate -s 1G "$disk"
run() { # PART CPUS
    "$repository/scripts/vm.sh" --kernel "${KERNEL:-7}" --cpus "$2" --timeout 300 --disk "$disk" -- "$self" "$1" \
        >"$disk.log" 2>&1
}
status=0
run before 2 || status=$?
if ((status == 125)) && run after 1 && grep -q '^all came back' "$disk.log"; then
    echo "ok host_restart (${SECONDS} s)"
    echo "1 passed, 0 failed, 0 skipped"
else
    echo "FAIL host_restart"
    tail -n 40 "$disk.log" | cut -c1-300 | sed 's/^/    | /'
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
fi
