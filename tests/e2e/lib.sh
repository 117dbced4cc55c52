# shellcheck shell=bash
# Shared by the end-to-end tests: they run as root on a kernel with ublk, on the published binaries, in a machine that
# may be thrown away.
# A test is a function; its first failing command fails it.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export PATH="$repository/artifacts/bin:$PATH:/usr/sbin:/sbin"
work=$(mktemp -d "${TMPDIR:-/tmp}/dst-e2e.XXXXXX")
export DST_RUN_DIR=/run/dst
state=$work/state
passed=0 failed=0 skipped=0
test_limit_s=${TEST_LIMIT_S:-600}
daemon_pid=
daemon_log=$work/dstd.log

# run_test NAME FUNCTION: prints one line, and the log of a failure.
run_test() {
    local name=$1 log=$work/$1.log started=$SECONDS status
    shift
    (set -euo pipefail; set -x; "$@") >"$log" 2>&1 </dev/null &
    local test_pid=$!
    (sleep "$test_limit_s" && echo "ended after $test_limit_s s" >>"$log" && kill "$test_pid") >/dev/null 2>&1 &
    local watchdog=$!
    wait "$test_pid"
    status=$?
    kill "$watchdog" 2>/dev/null
    if ((status == 0)); then
        passed=$((passed + 1))
        echo "ok $name ($((SECONDS - started)) s)"
    elif ((status == 77)); then
        skipped=$((skipped + 1))
        echo "skip $name: $(tail -n 1 "$log")"
    else
        failed=$((failed + 1))
        echo "FAIL $name (status $status)"
        tail -n "${DST_E2E_LOG_LINES:-25}" "$log" | cut -c1-300 | sed 's/^/    | /'
        grep -v "^   at\|^---" "$daemon_log" | tail -n 8 2>/dev/null | cut -c1-300 | sed 's/^/    dstd| /'
        dmesg | tail -n 3 | sed 's/^/    dmesg| /'
    fi
    clean_up
}

start_daemon() {
    dstd --run-dir "$DST_RUN_DIR" --state-dir "$state" >>"$daemon_log" 2>&1 &
    daemon_pid=$!
    echo "$daemon_pid" >"$work/dstd.pid"
    wait_until 20 dstctl list
}

kill_daemon() { # [SIGNAL]
    local pid
    pid=$(cat "$work/dstd.pid")
    kill "-${1:-TERM}" "$pid" 2>/dev/null || true
    wait_until 20 gone "$pid"
}

# scsi_disk SIZE-MIB [OPTION=VALUE…]: a disk in memory, for one test; prints its path.
scsi_disk() {
    local disk
    modprobe scsi_debug dev_size_mb="$1" "${@:2}"
    wait_until 10 sh -c 'ls /sys/bus/pseudo/drivers/scsi_debug/adapter0/host*/target*/*/block/'
    disk=/dev/$(ls /sys/bus/pseudo/drivers/scsi_debug/adapter0/host*/target*/*/block/)
    wait_until 10 test -b "$disk"
    echo "$disk"
}

gone() { ! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status"; }

# wait_until SECONDS COMMAND…: repeats the command until it succeeds.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until (set +x; "$@") >/dev/null 2>&1; do
        ((SECONDS < deadline)) || { echo "waited in vain for: $*"; return 1; }
        sleep 0.1
    done
}

# expect STATUS TEXT COMMAND…: the command must end with that status and say one line on stderr that holds the text.
expect() {
    local want=$1 text=$2 status=0
    shift 2
    # A trace of functions would go to stderr too.
    (set +x; "$@" >"$work/out" 2>"$work/err") || status=$?
    if ((status != want)); then
        echo "status $status instead of $want: $(cat "$work/err")"
        return 1
    fi
    [ "$(wc -l <"$work/err")" = 1 ] || { echo "not one line on stderr: $(cat "$work/err")"; return 1; }
    grep -qiF -- "$text" "$work/err" || { echo "no '$text' in: $(cat "$work/err")"; return 1; }
}

# Everything that a failed test may have left.
clean_up() {
    local name run
    awk '$2 ~ "^'"$work"'" || $2 ~ "^/mnt" { print $2 }' /proc/mounts | tac | xargs -r -n 1 umount -l 2>/dev/null
    pkill -9 fio 2>/dev/null
    if [ -n "$(pgrep -x dstd)" ]; then
        for run in "$DST_RUN_DIR" "$work"/files/*/run; do
            for name in $(dstctl --run-dir "$run" list 2>/dev/null | awk '{ print $1 }'); do
                dstctl --run-dir "$run" remove-device "$name" --force --timeout 5 >/dev/null 2>&1 ||
                    dstctl --run-dir "$run" remove-export "$name" --force --timeout 5 >/dev/null 2>&1
            done
        done
        pkill -x dstd
        wait_until 10 sh -c '! pgrep -x dstd' || pkill -9 -x dstd
    fi
    pkill -9 -x dst-target 2>/dev/null
    pkill -9 -x dst-server 2>/dev/null
    for name in $(ip netns list 2>/dev/null | awk '/^dst-/ { print $1 }'); do
        ip netns del "$name"
    done
    dmsetup remove_all --force >/dev/null 2>&1
    modprobe -qr scsi_debug
    rm -rf "$state" "$work"/files "$DST_RUN_DIR"
    mkdir -p "$work/files"
}

# Ends with the line that the test script adds up.
finish() {
    rm -rf "$work"
    echo "$passed passed, $failed failed, $skipped skipped"
    ((failed == 0))
}

mkdir -p "$work/files"
