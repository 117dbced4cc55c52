#!/usr/bin/env bash
# Network nodes on a real kernel: exports of servers in network namespaces of their own, devices over them, and what
# happens to I/O when servers, daemons, targets and cables fail.
# KILLS=N sets how often a server is killed under load, COPY_MIB=N how much is copied over three servers, STOP_S=N how
# long one is stopped.
set -u
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
f=$work/files
kills=${KILLS:-8}
copy_mib=${COPY_MIB:-48}
stop_s=${STOP_S:-10}

add() { dstctl add-device "$@"; }
node() { cat "$DST_RUN_DIR/devices/$1/nodes/$2/$3"; }
node_is() { [ "$(node "$1" "$2" state)" = "$3" ]; }
at() { # HOST COMMAND…: dstctl with the daemon of another host
    local run=$f/$1/run
    shift
    dstctl --run-dir "$run" "$@"
}

# host N: a network namespace dst-N with address 10.70.N.2, joined by a cable to 10.70.N.1 here.
host() {
    ip netns add "dst-$1"
    ip link add "dst$1" type veth peer name cable netns "dst-$1"
    ip address add "10.70.$1.1/24" dev "dst$1"
    ip link set "dst$1" up
    ip -n "dst-$1" address add "10.70.$1.2/24" dev cable
    ip -n "dst-$1" link set cable up
    ip -n "dst-$1" link set lo up
    mkdir -p "$f/$1"
    start_host_daemon "$1"
}

# In the network of a host only: files and processes are shared.
inside() { # N COMMAND…
    local name=dst-$1
    shift
    nsenter --net="/run/netns/$name" "$@"
}

start_host_daemon() { # N
    nsenter --net="/run/netns/dst-$1" dstd --run-dir "$f/$1/run" --state-dir "$f/$1/state" >>"$daemon_log" 2>&1 &
    echo $! >"$f/$1/dstd.pid"
    wait_until 20 at "$1" list
}

# export_of N NAME ARGUMENTS…: an export that this host and others on the cable reach.
export_of() {
    local number=$1
    shift
    at "$number" add-export "$@" --listen "10.70.$number.2" --allow "10.70.$number.0/24"
}

server_pid() { # N, or here
    local run=$f/$1/run
    [ "$1" != here ] || run=$DST_RUN_DIR
    cat "$run/server/pid"
}

kill_server() { # N: it dies, and dstd starts the next
    local pid
    pid=$(server_pid "$1")
    kill -9 "$pid"
    wait_until 10 gone "$pid"
}

server_is_new() { # N PID
    local pid
    pid=$(server_pid "$1") && [ "$pid" != "$2" ] && kill -0 "$pid"
}

replace_server() { # N, or here: it dies, and its successor runs when this returns
    local pid
    pid=$(server_pid "$1")
    kill_server "$1"
    wait_until 10 server_is_new "$1" "$pid"
}

# Verified load on a disk until end_load.
start_load() { # PATH [FIO-OPTION…]
    local path=$1
    shift
    touch "$f/loading"
    (
        set +x
        rounds=0
        while [ -e "$f/loading" ]; do
            fio --name=load --filename="$path" --direct=1 --rw=randrw --bsrange=4k-64k --ioengine=io_uring \
                --iodepth=16 --size=16M --io_size=16M --verify=crc32c --verify_fatal=1 --verify_backlog=64 \
                --verify_state_save=0 --randrepeat=0 --fsync=32 --output="$f/load.out" "$@" || {
                cat "$f/load.out"
                exit 1
            }
            rounds=$((rounds + 1))
        done
        echo "$rounds rounds of load"
    ) &
    load=$!
}

end_load() { # DEVICE
    rm "$f/loading"
    wait "$load"
    sleep 1
    [ "$(cat "$DST_RUN_DIR/devices/$1/errors")" = 0 ]
}

