#!/usr/bin/env bash
# Devices on a real kernel: made, used by file systems and fio, removed; what must be refused; what must survive.
# CYCLES=N sets the number of add/remove cycles, FIO_MIB=N the data that fio verifies.
set -u
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
f=$work/files
cycles=${CYCLES:-25}
fio_mib=${FIO_MIB:-48}
fs_mib=${FS_MIB:-64}

add() { dstctl add-device "$@"; }

# ended_badly PID: waits for a child, which must fail. In this shell: a subshell has no children to wait for.
ended_badly() {
    if wait "$1"; then
        echo "process $1 ended well"
        return 1
    fi
}

two_files() { # NAME: a device over two new files
    add "$1" --node "file:$f/$1.a,size=96M" --node "file:$f/$1.b,size=160M"
}

test_main_job() {
    start_daemon
    local path
    path=$(two_files disk)
    [ "$path" = "$(readlink -f /dev/dst/disk)" ]
    [ -b "$path" ]
    [ "$(blockdev --getsize64 "$path")" = $((256 << 20)) ]
    mkfs.ext4 -q "$path"
    mkdir -p "$f/mnt"
    mount "$path" "$f/mnt"
    dd if=/dev/urandom of="$f/mnt/data" bs=1M count=64 status=none
    cp "$f/mnt/data" "$f/copy"
    sync "$f/mnt/data"
    echo 3 >/proc/sys/vm/drop_caches
    cmp "$f/copy" "$f/mnt/data"
    dstctl status disk
    umount "$f/mnt"
    e2fsck -fn "$path"
    dstctl remove-device disk
    [ ! -e "$path" ]
    [ ! -e /dev/dst/disk ]
    [ ! -e "$DST_RUN_DIR/devices/disk" ]
    [ -z "$(pgrep -x dst-target)" ]
    [ -z "$(dstctl list)" ]
}

# A file system over three files: made, filled, checked, and whole after removal and return of the device.
file_system() { # KIND MKFS-OPTIONS…
    local kind=$1 path check
    shift
    start_daemon
    # Sparse: a tmpfs can punch holes, but not zero a range and keep its room (C-18).
    path=$(add "fs-$kind" --node "file:$f/1,size=150M,sparse" "file:$f/2,size=97M,sparse" \
        --node "file:$f/3,size=203M,sparse")
    "mkfs.$kind" "$@" "$path"
    mkdir -p "$f/mnt"
    mount "$path" "$f/mnt"
    cp -a /etc "$f/mnt/" && cp -a "$repository/scripts" "$f/mnt/"
    dd if=/dev/urandom of="$f/mnt/big" bs=1M count="$fs_mib" status=none
    (cd "$f/mnt" && find . -type f -print0 | sort -z | xargs -0 sha256sum) >"$f/sums"
    rm -rf "$f/mnt/scripts"
    fstrim -v "$f/mnt"
    umount "$f/mnt"
    case $kind in
        ext4) check="e2fsck -fn" ;;
        xfs) check="xfs_repair -n" ;;
        btrfs) check="btrfs check" ;;
    esac
    $check "$path"
    dstctl remove-device "fs-$kind"
    path=$(add "fs-$kind" --node "file:$f/1" "file:$f/2" "file:$f/3")
    mount "$path" "$f/mnt"
    (cd "$f/mnt" && grep -v " \./scripts/" "$f/sums" | sha256sum --quiet -c)
    umount "$f/mnt"
    dstctl remove-device "fs-$kind"
}

test_ext4() { file_system ext4 -q; }
test_xfs() { file_system xfs -q; }
test_btrfs() { file_system btrfs -q; }

