#!/usr/bin/env bash
# Measures block devices side by side in this boot and prints tables in Markdown; scripts/bench.sh runs it in the VM.
# ROUNDS: how often every contestant runs every job (default 3), in turn. RUN_S: seconds of a run (default 2).
# CPU_OF_FIO: default the last.
# COUNTED: set in a machine that counts instructions. NETWORK: set to measure network nodes beside the kernel's nbd.
set -euo pipefail

# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
rounds=${ROUNDS:-3}
run_s=${RUN_S:-2}
fio_cpu=${CPU_OF_FIO:-$(($(nproc) - 1))}
results=$work/results
nbdkits=()
trap 'clean_up; drop_nbd; losetup -D; umount -l "$work/brd" 2>/dev/null; rm -rf "$work"' EXIT

# Jobs: name, fio's rw, block size, depth.
jobs=(
    "4k-read-qd1 randread 4k 1" "4k-write-qd1 randwrite 4k 1"
    "4k-read-qd32 randread 4k 32" "4k-write-qd32 randwrite 4k 32"
    "1m-read-qd4 read 1m 4" "1m-write-qd4 write 1m 4"
)

# A file system on a RAM disk takes direct I/O as one on a real disk does.
modprobe brd rd_nr=1 rd_size=$((640 * 1024))
mkfs.ext4 -q -E nodiscard /dev/ram0
mkdir -p "$work/brd"
mount /dev/ram0 "$work/brd"
image() { # NAME MIB: written once, so that no contestant pays for allocation
    dd if=/dev/zero of="$work/brd/$1.img" bs=1M count="$2" oflag=direct status=none
}

declare -A device pid # kernel block device and DST process of each contestant
disks() {
    modprobe null_blk nr_devices=1 gb=1 bs=512
    modprobe loop
    local name
    image loop 128
    image one 128
    for name in part0 part1 part2; do image $name 48; done
    device[null_blk]=/dev/nullb0
    device[loop]=$(losetup --find --show --direct-io=on "$work/brd/loop.img")
    device[dst_zero]=$(dstctl add-device zero --node zero:1G)
    device[dst_file]=$(dstctl add-device one --node "file:$work/brd/one.img")
    device[dst_three]=$(dstctl add-device three --node "file:$work/brd/part0.img" \
        --node "file:$work/brd/part1.img" --node "file:$work/brd/part2.img")
    pid[dst_zero]=$(cat "$DST_RUN_DIR/devices/zero/pid")
    pid[dst_file]=$(cat "$DST_RUN_DIR/devices/one/pid")
    pid[dst_three]=$(cat "$DST_RUN_DIR/devices/three/pid")
    contestants=(null_blk loop dst_zero dst_file dst_three)
    ours=(dst_zero dst_file dst_three)
}