test_whole_thing() {
    start_daemon
    local path
    [ "$(dstctl add-export a --node "file:$f/a,size=64M")" = dst://127.0.0.1/a ]
    path=$(add d --node dst://127.0.0.1/a "file:$f/b,size=64M")
    [ "$(blockdev --getsize64 "$path")" = $((128 << 20)) ]
    mkfs.ext4 -q "$path"
    mkdir -p "$f/mnt"
    mount "$path" "$f/mnt"
    dd if=/dev/urandom of="$f/copy" bs=1M count=80 status=none
    cp "$f/copy" "$f/mnt/data"
    sync -f "$f/mnt"
    echo 3 >/proc/sys/vm/drop_caches
    cmp "$f/copy" "$f/mnt/data"
    dstctl status
    dstctl status d
    dstctl status a
    node_is d 0 live
    [ "$(node d 0 peer)" = 127.0.0.1:7003 ]
    (($(node d 0 epoch) > 0))
    [ "$(cat "$DST_RUN_DIR/exports/a/held")" = 1 ]
    expect 5 "held by d on" dstctl remove-export a
    umount "$f/mnt"
    e2fsck -fn "$path"
    dstctl remove-device d
    wait_until 5 grep -qx 0 "$DST_RUN_DIR/exports/a/held"
    dstctl remove-export a
    wait_until 10 sh -c '! pgrep -x dst-server'
    [ -z "$(dstctl list)" ]
    [ -z "$(ls -A "$DST_RUN_DIR/exports")" ]
}

test_server_killed_again_and_again() {
    host 1
    host 2
    start_daemon
    export_of 1 one --node "file:$f/one,size=64M"
    export_of 2 two --node "file:$f/two,size=64M"
    local path i
    path=$(add d --node dst://10.70.1.2/one dst://10.70.2.2/two "file:$f/three,size=64M")
    start_load "$path" --size=160M
    for ((i = 0; i < kills; i++)); do
        replace_server 1
        wait_until 20 node_is d 0 live
        sleep 0.5
    done
    end_load d
    (($(node d 0 reconnects) >= kills))
    dstctl remove-device d
    at 1 remove-export one
    at 2 remove-export two
}

start_remote_write() { # PATH: one block behind the first 32 MiB
    dd if=/dev/urandom of="$1" bs=4k count=1 seek=$((48 << 8)) oflag=direct conv=notrunc status=none 2>"$f/write.err" &
    writer=$!
}
# In this shell: a subshell has no children to wait for.
ended_badly() { # PID
    if wait "$1"; then
        echo "process $1 ended well"
        return 1
    fi
}
still_waits() { sleep "$1" && kill -0 "$writer"; }

test_daemons_killed_during_io() {
    host 1
    start_daemon
    export_of 1 one --node "file:$f/one,size=64M"
    local path server target
    path=$(add d --node dst://10.70.1.2/one "file:$f/two,size=32M")
    server=$(server_pid 1)
    target=$(cat "$DST_RUN_DIR/devices/d/pid")
    start_load "$path" --size=80M
    sleep 1
    kill -9 "$(cat "$f/1/dstd.pid")"
    kill_daemon KILL
    sleep 2
    start_host_daemon 1
    start_daemon
    sleep 1
    end_load d
    [ "$(server_pid 1)" = "$server" ]
    # A machine that is starved may fall silent for 5 s and reconnect: the I/O above has not seen it.
    [ "$(cat "$DST_RUN_DIR/devices/d/pid")" = "$target" ]
    expect 5 "held by d on" at 1 remove-export one
    dstctl remove-device d
    at 1 remove-export one
    wait_until 10 gone "$server"
}

# A device over a server and a local file, under load.
loaded_device() {
    host 1
    start_daemon
    export_of 1 one --node "file:$f/one,size=64M"
    path=$(add d --node dst://10.70.1.2/one "file:$f/two,size=32M")
    start_load "$path" --size=80M
    sleep 1
}
end_loaded_device() {
    wait_until 30 node_is d 0 live
    end_load d
    dstctl remove-device d
    at 1 remove-export one
}
reconnects_exceed() { (($(node d 0 reconnects) > $1)); }

test_cable_pulled_out() {
    local path
    loaded_device
    ip link set dst1 down
    sleep 10
    ip link set dst1 up
    wait_until 30 reconnects_exceed 0
    end_loaded_device
}

# No error, only silence: in one direction, then in the other.
test_cable_silent() {
    modprobe nf_tables
    local path before chain
    loaded_device
    for chain in input output; do
        before=$(node d 0 reconnects)
        inside 1 nft "add table inet t; add chain inet t c { type filter hook $chain priority 0; policy drop; }"
        sleep 8
        (! node_is d 0 live)
        inside 1 nft delete table inet t
        wait_until 30 reconnects_exceed "$before"
        wait_until 30 node_is d 0 live
        sleep 1
    done
    end_loaded_device
}

test_connections_reset() {
    modprobe tcp_diag
    local path i
    loaded_device
    for i in 0 2; do
        ss -K dst 10.70.1.2 dport = 7003
        wait_until 30 reconnects_exceed "$i"
        wait_until 30 node_is d 0 live
        sleep 0.5
        inside 1 ss -K state established sport = 7003
        wait_until 30 reconnects_exceed "$((i + 1))"
        wait_until 30 node_is d 0 live
        sleep 0.5
    done
    end_loaded_device
}

test_cable_bad() {
    modprobe sch_netem
    local path
    loaded_device
    tc qdisc add dev dst1 root netem delay 5ms 2ms loss 5% reorder 10% duplicate 5% corrupt 2%
    inside 1 tc qdisc add dev cable root netem delay 5ms 2ms loss 5% reorder 10% duplicate 5% corrupt 2%
    sleep 10
    tc qdisc change dev dst1 root netem delay 200ms
    sleep 5
    tc qdisc del dev dst1 root
    inside 1 tc qdisc del dev cable root
    end_loaded_device
}

test_server_stopped_for_a_while() {
    host 1
    start_daemon
    export_of 1 one --node "file:$f/one,size=64M"
    local path limit=/proc/sys/kernel/hung_task_timeout_secs limit_s
    path=$(add d --node dst://10.70.1.2/one)
    start_load "$path"
    sleep 1
    # Whoever waits for so long is not hung.
    limit_s=$(cat "$limit")
    echo $((limit_s + stop_s)) >"$limit"
    kill -STOP "$(server_pid 1)"
    sleep "$stop_s"
    (! node_is d 0 live)
    kill -CONT "$(server_pid 1)"
    wait_until 30 node_is d 0 live
    end_load d
    echo "$limit_s" >"$limit"
    dstctl remove-device d
}

# S-02, S-03, S-09: the successor of a dead target fences it, and what was synced is there.
test_target_killed_and_its_successor() {
    host 1
    start_daemon
    export_of 1 one --node "file:$f/one,size=96M"
    local path epoch i
    path=$(add d --node "file:$f/two,size=32M" dst://10.70.1.2/one --id 4)
    mkfs.ext4 -q "$path"
    mkdir -p "$f/mnt"
    mount "$path" "$f/mnt"
    for i in 1 2 3; do
        head -c 12M /dev/urandom >"$f/copy$i"
        dd if="$f/copy$i" of="$f/mnt/file$i" bs=1M conv=fsync status=none
    done
    epoch=$(node d 1 epoch)
    (dd if=/dev/urandom of="$f/mnt/more" bs=64k count=400 oflag=direct status=none || true) &
    local writer=$!
    sleep 0.5
    kill -9 "$(cat "$DST_RUN_DIR/devices/d/pid")"
    wait "$writer"
    umount -l "$f/mnt"
    wait_until 30 sh -c "dstctl status d | grep -q failed"
    [ "$(cat "$f/1/run/exports/one/held")" = 1 ]
    kill_daemon TERM
    start_daemon
    wait_until 40 test -b /dev/ublkb4
    wait_until 20 node_is d 1 live
    (($(node d 1 epoch) > epoch))
    e2fsck -fy /dev/ublkb4 || [ $? = 1 ]
    e2fsck -fn /dev/ublkb4
    mount /dev/ublkb4 "$f/mnt"
    for i in 1 2 3; do
        cmp "$f/copy$i" "$f/mnt/file$i"
    done
    umount "$f/mnt"
    dstctl remove-device d
    at 1 remove-export one
}

test_operators() {
    host 1
    start_daemon
    export_of 1 one --node "file:$f/one,size=32M"
    local path
    path=$(add d --node "file:$f/two,size=32M" dst://10.70.1.2/one)
    # The second half lies on the server.
    blockdev --getsize64 "$path"
    expect 2 "not a network node" dstctl suspend-node d 0
    expect 3 "no node 7" dstctl suspend-node d 7
    dstctl suspend-node d 1
    wait_until 5 node_is d 1 suspended
    dstctl status d
    start_remote_write "$path"
    still_waits 2
    dd if=/dev/zero of="$path" bs=4k count=1 oflag=direct conv=notrunc status=none
    dstctl resume-node d 1
    wait "$writer"
    wait_until 5 node_is d 1 live
    # Without the cable a write waits, for ever, unless an operator ends it.
    ip link set dst1 down
    start_remote_write "$path"
    still_waits 3
    dstctl fail-node d 1
    ended_badly "$writer"
    grep 'severed' "$f/write.err"
    # Or its budget does.
    dstctl set-node d 1 retry-time=2s on-timeout=error
    start_remote_write "$path"
    wait_until 20 gone "$writer"
    ended_badly "$writer"
    dstctl set-node d 1 retry-time=0 on-timeout=queue
    start_remote_write "$path"
    still_waits 4
    ip link set dst1 up
    wait "$writer"
    wait_until 5 node_is d 1 live
    expect 2 colour dstctl set-node d 1 colour=red
    dstctl remove-device d
    at 1 remove-export one
}

second_client() {
    mkdir -p "$f/c"
    dstd --run-dir "$f/c/run" --state-dir "$f/c/state" >>"$daemon_log" 2>&1 &
    echo $! >"$f/c/dstd.pid"
    wait_until 20 at c list
}

test_two_clients() {
    host 1
    start_daemon
    second_client
    export_of 1 one --node "file:$f/one,size=32M"
    local path other target
    path=$(add d --node dst://10.70.1.2/one --id 6)
    head -c 1M /dev/urandom >"$f/copy"
    dd if="$f/copy" of="$path" bs=1M oflag=direct conv=fsync,notrunc status=none
    expect 6 "held by d on" at c add-device other --node dst://10.70.1.2/one --timeout 2
    [ -z "$(at c list)" ]
    other=$(at c add-device other --node dst://10.70.1.2/one --take-over)
    cmp -n 1048576 "$f/copy" "$other"
    wait_until 10 node_is d 0 failed
    dstctl status d | grep -i 'taken.*over'
    (! dd if=/dev/zero of="$path" bs=4k count=1 oflag=direct conv=notrunc status=none)
    (! dd if="$path" of=/dev/null bs=4k count=1 iflag=direct status=none)
    cmp -n 1048576 "$f/copy" "$other"
    # It stays out, even when it comes anew and nobody holds the export.
    at c remove-device other
    kill -9 "$(cat "$DST_RUN_DIR/devices/d/pid")"
    wait_until 30 sh -c "dstctl status d | grep -q failed"
    kill_daemon TERM
    start_daemon
    wait_until 20 sh -c "dstctl status d | grep -iq 'taken.*over'"
    [ ! -e /dev/ublkb6 ]
    dstctl remove-device d
    # The hold of a client that died is ended by an operator.
    path=$(add d --node dst://10.70.1.2/one)
    target=$(cat "$DST_RUN_DIR/devices/d/pid")
    kill -9 "$target"
    wait_until 30 sh -c "dstctl status d | grep -q failed"
    expect 5 "held by d on" at 1 remove-export one
    at 1 release-export one
    at c add-device other --node dst://10.70.1.2/one
    kill_daemon TERM
    start_daemon
    sleep 2
    dstctl status d
    dstctl remove-device d --force
    at c remove-device other
    at 1 remove-export one
}

test_read_only_export() {
    host 1
    start_daemon
    second_client
    dd if=/dev/urandom of="$f/iso" bs=1M count=16 status=none
    export_of 1 iso --read-only --node "file:$f/iso"
    local one two
    expect 6 "read-only" add d --node dst://10.70.1.2/iso --timeout 2
    one=$(add d --read-only --node dst://10.70.1.2/iso)
    two=$(at c add-device other --read-only --node dst://10.70.1.2/iso)
    cmp "$f/iso" "$one"
    cmp "$f/iso" "$two"
    (! dd if=/dev/zero of="$one" bs=4k count=1 oflag=direct conv=notrunc status=none)
    expect 5 "read by" at 1 remove-export iso
    kill_server 1
    echo 3 >/proc/sys/vm/drop_caches
    cmp "$f/iso" "$one"
    dstctl remove-device d
    at c remove-device other
    at 1 remove-export iso
}

test_creation_and_return() {
    host 1
    start_daemon
    local path started=$SECONDS
    expect 6 "node 0" add d --node dst://10.70.1.2/nothing "file:$f/new,size=16M" --timeout 2
    expect 6 "node 1" add d --node "file:$f/new,size=16M" dst://10.70.1.2:7999/nothing --timeout 2
    ((SECONDS - started < 25))
    [ ! -e "$f/new" ]
    [ -z "$(dstctl list)" ]
    [ -z "$(pgrep -x dst-target)" ]
    [ -z "$(find "$state/devices" -type f)" ]
    expect 2 allow at 1 add-export wide --node zero:16M --listen 10.70.1.2
    # An export that is not for this host is as good as none.
    at 1 add-export far --node zero:16M --listen 10.70.1.2 --allow 10.99.0.0/16
    expect 6 "no such export" add d --node dst://10.70.1.2/far --timeout 2
    at 1 remove-export far
    # A device that comes back waits for its server, and holds up no other.
    export_of 1 one --node "file:$f/one,size=16M"
    path=$(add d --node dst://10.70.1.2/one --id 8)
    add e --node "file:$f/local,size=16M" --id 9
    head -c 1M /dev/urandom >"$f/copy"
    dd if="$f/copy" of="$path" bs=1M oflag=direct status=none
    kill_daemon KILL
    pkill -9 -x dst-target
    kill -9 "$(cat "$f/1/dstd.pid")"
    kill -9 "$(server_pid 1)"
    wait_until 20 sh -c '! pgrep -x dst-target'
    start_daemon
    wait_until 20 test -b /dev/ublkb9
    dstctl status d
    dstctl status d | grep -q starting
    [ ! -e /dev/ublkb8 ]
    start_host_daemon 1
    wait_until 30 test -b /dev/ublkb8
    cmp -n 1048576 "$f/copy" /dev/ublkb8
    dstctl remove-device d
    dstctl remove-device e
    at 1 remove-export one
}

# A server whose disk forgets what was not flushed, when it is killed (S-20 to S-22).
power_cuts() { # CACHE
    host 1
    start_daemon
    export_of 1 one --cache "$1" --node "volatile:7,file:$f/one,size=64M"
    local path i
    path=$(add d --node dst://10.70.1.2/one)
    [ "$(cat "$f/1/run/exports/one/cache")" = "$1" ]
    head -c 6M /dev/urandom >"$f/copy"
    # Kept open: its last close would flush.
    exec 7<>"$path"
    dd if="$f/copy" of="$path" bs=64k count=32 oflag=direct conv=notrunc,fsync status=none
    dd if="$f/copy" of="$path" bs=64k count=64 skip=32 seek=32 oflag=direct conv=notrunc status=none
    kill_server 1
    dd if="$path" bs=64k count=96 iflag=direct status=none | cmp - "$f/copy"
    if [ "$1" = write-back ]; then
        (($(node d 0 replayed_bytes) >= 4 << 20))
    fi
    # Discards and zeroes that were not flushed come back as well.
    blkdiscard -z -o $((1 << 20)) -l $((1 << 20)) "$path"
    kill_server 1
    dd if="$path" bs=1M skip=1 count=1 iflag=direct status=none | cmp -n $((1 << 20)) - /dev/zero
    exec 7<&-
    start_load "$path"
    for ((i = 0; i < (kills + 4) / 5; i++)); do
        sleep 1.5
        replace_server 1
        wait_until 20 node_is d 0 live
    done
    end_load d
    # What was flushed before the device went is in the file.
    dd if="$f/copy" of="$path" bs=1M oflag=direct conv=notrunc status=none
    dstctl remove-device d
    kill_server 1
    cmp -n $((6 << 20)) "$f/copy" "$f/one"
    at 1 remove-export one
}

test_power_cuts_write_back() { power_cuts write-back; }
test_power_cuts_write_through() { power_cuts write-through; }

# The server dies while its disk still has a write; the successor's first write must not be undone by it (S-09).
test_ghost_in_the_disk() {
    modprobe loop
    modprobe dm-delay
    host 1
    start_daemon
    truncate -s 64M "$f/img"
    local loop path i
    loop=$(losetup -f --show "$f/img")
    # Reads at once, writes after two seconds.
    dmsetup create slow --table "0 $((64 << 11)) delay $loop 0 0 $loop 0 2000"
    export_of 1 one --node dev:/dev/mapper/slow
    path=$(add d --node dst://10.70.1.2/one)
    for ((i = 0; i < (kills + 3) / 4; i++)); do
        head -c 4096 /dev/urandom >"$f/first"
        head -c 4096 /dev/urandom >"$f/second"
        dd if="$f/first" of="$path" bs=4k seek=5 oflag=direct conv=notrunc status=none &
        writer=$!
        sleep 0.5
        kill_server 1
        wait "$writer"
        dd if="$f/second" of="$path" bs=4k seek=5 oflag=direct conv=notrunc,fsync status=none
        sleep 3
        dd if="$path" bs=4k skip=5 count=1 iflag=direct status=none | cmp - "$f/second"
    done
    (($(node d 0 reconnects) > 0))
    dstctl remove-device d
    at 1 remove-export one
    wait_until 20 dmsetup remove slow
    dd if="$f/img" bs=4k skip=5 count=1 status=none | cmp - "$f/second"
    losetup -d "$loop"
}

# A copy onto three servers, one of which dies every three seconds.
test_copy_over_three_servers() {
    local n path pid share=$((copy_mib / 3 + 64))
    start_daemon
    for n in 1 2 3; do
        host "$n"
        export_of "$n" "e$n" --node "file:$f/e$n,size=${share}M,sparse"
    done
    path=$(add d --node dst://10.70.1.2/e1 dst://10.70.2.2/e2 dst://10.70.3.2/e3)
    mkfs.ext4 -q "$path"
    mkdir -p "$f/mnt"
    mount "$path" "$f/mnt"
    head -c "${copy_mib}M" /dev/urandom >"$f/copy"
    touch "$f/killing"
    (
        while [ -e "$f/killing" ]; do
            sleep 3
            pid=$(server_pid 2) || continue
            kill -9 "$pid" || echo "server $pid is gone already"
        done
    ) &
    local killer=$!
    cp "$f/copy" "$f/mnt/data"
    sync -f "$f/mnt"
    echo 3 >/proc/sys/vm/drop_caches
    cmp "$f/copy" "$f/mnt/data"
    rm "$f/killing"
    wait "$killer"
    wait_until 30 node_is d 1 live
    echo "$(node d 1 reconnects) reconnects"
    umount "$f/mnt"
    e2fsck -fn "$path"
    [ "$(cat "$DST_RUN_DIR/devices/d/errors")" = 0 ]
    dstctl remove-device d
}

# put FILE PATH [MIB]: durably onto a disk, from a MiB on. holds FILE PATH [MIB]: it is still there.
put() { dd if="$1" of="$2" bs=1M seek="${3:-0}" oflag=direct conv=notrunc,fsync status=none; }
holds() { dd if="$2" bs=1M skip="${3:-0}" count=1 iflag=direct status=none | cmp - "$1"; }
random_files() { # NAME…: of 1 MiB
    local name
    for name in "$@"; do
        head -c 1M /dev/urandom >"$f/$name"
    done
}
server_restarts() { # DEVICE: that of host 1
    replace_server 1
    wait_until 30 node_is "$1" 0 live
}

# renumber RECORD FROM TO: another machine would have given the device another number; the record's checksum is XXH64.
renumber() {
    perl -0777 -i -pe '
        BEGIN {
            @p = map { hex } qw(9E3779B185EBCA87 C2B2AE3D27D4EB4F 165667B19E3779F9 85EBCA77C2B2AE63 27D4EB2F165667C5);
            sub rotl { ($_[0] << $_[1]) | ($_[0] >> (64 - $_[1])) }
            sub add { use integer; $_[0] + $_[1] }
            sub mul { use integer; $_[0] * $_[1] }
            sub round { mul(rotl(add($_[0], mul($_[1], $p[1])), 31), $p[0]) }
            sub xxh64 {
                my ($text, $size) = ($_[0], length $_[0]);
                my @v = (add($p[0], $p[1]), $p[1], 0, add(0, mul(-1, $p[0])));
                for (; length $text >= 32; substr($text, 0, 32, "")) {
                    my @word = unpack "Q<4", $text;
                    $v[$_] = round($v[$_], $word[$_]) for 0 .. 3;
                }
                my $h = add(add(rotl($v[0], 1), rotl($v[1], 7)), add(rotl($v[2], 12), rotl($v[3], 18)));
                $h = add(mul($h ^ round(0, $_), $p[0]), $p[3]) for @v;
                $h = add($h, $size);
                for (; length $text >= 8; substr($text, 0, 8, "")) {
                    $h = add(mul(rotl($h ^ round(0, unpack "Q<", $text), 27), $p[0]), $p[3]);
                }
                if (length $text >= 4) {
                    $h = add(mul(rotl($h ^ mul(unpack("L<", substr $text, 0, 4, ""), $p[0]), 23), $p[1]), $p[2]);
                }
                $h = mul(rotl($h ^ mul($_, $p[4]), 11), $p[0]) for unpack "C*", $text;
                $h = mul($h ^ ($h >> 33), $p[1]);
                $h = mul($h ^ ($h >> 29), $p[2]);
                return $h ^ ($h >> 32);
            }
        }
        s/("(?:ublk_)?id":)'"$2"'\b/${1}'"$3"'/g;
        my $new = sub { sprintf "\"checksum\":\"xxh64:%016x\",\"body\":%s}", xxh64($_[0]), $_[0] };
        s/"checksum":"xxh64:[0-9a-f]*","body":(.*)\}/$new->($1)/se;
    ' "$1"
}

# A daemon with a copy of the state here, on another host, where the device has number 5.
copy_state() { # KEPT
    cp -a "$state" "$f/$1"
    local record
    for record in "$f/$1"/devices/d.json*; do
        renumber "$record" 4 5
    done
}
start_copy() { # KEPT
    mkdir -p "$f/c"
    nsenter --net=/run/netns/dst-1 dstd --run-dir "$f/c/run" --state-dir "$f/$1" --link-dir "$f/c/links" \
        >>"$daemon_log" 2>&1 &
    echo $! >"$f/c/dstd.pid"
    wait_until 20 at c list
}
end_copy() {
    local pid
    pid=$(cat "$f/c/dstd.pid")
    kill "$pid"
    wait_until 20 gone "$pid"
}
taken_over() { dstctl --run-dir "$1" status d | grep -qi 'taken the export over'; }
failed_writes() { # PATH
    (! dd if=/dev/zero of="$1" bs=4k count=1 oflag=direct conv=notrunc status=none)
}

# S-02, S-03: a copy of a client (a cloned machine) and the original never both write.
test_copied_state() {
    host 1
    start_daemon
    export_of 1 one --node "file:$f/one,size=16M"
    local path epoch
    path=$(add d --node dst://10.70.1.2/one --id 4)
    random_files a b e g
    put "$f/a" "$path"
    copy_state early
    server_restarts d
    put "$f/b" "$path"
    # A copy of before the last epoch is fenced, and disturbs nobody.
    epoch=$(node d 0 epoch)
    start_copy early
    wait_until 30 taken_over "$f/c/run"
    [ ! -e /dev/ublkb5 ]
    holds "$f/b" "$path"
    put "$f/g" "$path"
    [ "$(node d 0 epoch)" = "$epoch" ]
    end_copy
    [ ! -e /dev/ublkb5 ]
    # One that is as new as the original takes its place.
    copy_state late
    start_copy late
    wait_until 40 test -b /dev/ublkb5
    holds "$f/g" /dev/ublkb5
    put "$f/e" /dev/ublkb5
    wait_until 20 node_is d 0 failed
    taken_over "$DST_RUN_DIR"
    (($(cat "$f/c/run/devices/d/nodes/0/epoch") > epoch))
    failed_writes "$path"
    # The original stays out, anew as well, and after the copy has gone.
    kill -9 "$(cat "$DST_RUN_DIR/devices/d/pid")"
    kill_daemon
    start_daemon
    wait_until 30 taken_over "$DST_RUN_DIR"
    [ ! -e /dev/ublkb4 ]
    at c remove-device d
    wait_until 10 grep -qx 0 "$f/1/run/exports/one/held"
    dstctl status d
    [ ! -e /dev/ublkb4 ]
    cmp -n $((1 << 20)) "$f/e" "$f/one"
    dstctl remove-device d
    at 1 remove-export one
}

# Host 1 without daemon and server; back again with the state it has then.
host_dies() {
    local pid
    pid=$(cat "$f/1/dstd.pid")
    kill -9 "$pid"
    wait_until 10 gone "$pid"
    kill_server 1
}
writer_waits() { # WORDS: as long as the export is what these say
    wait_until 40 node_is d 0 refused
    dstctl status d | grep -F "$1"
    still_waits 1
}
start_write() { # FILE PATH
    put "$1" "$2" &
    writer=$!
}

# S-07: what an export became while its client was away gets nothing of it, and the right one gets all.
test_exports_that_became_others() {
    host 1
    start_daemon
    # So that the server lives on without the other.
    export_of 1 side --node zero:16M
    export_of 1 one --node "file:$f/one,size=16M"
    local path
    path=$(add d --node dst://10.70.1.2/one)
    random_files a b c e g
    put "$f/a" "$path"
    put "$f/e" "$path" 15
    # Another machine at the address, with an export of that name.
    host_dies
    mv "$f/1/state" "$f/true"
    start_write "$f/b" "$path"
    start_host_daemon 1
    export_of 1 one --node "file:$f/other,size=16M"
    export_of 1 side --node zero:16M
    writer_waits "it is another export than before"
    [ "$(cat "$f/1/run/exports/one/held")" = 0 ]
    cmp -n $((16 << 20)) "$f/other" /dev/zero
    at 1 remove-export one
    wait_until 40 grep -q 'no such export' "$DST_RUN_DIR/devices/d/nodes/0/reason"
    host_dies
    # The right one, but its file is too short.
    rm -rf "$f/1/state"
    cp -a "$f/true" "$f/1/state"
    cp "$f/one" "$f/whole"
    truncate -s 8M "$f/one"
    start_host_daemon 1
    writer_waits "the server has no such export"
    at 1 status one | grep 'has shrunk'
    cmp -n $((8 << 20)) "$f/one" "$f/whole"
    dd if="$f/whole" of="$f/one" bs=1M skip=8 seek=8 conv=notrunc status=none
    wait "$writer"
    holds "$f/b" "$path"
    holds "$f/e" "$path" 15
    # Removed and made anew from the same file, while the cable is cut.
    ip link set dst1 down
    start_write "$f/c" "$path"
    rm -rf "$f/true"
    cp -a "$f/1/state" "$f/true"
    at 1 remove-export one --force
    cp "$f/one" "$f/whole"
    export_of 1 one --node "file:$f/one"
    ip link set dst1 up
    writer_waits "it is another export than before"
    cmp "$f/one" "$f/whole"
    host_dies
    rm -rf "$f/1/state"
    mv "$f/true" "$f/1/state"
    start_host_daemon 1
    wait "$writer"
    wait_until 10 node_is d 0 live
    holds "$f/c" "$path"
    holds "$f/e" "$path" 15
    put "$f/g" "$path"
    [ "$(cat "$DST_RUN_DIR/devices/d/errors")" = 0 ]
    dstctl remove-device d
    at 1 remove-export one
    at 1 remove-export side
    cmp -n $((1 << 20)) "$f/g" "$f/one"
}

# A disk under a file system whose writes can be made to fail: the page cache forgets what could not be written.
disk_fails() { # NAME yes|no
    local table
    table="0 $((64 << 11)) linear $loop 0"
    [ "$1" = no ] || table="0 $((64 << 11)) flakey $loop 0 0 3600 1 error_writes"
    dmsetup suspend --nolockfs --noflush flaky
    dmsetup load flaky --table "$table"
    dmsetup resume flaky
}
# On the disk itself: what is only in the page cache cannot get there.
is_durable() { # FILE STORED
    disk_fails yes
    dd if="$2" bs=1M count=1 iflag=direct status=none | cmp - "$1"
    disk_fails no
}
failing_fsyncs() { # CACHE
    modprobe -a loop dm-flakey
    host 1
    start_daemon
    truncate -s 64M "$f/img"
    local loop path i good=0
    loop=$(losetup -f --show "$f/img")
    dmsetup create flaky --table "0 $((64 << 11)) linear $loop 0"
    mkfs.ext4 -q -O ^has_journal /dev/mapper/flaky
    mkdir -p "$f/disk"
    mount /dev/mapper/flaky "$f/disk"
    # No block is to be allocated while the disk fails.
    dd if=/dev/zero of="$f/disk/one" bs=1M count=16 conv=fsync status=none
    export_of 1 one --cache "$1" --node "file:$f/disk/one,buffered"
    path=$(add d --node dst://10.70.1.2/one)
    exec 7<>"$path"
    random_files a b c
    put "$f/a" "$path"
    is_durable "$f/a" "$f/disk/one"
    # For a while only: a flush that says ok has waited for the disk.
    for i in 1 2 3; do
        random_files b
        dd if="$f/b" of="$path" bs=1M oflag=direct conv=notrunc status=none || echo "round $i: a write failed"
        disk_fails yes
        start_write "$f/b" "$path"
        sleep "0.$((3 * i))"
        disk_fails no
        if wait "$writer"; then
            good=$((good + 1))
            is_durable "$f/b" "$f/disk/one"
        else
            dstctl status d
            at 1 clear-error one
            dstctl clear-error d
            wait_until 20 node_is d 0 live
        fi
    done
    echo "$good of 3 flushes waited for the disk"
    # For longer than a client tries.
    disk_fails yes
    (! put "$f/c" "$path")
    disk_fails no
    dstctl status d
    at 1 status one
    judge_failed_flush "$path"
    put "$f/c" "$path"
    is_durable "$f/c" "$f/disk/one"
    exec 7<&-
    dstctl remove-device d
    at 1 remove-export one
    umount "$f/disk"
    wait_until 20 dmsetup remove flaky
    losetup -d "$loop"
}
test_failing_fsyncs_write_back() {
    judge_failed_flush() {
        wait_until 20 node_is d 0 "lost unflushed writes"
        # Neither the disk that is well again nor one half of the clearing makes a flush trustworthy.
        (! put "$f/c" "$1")
        dstctl clear-error d
        sleep 1
        (! put "$f/c" "$1")
        at 1 clear-error one
        (! put "$f/c" "$1")
        dstctl clear-error d
        wait_until 20 node_is d 0 live
    }
    failing_fsyncs write-back
}
test_failing_fsyncs_write_through() {
    judge_failed_flush() {
        [ "$(cat "$f/1/run/exports/one/nodes/0/state")" = poisoned ]
        (! put "$f/c" "$1")
        # The mark outlives the server.
        server_restarts d
        (! put "$f/c" "$1")
        expect 2 "leave the index 5 out" at 1 clear-error one 5
        at 1 clear-error one
    }
    failing_fsyncs write-through
}

# S-22: a server killed again while it gets what the last kill has lost.
test_cuts_during_the_replay() {
    host 1
    start_daemon
    # Each request takes half a second: a replay lasts.
    export_of 1 one --cache write-back --node "delay:500,volatile:7,file:$f/one,size=16M"
    local path i cuts=$(((kills + 3) / 4)) replayed=0
    path=$(add d --node dst://10.70.1.2/one)
    exec 7<>"$path"
    fill() { # FIO-OPTION…
        fio --name=fill --filename="$path" --direct=1 --rw=randwrite --bs=64k --size=4M --ioengine=io_uring \
            --iodepth=32 --verify=crc32c --verify_state_save=0 --randseed=7 --invalidate=0 --output="$f/fill.out" "$@"
    }
    fill --do_verify=0
    kill_server 1
    for ((i = 0; i < cuts; i++)); do
        wait_until 30 node_is d 0 "sending again"
        replace_server 1
    done
    dd if="$path" of=/dev/null bs=64k count=1 iflag=direct status=none &
    wait_until 30 node_is d 0 "sending again"
    kill_server 1
    wait "$!"
    wait_until 60 node_is d 0 live
    replayed=$(node d 0 replayed_bytes)
    fill --verify_only=1
    sync "$path"
    # What the last flush said is in the file, whatever the cache loses now.
    server_restarts d
    fill --verify_only=1
    exec 7<&-
    echo "$replayed bytes sent again"
    ((replayed > 4 << 20))
    [ "$(cat "$DST_RUN_DIR/devices/d/errors")" = 0 ]
    # Whoever looks at a disk this slow takes a while.
    dstctl remove-device d --timeout 60
    at 1 remove-export one
}

# Each kind of address, several connections, and an export that has lost writes until an operator accepts it.
test_addresses_and_connections() {
    host 1
    start_daemon
    ip address add fd70:1::1/64 dev dst1 nodad
    ip -n dst-1 address add fd70:1::2/64 dev cable nodad
    at 1 add-export six --node "file:$f/six,size=24M" --listen "[fd70:1::2]" --allow fd70:1::/64
    [ "$(at 1 add-export u --node "file:$f/u,size=24M" --listen "unix:$f/socket")" = "dst+unix:$f/socket,export=u" ]
    export_of 1 bad --cache write-back --node "error:flush@1-4,volatile:7,file:$f/bad,size=16M"
    expect 6 "no such export" add x --node "dst://10.70.1.2/six" --timeout 2
    local path
    path=$(add d --node "dst://[fd70:1::2]/six,connections=3" "dst+unix:$f/socket,export=u,connections=2")
    [ "$(cat "$f/1/run/exports/six/connections")" = 3 ]
    [ "$(cat "$f/1/run/exports/u/connections")" = 2 ]
    [ "$(node d 0 peer)" = "[fd70:1::2]:7003" ]
    start_load "$path" --size=48M
    sleep 2
    server_restarts d
    sleep 1
    end_load d
    node_is d 1 live
    dstctl remove-device d
    at 1 remove-export six
    at 1 remove-export u
    # Four flushes fail: the first and all of the client's own tries.
    path=$(add d --node "file:$f/two,size=8M" dst://10.70.1.2/bad,connections=2)
    random_files a
    (! put "$f/a" "$path" 8)
    wait_until 20 node_is d 1 "lost unflushed writes"
    (! put "$f/a" "$path" 8)
    expect 3 "no node 2" dstctl clear-error d 2
    at 1 clear-error bad
    dstctl clear-error d 1
    wait_until 20 node_is d 1 live
    put "$f/a" "$path" 8
    kill_server 1
    holds "$f/a" "$path" 8
    dstctl remove-device d
    at 1 remove-export bad
}

# What the target asked and what the disk got, judged by the rules of the simulated world.
test_recorded_run() {
    host 1
    start_daemon
    export_of 1 one --cache write-back --node "trace:$f/disk,volatile:7,file:$f/one,size=64M"
    local path i pid
    path=$(add d --node "trace:$f/node,dst://10.70.1.2/one")
    start_load "$path"
    for ((i = 0; i < (kills + 3) / 4; i++)); do
        sleep 1.5
        pid=$(server_pid 1)
        replace_server 1
        wait_until 20 node_is d 0 live
    done
    end_load d
    dstctl remove-device d
    at 1 remove-export one
    # Each life of the server has left a trace.
    [ "$(find "$f" -name 'disk.*' | wc -l)" = $((1 + (kills + 3) / 4)) ]
    dst-sim check --node "$f"/node.* --disk "$f"/disk.*
    # With one life of the disk alone its flushes have promised too much.
    (! dst-sim check --node "$f"/node.* --disk "$f/disk.$pid" >"$f/judged")
    cat "$f/judged"
    grep -q "on stable storage" "$f/judged"
}

# An export of an export: what neither server has flushed when it is killed comes back from the device (S-22, S-23).
test_chain_of_servers() {
    host 1
    start_daemon
    export_of 1 one --cache write-back --node "volatile:7,file:$f/one,size=64M"
    [ "$(dstctl add-export outer --cache write-back --node dst://10.70.1.2/one)" = dst://127.0.0.1/outer ]
    [ "$(cat "$DST_RUN_DIR/exports/outer/nodes/0/state")" = live ]
    expect 5 "held by export outer on" at 1 remove-export one
    local path i
    path=$(add d --node dst://127.0.0.1/outer "file:$f/two,size=32M")
    start_load "$path" --size=80M
    for ((i = 0; i < (kills + 3) / 4; i++)); do
        replace_server 1
        sleep 1
        replace_server here
        wait_until 30 node_is d 0 live
        sleep 1
    done
    end_load d
    dstctl status outer
    dstctl remove-device d
    wait_until 5 grep -qx 0 "$DST_RUN_DIR/exports/outer/held"
    dstctl remove-export outer
    wait_until 5 grep -qx 0 "$f/1/run/exports/one/held"
    [ -z "$(find "$state" -name 'outer*')" ]
    at 1 remove-export one
}

for name in $(declare -F | awk '$3 ~ /^test_/ { print substr($3, 6) }'); do
    [ -n "${ONLY:-}" ] && ! [[ $name =~ $ONLY ]] && continue
    run_test "$name" "test_$name"
done
finish
