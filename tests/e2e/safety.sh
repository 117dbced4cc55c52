#!/usr/bin/env bash
# What keeps data: flush, FUA, poison, identity and locks of backings; what keeps the host: the target's threads, mounts
# and memory.
set -u
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
f=$work/files
requests=${REQUESTS:-200000}
fio_mib=${FIO_MIB:-48}

node() { cat "$DST_RUN_DIR/devices/$1/nodes/$2/$3"; }

# inventory FOLDER…: modes and names of all that is in them, and the content of files.
inventory() { find "$@" -printf '%M %p\n' -type f -exec sha256sum {} + | sort; }

# unchanged FOLDER…: shows what differs from the inventory taken before.
unchanged() { inventory "$@" | diff "$f.before" -; }

test_flush_reaches_every_dirty_node() {
    start_daemon
    local path boundary=$((32 << 20))
    path=$(dstctl add-device dirty --node "file:$f/1,size=32M" "file:$f/2,size=32M" "file:$f/3,size=32M")
    # The first flush covers what an earlier life may have left, on every node; later ones only what was written since.
    dd if=/dev/zero of="$path" bs=4k count=1 oflag=direct conv=fsync,notrunc status=none
    sleep 1.5
    local a b c
    a=$(node dirty 0 flushes) b=$(node dirty 1 flushes) c=$(node dirty 2 flushes)
    ((a >= 1 && b >= 1 && c >= 1))
    dd if=/dev/zero of="$path" bs=4k count=1 oflag=direct conv=fsync,notrunc status=none
    dd if=/dev/zero of="$path" bs=4k seek=$((2 * boundary / 4096)) count=1 oflag=direct conv=fsync,notrunc status=none
    sleep 1.5
    (( $(node dirty 0 flushes) > a && $(node dirty 1 flushes) == b && $(node dirty 2 flushes) > c ))
    # A write over a boundary makes both sides dirty.
    b=$(node dirty 1 flushes) c=$(node dirty 2 flushes)
    dd if=/dev/zero of="$path" bs=8k oflag=direct,seek_bytes seek=$((2 * boundary - 4096)) count=1 \
        conv=fsync,notrunc status=none
    sleep 1.5
    (( $(node dirty 1 flushes) > b && $(node dirty 2 flushes) > c ))
    [ "$(cat "/sys/block/${path##*/}/queue/write_cache")" = "write back" ]
    [ "$(cat "/sys/block/${path##*/}/queue/fua")" = 1 ]
    # FUA over the boundary reaches both legs and needs no flush.
    dd if=/dev/zero of="$path" bs=8k oflag=direct,dsync,seek_bytes seek=$((boundary - 4096)) count=4 \
        conv=notrunc status=none
    dstctl remove-device dirty
}

test_failed_flush_poisons_until_cleared() {
    # A disk with a volatile cache, whose flushes can be made to fail.
    modprobe dm-flakey
    local disk path
    disk=$(scsi_disk 64)
    [ "$(cat "/sys/block/${disk##*/}/queue/write_cache")" = "write back" ]
    dmsetup create flaky --uuid dst-test-flaky --table "0 131072 linear $disk 0"
    start_daemon
    path=$(dstctl add-device poison --node dev:/dev/mapper/flaky zero:8M)
    head -c 1M /dev/urandom | dd of="$path" bs=1M oflag=direct status=none
    dmsetup suspend --nolockfs --noflush flaky
    dmsetup load flaky --table "0 131072 flakey $disk 0 0 3600 1 error_writes"
    dmsetup resume flaky
    # Closing the disk above has flushed it: only a node that was written to since is asked again.
    (! dd if=/dev/zero of="$path" bs=4k count=1 oflag=direct conv=fsync,notrunc status=none)
    dmsetup suspend --nolockfs --noflush flaky
    dmsetup load flaky --table "0 131072 linear $disk 0"
    dmsetup resume flaky
    # The disk is well again; what it lost is not.
    wait_until 5 sh -c "dstctl status poison | grep -q poisoned"
    (! dd if=/dev/zero of="$path" bs=4k count=1 oflag=direct conv=fsync,notrunc status=none)
    (! dd if=/dev/zero of="$path" bs=4k count=1 oflag=direct,dsync conv=notrunc status=none)
    # What cannot be flushed is not removed: device, record and target are as before.
    local target
    target=$(cat "$DST_RUN_DIR/devices/poison/pid")
    expect 1 "device poison is not removed" dstctl remove-device poison
    grep -qi 'flush\|fsync' "$work/err"
    grep -q -- --force "$work/err"
    [ -b "$path" ]
    [ "$(cat "$DST_RUN_DIR/devices/poison/pid")" = "$target" ]
    [ "$(cat "$DST_RUN_DIR/devices/poison/state")" = live ]
    # The mark outlives target and daemon.
    kill_daemon KILL
    pkill -9 -x dst-target
    start_daemon
    wait_until 30 test -b "$path"
    wait_until 10 sh -c "dstctl status poison | grep -q poisoned"
    (! dd if=/dev/zero of="$path" bs=4k count=1 oflag=direct conv=fsync,notrunc status=none)
    expect 3 "no node 5" dstctl clear-error poison 5
    dstctl clear-error poison 0
    dd if=/dev/zero of="$path" bs=4k count=1 oflag=direct conv=fsync,notrunc status=none
    dstctl remove-device poison
    dmsetup remove flaky
    rmmod scsi_debug
}

# While the mark of a failed flush cannot be written, the flush is answered neither well nor badly.
test_a_mark_that_cannot_be_written_holds_the_flush() {
    modprobe dm-flakey
    modprobe loop
    local disk path lasting sectors
    disk=$(scsi_disk 64)
    dmsetup create flaky --uuid dst-test-flaky --table "0 131072 linear $disk 0"
    truncate -s 32M "$f/lasting.img"
    lasting=$(losetup --find --show "$f/lasting.img")
    sectors=$((32 * 2048))
    dmsetup create lasting --uuid dst-test-lasting --table "0 $sectors linear $lasting 0"
    mkfs.ext2 -q /dev/mapper/lasting
    mkdir -p "$f/lasting"
    mount /dev/mapper/lasting "$f/lasting"
    state=$f/lasting/state
    start_daemon
    path=$(dstctl add-device held --node dev:/dev/mapper/flaky)
    exchange() { # NAME TABLE
        dmsetup suspend --nolockfs --noflush "$1"
        dmsetup load "$1" --table "$2"
        dmsetup resume "$1"
    }
    dd if=/dev/zero of="$path" bs=4k count=1 oflag=direct status=none
    exchange lasting "0 $sectors flakey $lasting 0 0 3600 1 error_writes"
    exchange flaky "0 131072 flakey $disk 0 0 3600 1 error_writes"
    dd if=/dev/zero of="$path" bs=4k count=1 oflag=direct conv=fsync,notrunc status=none &
    local writer=$!
    wait_until 10 grep -q 'error mark cannot be written' "$daemon_log"
    sleep 2
    kill -0 "$writer"
    dd if="$path" of=/dev/null bs=4k count=1 iflag=direct status=none
    exchange flaky "0 131072 linear $disk 0"
    exchange lasting "0 $sectors linear $lasting 0"
    (! wait "$writer")
    [ "$(node held 0 state)" = poisoned ]
    kill_daemon KILL
    pkill -9 -x dst-target
    start_daemon
    wait_until 30 test -b "$path"
    [ "$(node held 0 state)" = poisoned ]
    dstctl remove-device held --force
    kill_daemon
    umount "$f/lasting"
    dmsetup remove flaky lasting
    losetup -d "$lasting"
    rmmod scsi_debug
}

test_errors_reach_the_caller() {
    start_daemon
    local path
    path=$(dstctl add-device faulty --node error:read@3-,zero:8M)
    (! dd if="$path" of=/dev/null bs=4k count=100 iflag=direct status=none)
    dstctl remove-device faulty --force
    path=$(dstctl add-device full --node error:write:ENOSPC,zero:8M)
    dd if=/dev/zero of="$path" bs=4k count=1 oflag=direct 2>"$f/err" && return 1
    grep -qi 'no space' "$f/err"
    dstctl remove-device full --force
}

test_every_thread_is_guarded() {
    start_daemon
    local path pid task flags seen=0
    path=$(dstctl add-device guarded --node "file:$f/1,size=16M,buffered")
    dd if=/dev/zero of="$path" bs=1M count=8 conv=fsync status=none
    pid=$(cat "$DST_RUN_DIR/devices/guarded/pid")
    # Workers of io_uring are threads of the target too; one that was idle for 5 s may end while we look.
    for task in "/proc/$pid/task"/*; do
        if flags=$(sed 's/.*) //' "$task/stat" | cut -d' ' -f7); then
            (((flags & 0x180000) == 0x180000)) || { echo "$(cat "$task/comm") lacks the flags: $flags"; return 1; }
            seen=$((seen + 1))
        else
            [ ! -e "$task" ]
        fi
    done
    [ "$seen" -ge 4 ]
    [ "$(sed 's/.*) //' "/proc/$pid/stat" | cut -d' ' -f4)" = "$pid" ]
    [ "$(cat "/proc/$pid/oom_score_adj")" = -1000 ]
    [ "$(readlink "/proc/$pid/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ]
    (! grep -q 'shared:' "/proc/$pid/mountinfo")
    # Nothing of its own disk is open in it.
    (! find "/proc/$pid/fd" -lname '/dev/ublkb*' | grep .)
    dstctl remove-device guarded
}

test_refuses_without_the_capability() {
    capsh --drop=cap_sys_resource -- -c "exec dstd --run-dir $DST_RUN_DIR --state-dir $state" >"$daemon_log" 2>&1 &
    echo $! >"$work/dstd.pid"
    wait_until 20 dstctl list
    expect 1 CAP_SYS_RESOURCE dstctl add-device weak --node "file:$f/1,size=16M"
    [ ! -e "$f/1" ]
    [ -z "$(dstctl list)" ]
}

test_no_target_keeps_a_mount_of_others() {
    start_daemon
    local a
    a=$(dstctl add-device a --node "file:$f/1,size=64M")
    mkfs.ext4 -q "$a"
    mkdir -p "$f/mnt"
    mount "$a" "$f/mnt"
    dstctl add-device b --node "file:$f/2,size=64M"
    umount "$f/mnt"
    e2fsck -fn "$a"
    dstctl remove-device a
    dstctl remove-device b
}

# Two queues that flush one node, so that they also wait for each other.
test_no_allocation_per_request() {
    start_daemon
    local path
    path=$(dstctl add-device quiet --node "file:$f/1,size=32M" mem:32M --queues 2)
    fio --name=many --filename="$path" --direct=1 --rw=randrw --bs=4k --ioengine=io_uring --iodepth=32 --numjobs=2 \
        --fsync=16 --number_ios="$(((requests + 1) / 2))" --size=64M --io_size=64G --output="$f/fio.out"
    dstctl remove-device quiet
    grep -o 'queue ended:.*' "$daemon_log" | tail -n 2 | tee "$f/lines"
    [ "$(grep -c ', 0 bytes allocated' "$f/lines")" = 2 ]
    [ "$(awk '{ n += $3 + $5 } END { printf "%d", n }' "$f/lines")" -ge "$requests" ]
}

# U-10: the collector stops threads with signals; none may cost or double a request.
test_forced_collections() {
    DST_TEST_COLLECT_MS=2 start_daemon
    local path
    path=$(dstctl add-device stormy --node "file:$f/1,size=24M" "file:$f/2,size=13M" mem:11M)
    wait_until 5 grep -q 'collecting garbage every 2 ms' "$daemon_log"
    fio --name=stormy --filename="$path" --direct=1 --rw=randrw --bsrange=512-256k --ioengine=io_uring --iodepth=16 \
        --size=48M --io_size="${fio_mib}M" --verify=crc32c --verify_fatal=1
    [ "$(cat "$DST_RUN_DIR/devices/stormy/errors")" = 0 ]
    dstctl remove-device stormy
}

holds() { # FOLDER FILE VALUE…
    local folder=$1
    shift
    while (($#)); do
        [ "$(cat "$folder/$1")" = "$2" ] || { echo "$folder/$1 holds $(cat "$folder/$1")"; return 1; }
        shift 2
    done
}

wakes() { awk '/^voluntary_ctxt_switches/ { n += $2 } END { print n }' "/proc/$1/task"/*/status; }

sleeps() { # PID: nearly nothing wakes it for five seconds
    local before
    before=$(wakes "$1")
    sleep 5
    (($(wakes "$1") <= before + 12))
}

test_status_tree() {
    start_daemon
    local path tree=$DST_RUN_DIR/devices/tree
    path=$(dstctl add-device tree --node "file:$f/1,size=16M,sparse" zero:16M --id 4 --queues 2 --depth 16)
    # After what udev reads of a new disk.
    sleep 3
    local read_bytes reads
    reads=$(cat $tree/reads) read_bytes=$(cat $tree/read_bytes)
    holds $tree state live size $((32 << 20)) ublk_id 4 block_device "$path" queues 2 depth 16 max_io $((1 << 20)) \
        block_size 512 read_only 0 writes 0 write_bytes 0 flushes 0 discards 0 write_zeroes 0 errors 0 inflight 0 \
        read_bytes "$(($(cat $tree/nodes/0/read_bytes) + $(cat $tree/nodes/1/read_bytes)))"
    holds $tree/nodes/0 type file address "$f/1" start 0 size $((16 << 20)) state live errors 0 inflight 0
    holds $tree/nodes/1 type zero start $((16 << 20)) size $((16 << 20)) state live errors 0 inflight 0
    [ "$(readlink "/proc/$(cat $tree/pid)/exe")" = "$(command -v dst-target)" ]
    [ "$(stat -c %a $tree $tree/size $tree/nodes/0 $tree/nodes/0/reads | sort -u | xargs)" = "644 755" ]
    [ "$(stat -c %a "$DST_RUN_DIR/dstd.sock")" = 600 ]
    [ "$(stat -c %a "$DST_RUN_DIR/targets/tree")" = 600 ]
    local pid before
    pid=$(cat $tree/pid)
    before=$(find $tree -newermt '-1 second' -type f | wc -l)
    [ "$before" = 0 ]
    # udev may look at a new disk once more.
    wait_until 60 sleeps "$pid"
    dd if=/dev/zero of="$path" bs=4k count=10 oflag=direct status=none
    sleep 1.2
    holds $tree writes 10 write_bytes 40960
    holds $tree/nodes/0 writes 10 write_bytes 40960
    dd if="$path" of=/dev/null bs=64k skip=256 count=4 iflag=direct status=none
    dd if=/dev/zero of="$path" bs=4k count=1 oflag=direct conv=fsync,notrunc status=none
    blkdiscard -l 64k "$path"
    sleep 1.2
    (($(cat $tree/reads) >= reads + 4 && $(cat $tree/read_bytes) >= read_bytes + (256 << 10)))
    (($(cat $tree/flushes) >= 1 && $(cat $tree/nodes/0/flushes) >= 1))
    holds $tree discards 1 errors 0 inflight 0
    grep -q '^count [0-9]* p50_us' $tree/nodes/0/latency_write
    # Readers never see a torn or missing value.
    fio --name=busy --filename="$path" --direct=1 --rw=randwrite --bs=4k --iodepth=8 --ioengine=io_uring \
        --time_based --runtime=4 --output="$f/o" &
    local load=$!
    local value readings=0
    set +x
    while kill -0 "$load" 2>/dev/null; do
        read -r value <$tree/writes
        [[ $value =~ ^[0-9]+$ ]]
        readings=$((readings + 1))
    done
    set -x
    ((readings > 100))
    wait "$load"
    dstctl status --json | grep -q '"schema": *2'
    dstctl remove-device tree
    [ ! -e $tree ]
    # Of requests that fail or wait.
    tree=$DST_RUN_DIR/devices/other
    path=$(dstctl add-device other --read-only --block-size 4096 --node error:read@1-,mem:8M)
    (! dd if="$path" of=/dev/null bs=4k count=1 iflag=direct status=none)
    holds $tree read_only 1 block_size 4096 size $((8 << 20))
    wait_until 5 sh -c "[ \$(cat $tree/errors) -gt 0 ] && [ \$(cat $tree/nodes/0/errors) -gt 0 ]"
    dstctl remove-device other
    path=$(dstctl add-device other --node delay:1000,zero:8M)
    dd if="$path" of=/dev/null bs=4k count=3 iflag=direct status=none &
    load=$!
    wait_until 5 sh -c "[ \$(cat $tree/inflight) -gt 0 ] && [ \$(cat $tree/nodes/0/inflight) -gt 0 ]"
    wait "$load"
    wait_until 5 grep -qx 0 $tree/inflight
    dstctl remove-device other --timeout 30
}

test_the_host_examined() {
    local has=no
    [[ $(uname -r) != 7* ]] || has=yes
    dstctl features >"$f/features"
    grep -qE "^kernel +$(uname -r | sed 's/[+.]/\\&/g') +yes " "$f/features"
    grep -qE '^ublk +CMD_IOCTL_ENCODE +yes +6.4$' "$f/features"
    grep -qE '^ublk +USER_RECOVERY +yes ' "$f/features"
    grep -qE "^ublk +NO_AUTO_PART_SCAN +$has +7.0$" "$f/features"
    grep -qE "^ublk +QUIESCE +$has +6.16$" "$f/features"
    [ "$(grep -cE '^io_uring +[A-Z0-9_]+ +yes ' "$f/features")" = "$(grep -c '^io_uring ' "$f/features")" ]
    grep -q '^io_uring .*OP_URING_CMD' "$f/features"
    # Without a daemon something is missing, and the command that mends it is named.
    local status=0
    dstctl doctor >"$f/doctor" || status=$?
    ((status == 1))
    grep '^missing' "$f/doctor" >"$f/missing"
    [ "$(wc -l <"$f/missing")" = 1 ]
    grep -q '^missing  dstd .*mend: ' "$f/missing"
    start_daemon
    dstctl doctor >"$f/doctor"
    (! grep -v '^ok ' "$f/doctor")
    local name
    for name in kernel ublk io_uring root CAP_SYS_ADMIN CAP_SYS_RESOURCE CAP_IPC_LOCK 'open files' 'run directory' \
        'state directory' dstd 'no swap on DST'; do
        grep -q "^ok  *$name  " "$f/doctor"
    done
    grep -q "pid $(cat "$work/dstd.pid")" "$f/doctor"
    # What the kernel does not have.
    kill_daemon
    rmmod ublk_drv
    status=0
    dstctl doctor >"$f/doctor" || status=$?
    ((status == 1))
    grep '^missing  ublk .*mend: modprobe ublk_drv' "$f/doctor"
    expect 1 ublk dstctl features
    modprobe ublk_drv
}

test_backings_that_must_be_refused() {
    modprobe brd rd_nr=2 rd_size=$((64 << 10)) max_part=0
    modprobe loop
    start_daemon
    local path loop
    dd if=/dev/zero of="$f/1" bs=1M count=32 status=none
    dstctl add-device first --node "file:$f/1"
    expect 5 "$f/1" dstctl add-device second --node "file:$f/1"
    expect 5 "$f/2" dstctl add-device twice --node "file:$f/2,size=16M" "file:$f/2"
    [ ! -e "$f/2" ]
    mkfs.ext4 -q -F /dev/ram1
    mkdir -p "$f/mnt"
    mount /dev/ram1 "$f/mnt"
    expect 5 /dev/ram1 dstctl add-device mounted --node dev:/dev/ram1
    umount "$f/mnt"
    dd if=/dev/zero of="$f/3" bs=1M count=16 status=none
    loop=$(losetup -f --show "$f/3")
    expect 5 loop dstctl add-device looped --node "file:$f/3"
    losetup -d "$loop"
    # A file that lies on a DST device, and the device itself.
    path=$(readlink -f /dev/dst/first)
    mkfs.ext4 -q "$path"
    mount "$path" "$f/mnt"
    expect 2 DST dstctl add-device cycle --node "file:$f/mnt/x,size=8M"
    [ ! -e "$f/mnt/x" ]
    umount "$f/mnt"
    expect 2 DST dstctl add-device self --node "dev:$path"
    dstctl remove-device first
}

test_read_only_devices_share_a_backing() {
    start_daemon
    local one two
    dd if=/dev/urandom of="$f/1" bs=1M count=16 status=none
    one=$(dstctl add-device one --read-only --node "file:$f/1")
    two=$(dstctl add-device two --read-only --node "file:$f/1")
    cmp "$f/1" "$one"
    cmp "$f/1" "$two"
    (! dd if=/dev/zero of="$two" bs=4k count=1 oflag=direct status=none)
    expect 5 "$f/1" dstctl add-device writer --node "file:$f/1"
    dstctl remove-device one
    cmp "$f/1" "$two"
    dstctl remove-device two
    dstctl add-device writer --node "file:$f/1"
    expect 5 "$f/1" dstctl add-device reader --read-only --node "file:$f/1"
    dstctl remove-device writer
}

test_bad_input_changes_nothing() {
    start_daemon
    mkdir "$f/dir"
    mkfifo "$f/fifo"
    : >"$f/empty"
    dd if=/dev/zero of="$f/tiny" bs=4k count=1 status=none
    dd if=/dev/zero of="$f/good" bs=1M count=8 status=none
    inventory "$f" "$state" >"$f.before"
    # The comparison itself notices a new file and a changed one.
    touch "$f/new"
    (! unchanged "$f" "$state")
    rm "$f/new"
    printf x | dd of="$f/good" conv=notrunc status=none
    (! unchanged "$f" "$state")
    printf '\0' | dd of="$f/good" conv=notrunc status=none
    unchanged "$f" "$state"
    expect 2 tape dstctl add-device x --node tape:/dev/st0
    expect 2 colour dstctl add-device x --node "file:$f/good,colour=red"
    expect 2 size= dstctl add-device x --node "file:$f/missing"
    expect 2 directory dstctl add-device x --node "file:$f/dir"
    timeout 20 bash -c "$(declare -f expect); work=$work; expect 2 '' dstctl add-device x --node file:$f/fifo"
    expect 2 "$f/empty" dstctl add-device x --node "file:$f/empty"
    expect 2 "$f/tiny" dstctl add-device x --node "file:$f/tiny"
    expect 2 1000 dstctl add-device x --node "file:$f/new,size=1000"
    expect 2 1000 dstctl add-device x --node "file:$f/good,offset=1000"
    local size
    for size in -1 9999999T 1.5x; do
        expect 2 "$size" dstctl add-device x --node "zero:$size"
        expect 2 "$size" dstctl add-device x --node "file:$f/new,size=$size"
    done
    expect 2 a/b dstctl add-device a/b --node zero:8M
    expect 2 .. dstctl add-device .. --node zero:8M
    expect 2 64 dstctl add-device "$(printf 'n%.0s' {1..300})" --node zero:8M
    local many=()
    for ((i = 0; i < 65; i++)); do many+=(zero:8M); done
    expect 2 64 dstctl add-device x --node "${many[@]}"
    expect 2 memory dstctl add-device x --node zero:64M --queues 4 --depth 128 --max-io 1M --memory 16M
    expect 3 nobody dstctl remove-device nobody
    expect 3 nobody dstctl status nobody
    dstctl add-device taken --node zero:8M --id 3 >/dev/null
    expect 5 taken dstctl add-device taken --node zero:8M
    expect 5 3 dstctl add-device other --node zero:8M --id 3
    dstctl remove-device taken
    expect 4 permission setpriv --reuid 65534 --clear-groups -- dstctl --run-dir "$DST_RUN_DIR" list
    expect 4 permission setpriv --reuid 65534 --clear-groups -- \
        dstctl --run-dir "$DST_RUN_DIR" add-device x --node "file:$f/new,size=16M"
    [ ! -e "$f/new" ]
    # A full disk: nothing stays behind.
    mkdir "$f/small"
    mount -t tmpfs -o size=24M none "$f/small"
    expect 1 ENOSPC dstctl add-device x --node "file:$f/small/1,size=16M" "file:$f/small/2,size=16M"
    [ -z "$(ls -A "$f/small")" ]
    umount "$f/small"
    rmdir "$f/small"
    # The socket itself.
    local post=(curl -s -o "$f.out" -w '%{http_code}' --unix-socket "$DST_RUN_DIR/dstd.sock"
        -H 'Content-Type: application/json' http://d/v1/devices)
    [ "$("${post[@]}" -d '{garbage')" = 400 ]
    head -c 100M /dev/zero >"$work/body"
    [ "$("${post[@]}" -H Expect: --data-binary @"$work/body" || true)" = 413 ]
    [ -z "$(dstctl list)" ]
    unchanged "$f" "$state"
    kill_daemon TERM
    expect 4 dstd dstctl add-device x --node zero:8M
    # No driver in the kernel.
    rmmod ublk_drv
    start_daemon
    expect 1 modprobe dstctl add-device x --node "file:$f/new,size=16M"
    [ ! -e "$f/new" ]
    modprobe ublk_drv
}

test_a_power_cut_of_the_target_waits_for_its_writes() {
    # The lock of a dead target's file is free only when its last write is done (S-09).
    modprobe dm-delay
    modprobe brd rd_nr=2 rd_size=$((64 << 10)) max_part=0
    dmsetup create late --table "0 131072 delay /dev/ram1 0 0 /dev/ram1 0 3000"
    start_daemon
    local path started
    path=$(dstctl add-device late --node dev:/dev/mapper/late)
    (dd if=/dev/urandom of="$path" bs=4k count=1 oflag=direct status=none || true) &
    local writer=$!
    sleep 1
    pkill -9 -x dst-target
    started=$(date +%s%N)
    until (exec 3<>/dev/null; python3 - <<'P' 2>/dev/null ||
import os
os.close(os.open("/dev/mapper/late", os.O_RDWR | os.O_EXCL))
P
        perl -MFcntl -e 'sysopen(F, "/dev/mapper/late", O_RDWR|O_EXCL) or exit 1'
    ); do sleep 0.05; done
    (( ($(date +%s%N) - started) / 1000000 > 1000 ))
    wait "$writer"
    dstctl remove-device late
    dmsetup remove late
}

for name in $(declare -F | awk '$3 ~ /^test_/ { print substr($3, 6) }'); do
    [ -n "${ONLY:-}" ] && ! [[ $name =~ $ONLY ]] && continue
    run_test "$name" "test_$name"
done
finish