# Over TCP on loopback, one connection each.
networks() {
    modprobe nbd nbds_max=2 max_part=0
    image nbd 128
    image export 128
    nbd 0 10809 null 1G
    nbd 1 10810 file "$work/brd/nbd.img"
    device[nbd_null]=/dev/nbd0
    device[nbd_file]=/dev/nbd1
    dstctl add-export zero --node zero:1G
    dstctl add-export file --node "file:$work/brd/export.img"
    device[dst_net_zero]=$(dstctl add-device zero_disk --queues 1 --node dst://127.0.0.1/zero)
    device[dst_net_file]=$(dstctl add-device file_disk --queues 1 --node dst://127.0.0.1/file)
    pid[dst_net_zero]=$(cat "$DST_RUN_DIR/devices/zero_disk/pid")
    pid[dst_net_file]=$(cat "$DST_RUN_DIR/devices/file_disk/pid")
    contestants=(nbd_null dst_net_zero nbd_file dst_net_file)
    ours=(dst_net_zero dst_net_file)
}

nbd() { # NUMBER PORT NBDKIT-ARGUMENT…: the kernel's client of nbdkit
    local number=$1 port=$2
    shift 2
    nbdkit --foreground --ipaddr 127.0.0.1 --port "$port" "$@" &
    nbdkits+=($!)
    wait_until 20 nbd-client 127.0.0.1 "$port" "/dev/nbd$number"
}

drop_nbd() {
    ((${#nbdkits[@]} > 0)) || return 0
    nbd-client -d /dev/nbd0 || true
    nbd-client -d /dev/nbd1 || true
    kill "${nbdkits[@]}" || true
}

# Nothing else runs yet; on an empty machine each is started and ended in turn.
start_times() {
    local began pid second=$work/second
    mkfifo "$work/never"
    for _ in {1..5}; do
        began=$(date +%s%N)
        dstd --run-dir "$second/run" --state-dir "$second/state" >/dev/null 2>&1 &
        pid=$!
        # Waits without starting a program.
        until [ -S "$second/run/dstd.sock" ]; do read -rt 0.002 <>"$work/never" || true; done
        echo "dstd $(($(date +%s%N) - began))"
        kill "$pid"
        wait "$pid" || true
        rm -r "$second"
        began=$(date +%s%N)
        dstctl add-device timed --node zero:1G >/dev/null
        echo "add-device $(($(date +%s%N) - began))"
        dstctl remove-device timed
    done >"$work/starts"
}

start_daemon
if [ -n "${NETWORK:-}" ]; then
    networks
else
    start_times
    disks
fi

# Time on a CPU of all threads of a process, in ns.
process_ns() { [ -z "${1:-}" ] || cat "/proc/$1"/task/*/schedstat | awk '{ s += $1 } END { printf "%.0f\n", s }'; }
# Time that the machine was not idle, in ticks.
busy_ticks() { awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 }' /proc/stat; }

measure() { # CONTESTANT JOB RW BS DEPTH
    local before_ns before_ticks after_ns after_ticks
    before_ns=$(process_ns "${pid[$1]:-}")
    before_ticks=$(busy_ticks)
    fio --name=bench --filename="${device[$1]}" --rw="$3" --bs="$4" --iodepth="$5" --ioengine=io_uring --direct=1 \
        --time_based --runtime="$run_s" --norandommap --cpus_allowed="$fio_cpu" --output-format=json >"$work/fio.json"
    after_ns=$(process_ns "${pid[$1]:-}")
    after_ticks=$(busy_ticks)
    jq -r --arg who "$1" --arg job "$2" --argjson ns $((${after_ns:-0} - ${before_ns:-0})) \
        --argjson ticks $((after_ticks - before_ticks)) '
        .jobs[0] | (.read.total_ios + .write.total_ios) as $ios | (.read.iops + .write.iops) as $iops |
        [$who, $job, $iops, (.read.bw + .write.bw) / 1024, $ticks * 10000 / $ios, $ns / 1000 / $ios, 125000 / $iops] |
        @tsv' \
        "$work/fio.json" >>"$results"
}

for ((round = 0; round < rounds; round++)); do
    for job in "${jobs[@]}"; do
        for who in "${contestants[@]}"; do
            # shellcheck disable=SC2086 # a job is several words
            measure "$who" $job
        done
    done
done

# spread FORMAT: median [least..most] of the numbers in its input.
spread() {
    sort -g | awk -v f="$1" '
        { v[NR] = $1 }
        END { printf f " [" f ".." f "]", v[int((NR + 1) / 2)], v[1], v[NR] }'
}

# One table a figure, over the rounds.
table() { # TITLE COLUMN FORMAT [CONTESTANT…]
    local title=$1 column=$2 format=$3 who job
    shift 3
    printf '\n%s\n\n| |' "$title"
    for job in "${jobs[@]}"; do printf ' %s |' "${job%% *}"; done
    printf '\n|---|'
    for job in "${jobs[@]}"; do printf -- '---|'; done
    printf '\n'
    for who in "$@"; do
        printf '| %s |' "$who"
        for job in "${jobs[@]}"; do
            printf ' %s |' "$(awk -v who="$who" -v job="${job%% *}" -v column="$column" \
                '$1 == who && $2 == job { print $column }' "$results" | spread "$format")"
        done
        printf '\n'
    done
}

printf 'kernel %s, %d CPUs, fio on CPU %d, %d rounds of %d s, median [least..most]\n' \
    "$(uname -r)" "$(nproc)" "$fio_cpu" "$rounds" "$run_s"
if [ -n "${COUNTED:-}" ]; then
    # One CPU whose clock is its instruction counter: 8 ns each.
    table "Instructions for one I/O: fio, kernel and target together (thousands)" 7 "%.1f" "${contestants[@]}"
else
    table "I/O operations a second" 3 "%.0f" "${contestants[@]}"
    table "MiB a second" 4 "%.0f" "${contestants[@]}"
    table "CPU time of the whole machine for one I/O, fio included (µs)" 5 "%.1f" "${contestants[@]}"
fi
table "CPU time of dst-target for one I/O (µs)" 6 "%.1f" "${ours[@]}"

printf '\n| process | resident KiB | longest gap between two turns of a queue thread (µs) |\n|---|---|---|\n'
for tree in "$DST_RUN_DIR"/devices/*; do
    name=${tree##*/}
    printf '| dst-target %s | %s | %s |\n' "$name" "$(awk '/VmRSS/ { print $2 }' "/proc/$(cat "$tree/pid")/status")" \
        "$(cat "$tree/queue_gap_max_us")"
done
if [ -n "${NETWORK:-}" ]; then
    printf '| dst-server | %s | |\n' "$(awk '/VmRSS/ { print $2 }' "/proc/$(cat "$DST_RUN_DIR/server/pid")/status")"
fi
printf '| dstd | %s | |\n' "$(awk '/VmRSS/ { print $2 }' "/proc/$(cat "$work/dstd.pid")/status")"
if [ -z "${NETWORK:-}" ]; then
    printf '\n| until dstd listens, until add-device has printed the path | ms, of 5 |\n|---|---|\n'
    for what in dstd add-device; do
        printf '| %s | %s |\n' "$what" \
            "$(awk -v what="$what" '$1 == what { print $2 / 1000000 }' "$work/starts" | spread %.0f)"
    done
fi