straddled() ( # NAME: some requests had two legs
    cd "$DST_RUN_DIR/devices/$1"
    (($(cat nodes/*/writes | paste -sd+) > $(cat writes)))
)

test_fio_verify_across_boundaries() {
    start_daemon
    local path
    path=$(add odd --node "file:$f/1,size=16897K" "file:$f/2,size=33280512" --node "mem:24M" --max-io 1M)
    # Over all three nodes; then every sector around both boundaries is written.
    fio --name=verify --filename="$path" --direct=1 --rw=randrw --bsrange=512-1M --bs_unaligned=0 --blockalign=512 \
        --size=100% --io_size="${fio_mib}M" --ioengine=io_uring --iodepth=16 --verify=crc32c --verify_fatal=1 \
        --verify_backlog=64 --randrepeat=0 --output-format=terse >"$f/fio.out"
    fio --filename="$path" --direct=1 --rw=randwrite --bsrange=512-256k --blockalign=512 --size=2M --ioengine=io_uring \
        --iodepth=8 --verify=crc32c --verify_fatal=1 --output-format=terse \
        --name=first --offset=$((17302528 - (1 << 20))) --name=second --offset=$((50583040 - (1 << 20))) >"$f/fio.out"
    # A request over a boundary is one write of the device and two of nodes.
    wait_until 5 straddled odd
    (($(cat "$DST_RUN_DIR/devices/odd/nodes/2/writes") > 0))
    # The boundaries themselves, with every size that crosses them.
    local boundary size
    for boundary in 17302528 50583040; do
        for size in 1024 4096 65536 1048576; do
            dd if=/dev/urandom of="$f/piece" bs="$size" count=1 status=none
            dd if="$f/piece" of="$path" bs=512 seek=$(((boundary - size / 2) / 512)) \
                oflag=direct conv=notrunc status=none
            dd if="$path" of="$f/back" bs=512 skip=$(((boundary - size / 2) / 512)) count=$((size / 512)) \
                iflag=direct status=none
            cmp "$f/piece" "$f/back"
        done
    done
    [ "$(cat "$DST_RUN_DIR/devices/odd/nodes/1/errors")" = 0 ]
    dstctl remove-device odd
}

# A file system that can zero and punch, on a ram disk: tmpfs cannot zero a range.
ram_file_system() { # thin: brd takes memory only for what is written
    modprobe brd rd_nr=1 rd_size=$((9 << 20)) max_part=0
    mkfs.ext4 -q -F /dev/ram0
    mkdir -p "$f/ram"
    mount /dev/ram0 "$f/ram"
}

test_discard_and_zeroes_around_4_gib() {
    ram_file_system
    start_daemon
    local path at
    path=$(add big --node "file:$f/ram/1,size=3G,sparse" "file:$f/ram/2,size=3G,sparse")
    [ "$(cat "/sys/block/${path##*/}/queue/discard_max_bytes")" -gt 0 ]
    [ "$(cat "/sys/block/${path##*/}/queue/write_zeroes_max_bytes")" -gt 0 ]
    for at in 0 $(((3 << 30) - 4096)) $(((4 << 30) - 4096)) $((4 << 30)) $(((6 << 30) - 4096)); do
        head -c 4096 /dev/urandom | dd of="$path" bs=4096 seek=$((at / 4096)) oflag=direct conv=notrunc status=none
    done
    blkdiscard -z -o $((3 << 30)) -l $(((1 << 30) + 4096)) "$path"
    dd if="$path" bs=4096 skip=$(((4 << 30) / 4096 - 1)) count=2 iflag=direct status=none | cmp -n 8192 - /dev/zero
    # The neighbours are whole.
    (! dd if="$path" bs=4096 skip=$(((3 << 30) / 4096 - 1)) count=1 iflag=direct status=none |
        cmp -s -n 4096 - /dev/zero)
    (! dd if="$path" bs=4096 skip=$(((6 << 30) / 4096 - 1)) count=1 iflag=direct status=none |
        cmp -s -n 4096 - /dev/zero)
    blkdiscard -z "$path"
    dd if="$path" bs=4096 skip=$(((6 << 30) / 4096 - 1)) count=1 iflag=direct status=none | cmp -n 4096 - /dev/zero
    dd if="$path" bs=4096 count=1 iflag=direct status=none | cmp -n 4096 - /dev/zero
    blkdiscard "$path"
    blkdiscard -o $(((3 << 30) - 512)) -l 1024 "$path"
    [ "$(cat "$DST_RUN_DIR/devices/big/errors")" = 0 ]
    dstctl remove-device big
}

# A disk between two other nodes, with a map of what it has room for: a discard reaches it as one.
test_discard_and_zeroes_of_a_disk() {
    local disk path
    disk=$(scsi_disk 64 lbpu=1 lbpws=1)
    mapped() { cat /sys/bus/pseudo/drivers/scsi_debug/map; }
    start_daemon
    path=$(add thin --node zero:32M "dev:$disk" mem:32M)
    [ "$(cat "/sys/block/${path##*/}/queue/discard_max_bytes")" -gt 0 ]
    [ "$(cat "/sys/block/${path##*/}/queue/write_zeroes_max_bytes")" -gt 0 ]
    head -c 64M /dev/urandom >"$f/data"
    dd if="$f/data" of="$path" bs=1M seek=32 oflag=direct conv=notrunc status=none
    [ "$(mapped)" = 0-131071 ]
    # Sectors 16384 to 32767 of the disk, and from 40960 to one block short of 49152.
    blkdiscard -o $((40 << 20)) -l $((8 << 20)) "$path"
    wait_until 5 grep -qx 1 "$DST_RUN_DIR/devices/thin/nodes/1/discards"
    [ "$(mapped)" = 0-16383,32768-131071 ]
    blkdiscard -z -o $((52 << 20)) -l $(((4 << 20) - 512)) "$path"
    wait_until 5 grep -qx 1 "$DST_RUN_DIR/devices/thin/nodes/1/write_zeroes"
    # Over its end, into the next node.
    blkdiscard -z -o $(((96 << 20) - 4096)) -l 8192 "$path"
    dd if=/dev/zero of="$f/data" bs=1M seek=8 count=8 conv=notrunc status=none
    dd if=/dev/zero of="$f/data" bs=512 seek=40960 count=8191 conv=notrunc status=none
    dd if=/dev/zero of="$f/data" bs=4k seek=$((16384 - 1)) count=1 conv=notrunc status=none
    cmp <(dd if="$path" bs=1M skip=32 count=64 iflag=direct status=none) "$f/data"
    [ "$(cat "$DST_RUN_DIR/devices/thin/errors")" = 0 ]
    dstctl remove-device thin
    cmp "$disk" "$f/data"
    rmmod scsi_debug
}

test_no_zeroes_on_tmpfs() {
    start_daemon
    local path
    mkdir -p "$f/tmpfs"
    mount -t tmpfs none "$f/tmpfs"
    path=$(add t --node "file:$f/tmpfs/1,size=32M")
    # What the backing cannot do is not offered; the kernel then writes zeroes itself.
    [ "$(cat "/sys/block/${path##*/}/queue/write_zeroes_max_bytes")" = 0 ]
    head -c 1M /dev/urandom | dd of="$path" bs=1M oflag=direct status=none
    blkdiscard -z -l 1M "$path"
    dd if="$path" bs=1M count=1 iflag=direct status=none | cmp -n 1048576 - /dev/zero
    dstctl remove-device t
}

test_beyond_the_end() {
    start_daemon
    local path
    path=$(add end --node zero:8M)
    (! dd if=/dev/zero of="$path" bs=1M seek=7 count=2 oflag=direct status=none)
    (! dd if=/dev/zero of="$path" bs=1M seek=8 count=1 oflag=direct status=none)
    [ "$(dd if="$path" bs=1M skip=8 count=1 status=none | wc -c)" = 0 ]
    dstctl remove-device end
}

# What dstd has open, by kind: sockets and pipes have new numbers each time.
daemon_files() { find "/proc/$(cat "$work/dstd.pid")/fd" -type l -printf '%l\n' | sed 's/\[[0-9]*\]//' | sort; }
same_daemon_files() { daemon_files | diff "$f/daemon.files" -; }

test_cycles_leave_nothing() {
    start_daemon
    local i
    touch "$f/blkid"
    # With pauses: more of them would leave an emulated machine no time for anything else.
    (set +x; while [ -e "$f/blkid" ]; do blkid -p /dev/ublkb* >/dev/null 2>&1; sleep 1; done) &
    local prober=$!
    # Openers that die at any moment (U-26).
    (
        set +x
        while [ -e "$f/blkid" ]; do
            path=$(find /dev -name 'ublkb*' | head -n 1)
            timeout -s KILL 0.05 dd if="$path" of=/dev/null bs=4k iflag=direct >/dev/null 2>&1 || true
            sleep 2
        done
    ) &
    local killed=$!
    add warm --node zero:4M
    dstctl remove-device warm
    sleep 1
    daemon_files >"$f/daemon.files"
    for ((i = 0; i < cycles; i++)); do
        add "cycle$i" --node zero:4M --depth 16 >/dev/null
        dstctl remove-device "cycle$i" --timeout 30
    done
    rm -f "$f/blkid"
    wait "$prober" "$killed"
    [ -z "$(pgrep -x dst-target)" ]
    [ -z "$(find /dev -maxdepth 1 -name 'ublk[bc]*')" ]
    [ -z "$(ls -A "$DST_RUN_DIR/devices")" ]
    [ -z "$(ls -A "$DST_RUN_DIR/targets")" ]
    # The connection of the last dstctl may still be closing.
    wait_until 5 same_daemon_files || same_daemon_files
}

test_removal_is_refused_while_used() {
    start_daemon
    local path started
    path=$(two_files used)
    mkfs.ext4 -q "$path"
    mkdir -p "$f/mnt"
    mount "$path" "$f/mnt"
    started=$SECONDS
    expect 5 "$f/mnt" dstctl remove-device used
    ((SECONDS - started < 8))
    touch "$f/mnt/still-writable"
    umount "$f/mnt"
    # An opener is waited for, then named.
    # shellcheck disable=SC2217 # only the open descriptor counts
    sleep 1000 <"$path" &
    local opener=$!
    started=$SECONDS
    expect 5 "$opener" dstctl remove-device used --timeout 2
    ((SECONDS - started >= 2 && SECONDS - started < 12))
    kill "$opener"
    mkswap "$path"
    swapon "$path"
    expect 5 swap dstctl remove-device used
    swapoff "$path"
    dstctl remove-device used
}

test_removal_while_requests_hang_is_bounded() {
    start_daemon
    # Before Linux 6.19 START itself reads the partition table, through this node: not too slow a node.
    local path started
    path=$(add slow --node delay:3000,zero:8M)
    dd if="$path" of=/dev/null bs=4k count=1000 iflag=direct status=none &
    local reader=$!
    sleep 1
    started=$SECONDS
    expect 5 "$reader" dstctl remove-device slow --timeout 2
    ((SECONDS - started < 15))
    started=$SECONDS
    dstctl remove-device slow --force --timeout 5
    ((SECONDS - started < 30))
    ended_badly "$reader"
    [ ! -e "$path" ]
}

# U-25: before Linux 7.0 START itself reads the partition table, afterwards a helper of dstd does.
test_a_node_that_never_answers() {
    start_daemon
    local status=0
    timeout 120 dstctl add-device silent --node delay:600000,zero:8M --id 6 2>"$f/err" || status=$?
    cat "$f/err"
    if dstctl features | grep -q 'NO_AUTO_PART_SCAN *yes'; then
        ((status == 0))
        timeout 60 dstctl remove-device silent --force --timeout 5
    else
        ((status == 1))
        grep -q 'a node does not answer' "$f/err"
    fi
    [ -z "$(dstctl list)" ]
    wait_until 10 test ! -e /dev/ublkc6
    [ ! -e /dev/ublkb6 ]
    wait_until 10 sh -c '! pgrep -x dst-target'
    # The driver takes commands, and the number is free.
    [ "$(add silent --node zero:8M --id 6)" = /dev/ublkb6 ]
    dstctl remove-device silent
}

test_daemon_killed_while_io_runs() {
    start_daemon
    local path target
    path=$(add alive --node "file:$f/1,size=64M")
    target=$(cat "$DST_RUN_DIR/devices/alive/pid")
    fio --name=load --filename="$path" --direct=1 --rw=randrw --bs=4k --ioengine=io_uring --iodepth=8 \
        --time_based --runtime=12 --verify=crc32c --verify_fatal=1 --verify_backlog=32 --output="$f/fio.out" &
    local load=$!
    sleep 2
    kill_daemon KILL
    expect 4 dstd dstctl list
    sleep 1
    start_daemon
    [ "$(cat "$DST_RUN_DIR/devices/alive/pid")" = "$target" ]
    dstctl status alive | grep -q live
    kill_daemon TERM
    kill -0 "$target"
    start_daemon
    wait "$load"
    dstctl remove-device alive
    wait_until 5 gone "$target"
}

test_target_killed() {
    start_daemon
    local path target
    # Larger than what is written to it: the writer meets no end of the disk.
    path=$(add victim --node "file:$f/1,size=2G,sparse")
    target=$(cat "$DST_RUN_DIR/devices/victim/pid")
    dd if=/dev/zero of="$path" bs=1M count=30 oflag=direct status=none
    timeout 60 dd if=/dev/zero of="$path" bs=4k oflag=direct 2>"$f/writer" &
    local load=$!
    wait_until 20 sh -c "[ \$(cat $DST_RUN_DIR/devices/victim/writes) -gt 100 ]"
    kill -9 "$target"
    ended_badly "$load"
    grep 'Input/output error' "$f/writer"
    wait_until 30 sh -c "dstctl status victim | grep -q failed"
    dstctl status victim | grep -qi 'signal 9\|killed'
    wait_until 30 test ! -e "$path"
    [ ! -e /dev/dst/victim ]
    [ ! -e "$DST_RUN_DIR/devices/victim" ]
    # A new daemon brings it back, with its id.
    kill_daemon TERM
    start_daemon
    wait_until 30 test -b "$path"
    wait_until 30 sh -c "dstctl status victim | grep -q live"
    dstctl remove-device victim
}

four_readers() { # PATH: starts them and waits until all of them read; sets readers.
    local reader
    readers=()
    for reader in 1 2 3 4; do
        dd if="$1" of=/dev/null bs=4k count=1000 skip=$((reader * 256)) iflag=direct 2>"$f/reader$reader" &
        readers+=("$!")
    done
    # In read() of file 0: one that still seeks would meet a device without an end. Before that it may wait long, since
    # nobody opens a disk while udev has its partitions read.
    for reader in "${readers[@]}"; do
        wait_until 90 grep -q '^0 0x0 ' "/proc/$reader/syscall"
    done
    wait_until 10 sh -c "[ \"\$(awk '{ print \$1 }' /sys/block/ublkb5/inflight)\" -ge 2 ]"
}

test_target_killed_with_every_tag_in_flight() {
    start_daemon
    # Before Linux 6.15 the kernel notices such a death only when its 30 s request timer fires (U-33).
    local path target started reader readers
    path=$(add stuck --node delay:1000,zero:8M --queues 1 --depth 2 --id 5)
    [ "$path" = /dev/ublkb5 ]
    target=$(cat "$DST_RUN_DIR/devices/stuck/pid")
    four_readers "$path"
    kill -9 "$target"
    started=$SECONDS
    wait_until 30 sh -c "dstctl status stuck | grep -q failed"
    (! dstctl status stuck | grep -i 'somebody else\|which lives')
    wait_until 60 test ! -e /dev/ublkc5
    echo "the kernel let go after $((SECONDS - started)) s"
    for reader in "${readers[@]}"; do
        ended_badly "$reader"
    done
    head -n 1 "$f"/reader?
    [ "$(grep -l 'Input/output error' "$f"/reader? | wc -l)" = 4 ]
    ((SECONDS - started < 60))
    wait_until 10 sh -c "dstctl status stuck | grep -q 'restart dstd'"
    dstctl remove-device stuck
    [ -z "$(dstctl list)" ]
    # A removal that comes at once waits, and leaves nothing either.
    path=$(add stuck --node delay:1000,zero:8M --queues 1 --depth 2 --id 5)
    [ "$path" = /dev/ublkb5 ]
    target=$(cat "$DST_RUN_DIR/devices/stuck/pid")
    four_readers "$path"
    kill -9 "$target"
    started=$SECONDS
    wait_until 30 sh -c "dstctl status stuck | grep -q failed"
    dstctl remove-device stuck
    ((SECONDS - started < 60))
    [ ! -e /dev/ublkc5 ]
    [ "$(add again --node zero:8M --id 5)" = /dev/ublkb5 ]
    dstctl remove-device again
}

test_devices_return_after_everything_died() {
    start_daemon
    local path
    path=$(add back --node "file:$f/1,size=16M" "file:$f/2,size=24M" --id 7)
    [ "$path" = /dev/ublkb7 ]
    dd if=/dev/urandom of="$f/data" bs=1M count=40 status=none
    dd if="$f/data" of="$path" bs=1M oflag=direct status=none
    kill_daemon KILL
    pkill -9 -x dst-target
    wait_until 10 sh -c '! pgrep -x dst-target'
    start_daemon
    wait_until 30 test -b /dev/ublkb7
    wait_until 30 sh -c "dstctl status back | grep -q live"
    cmp "$f/data" /dev/ublkb7
    dstctl remove-device back
    # An exchanged backing is refused, and the file that came instead is not touched.
    path=$(add swapped --node "file:$f/1,size=16M")
    kill_daemon KILL
    pkill -9 -x dst-target
    mv "$f/1" "$f/old"
    dd if=/dev/zero of="$f/1" bs=1M count=16 status=none
    start_daemon
    wait_until 20 sh -c "dstctl status swapped | grep -qi 'failed'"
    dstctl status swapped | grep -qi 'identity\|another\|changed\|not the'
    dstctl remove-device swapped
}

test_two_daemons_side_by_side() {
    start_daemon
    dstd --run-dir /run/dst-second --state-dir "$work/files/state2" >"$f/second.log" 2>&1 &
    local second=$! path
    wait_until 20 dstctl --run-dir /run/dst-second list
    path=$(dstctl --run-dir /run/dst-second add-device other --node zero:4M)
    [ -b "$path" ]
    [ -z "$(dstctl list)" ]
    # A second daemon on the same directories is refused.
    local status=0
    timeout 20 dstd --run-dir "$DST_RUN_DIR" --state-dir "$state" 2>"$f/err" || status=$?
    ((status != 0 && status != 124))
    dstctl --run-dir /run/dst-second remove-device other
    kill "$second"
    wait_until 10 gone "$second"
}

for name in $(declare -F | awk '$3 ~ /^test_/ { print substr($3, 6) }'); do
    [ -n "${ONLY:-}" ] && ! [[ $name =~ $ONLY ]] && continue
    run_test "$name" "test_$name"
done
finish
