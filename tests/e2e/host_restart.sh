#!/usr/bin/env bash
# The host loses power and boots again: devices come back as they were, with what was flushed to them. Run on the
# machine that starts the VM; KERNEL picks the guest's kernel (default 7).
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export PATH="$repository/artifacts/bin:$PATH:/usr/sbin:/sbin"
self=$repository/tests/e2e/host_restart.sh
names=(first second third)

guest_start() { # mounts the disk that lasts, starts dstd
    mkdir -p /mnt/lasting
    mount /dev/vda /mnt/lasting
    dstd --run-dir /run/dst --state-dir /mnt/lasting/state >>/mnt/lasting/dstd.log 2>&1 &
    for _ in $(seq 100); do
        dstctl list >/dev/null 2>&1 && return
        sleep 0.2
    done
    echo "dstd does not answer"
    return 1
}

before_the_cut() {
    local name path
    mkfs.ext4 -q /dev/vda
    guest_start
    # The second is gone before the cut, so that ids in order of the list are not the ids of creation.
    for name in "${names[@]}"; do
        path=$(dstctl add-device "$name" --node "file:/mnt/lasting/$name.img,size=64M" \
            --node "file:/mnt/lasting/$name-2.img,size=37M")
        mkfs.ext4 -q "$path"
        mkdir -p "/mnt/$name"
        mount "$path" "/mnt/$name"
        dd if=/dev/urandom of="/mnt/$name/data" bs=1M count=20 conv=fsync status=none
        sha256sum "/mnt/$name/data" >"/mnt/lasting/$name.sum"
        cat "/run/dst/devices/$name/"{ublk_id,size,block_size,queues,depth} >"/mnt/lasting/$name.shape"
        dd if=/dev/urandom of="/mnt/$name/unflushed" bs=1M count=4 status=none
    done
    umount /mnt/second
    dstctl remove-device second
    # On the disk: the last lines of the output may go down with the guest.
    touch /mnt/lasting/cut
    sync -f /mnt/lasting
    echo 1 >/proc/sys/kernel/sysrq
    echo b >/proc/sysrq-trigger
    sleep 30
}

after_the_cut() {
    local name path
    mount | grep -q /mnt/lasting && return 1
    guest_start
    [ -e /mnt/lasting/cut ]
    for name in first third; do
        for _ in $(seq 150); do
            [ "$(cat "/run/dst/devices/$name/state" 2>/dev/null)" = live ] && break
            sleep 0.2
        done
        cat "/run/dst/devices/$name/"{ublk_id,size,block_size,queues,depth} | cmp - "/mnt/lasting/$name.shape"
        path=$(readlink -f "/dev/dst/$name")
        [ "$path" = "/dev/ublkb$(cat "/run/dst/devices/$name/ublk_id")" ]
        mkdir -p "/mnt/$name"
        mount "$path" "/mnt/$name"
        sha256sum --check --quiet "/mnt/lasting/$name.sum"
        umount "/mnt/$name"
        e2fsck -fn "$path" >/dev/null
        dstctl remove-device "$name"
    done
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
run() {
    "$repository/scripts/vm.sh" --kernel "${KERNEL:-7}" --timeout 300 --disk "$disk" -- "$self" "$1" >"$disk.log" 2>&1
}
status=0
run before || status=$?
if ((status == 125)) && run after && grep -q '^all came back' "$disk.log"; then
    echo "ok host_restart (${SECONDS} s)"
    echo "1 passed, 0 failed, 0 skipped"
else
    echo "FAIL host_restart"
    tail -n 40 "$disk.log" | cut -c1-300 | sed 's/^/    | /'
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
fi
