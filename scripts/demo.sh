#!/usr/bin/env bash
# The main job of DST on this machine: one disk over two servers, each in a network namespace of its own, and a local
# file; a file system on it, and a server that dies in the middle of a copy. Directly where the kernel has ublk, else in
# a small VM.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib/packages.sh
. "$repository/scripts/lib/packages.sh"

if [ "${1:-}" != --here ]; then
    need_packages e2fsprogs kmod iproute2
    for program in dstd dst-target dst-server dstctl; do
        if [ ! -x "$repository/artifacts/bin/$program" ]; then
            echo "demo: the programs are not built yet: scripts/publish.sh builds them, which takes some minutes"
            "$repository/scripts/publish.sh"
            break
        fi
    done
    as_root modprobe -q ublk_drv 2>/dev/null || true
    if [ -e /dev/ublk-control ]; then
        echo "demo: this kernel ($(uname -r)) has ublk: running on it"
        as_root "$0" --here
    else
        echo "demo: this kernel ($(uname -r)) has no ublk driver: booting a VM that has (QEMU, software emulation)"
        "$repository/scripts/vm.sh" --timeout 600 -- "$0" --here
    fi
    exit
fi

export PATH="$repository/artifacts/bin:$PATH"
work=$(mktemp -d)
export DST_RUN_DIR=/run/dst-demo.$$
daemons=() copy=

finish() {
    local number
    set +e # what can be cleaned up, is
    if [ -n "$copy" ]; then
        kill "$copy" 2>/dev/null
        wait "$copy"
    fi
    mountpoint -q "$work/mnt" && umount "$work/mnt"
    [ -z "$(dstctl list 2>/dev/null)" ] || dstctl remove-device demo --force
    for number in 1 2; do
        [ -z "$(at "$number" list 2>/dev/null)" ] || at "$number" remove-export "part$number" --force
    done
    [ ${#daemons[@]} = 0 ] || kill "${daemons[@]}" 2>/dev/null
    for number in 1 2; do
        ip netns del "dst-demo-$number" 2>/dev/null
    done
    rm -rf "$work" "$DST_RUN_DIR"
}
trap finish EXIT

step() { printf '\n# %s\n' "$*"; "$@"; }

start_daemon() { # RUN-DIR NAME [COMMAND…]: dstd, started by the command
    local run=$1 name=$2
    shift 2
    "$@" dstd --run-dir "$run" --state-dir "$work/$name.state" 2>"$work/$name.log" &
    daemons+=("$!")
    for _ in $(seq 100); do
        dstctl --run-dir "$run" list >/dev/null 2>&1 && return
        sleep 0.1
    done
    cat "$work/$name.log" >&2
    return 1
}

# A network namespace stands for a machine, a pair of interfaces for the cable to it. Addresses are those that are kept
# for examples (RFC 5737).
start_server() { # NUMBER NETWORK
    local name=dst-demo-$1 cable=dstdemo$1 network=$2
    ip netns add "$name"
    ip link add "$cable" type veth peer name eth0 netns "$name"
    ip address add "$network.1/24" dev "$cable"
    ip link set "$cable" up
    ip -n "$name" address add "$network.2/24" dev eth0
    ip -n "$name" link set eth0 up
    start_daemon "$work/server$1" "server$1" nsenter --net="/run/netns/$name"
}

at() { # NUMBER COMMAND…: dstctl with the daemon of a server
    local run=$work/server$1
    shift
    dstctl --run-dir "$run" "$@"
}

step_at() { # NUMBER COMMAND…
    printf '\n# on server %s: dstctl %s\n' "$1" "${*:2}"
    at "$@"
}

server_pid() { cat "$work/server$1/server/pid"; }

echo "demo: files in $work, kernel $(uname -r)"
echo "demo: two servers, 198.51.100.2 and 203.0.113.2, and this host"
start_server 1 198.51.100
start_server 2 203.0.113
start_daemon "$DST_RUN_DIR" here

step_at 1 add-export part1 --node "file:$work/a.img,size=64M" --listen 198.51.100.2 --allow 198.51.100.0/24
step_at 2 add-export part2 --node "file:$work/b.img,size=64M" --listen 203.0.113.2 --allow 203.0.113.0/24

nodes=(--node dst://198.51.100.2/part1 --node dst://203.0.113.2/part2 --node "file:$work/c.img,size=64M")
printf '\n# dstctl add-device demo %s\n' "${nodes[*]}"
disk=$(dstctl add-device demo "${nodes[@]}")
echo "$disk"
step mkfs.ext4 -q "$disk"
mkdir "$work/mnt"
step mount "$disk" "$work/mnt"
step dd if=/dev/urandom of="$work/data" bs=1M count=120 status=none

printf '\n# cp %s %s, and in the middle of it: kill -9 of the first server\n' "$work/data" "$work/mnt/data"
cp "$work/data" "$work/mnt/data" &
copy=$!
while [ "$(cat "$DST_RUN_DIR/devices/demo/nodes/0/write_bytes")" -lt $((16 << 20)) ] && kill -0 "$copy" 2>/dev/null; do
    sleep 0.1
done
first=$(server_pid 1)
kill -9 "$first"
if ! kill -0 "$copy" 2>/dev/null; then
    echo "demo: the copy had ended before the server was killed" >&2
    exit 1
fi
wait "$copy"
copy=
sync -f "$work/mnt"
second=$(server_pid 1)
echo "the copy has ended; the server was process $first and is now $second, started again by its dstd"
echo "sessions that node 0 had to begin anew: $(cat "$DST_RUN_DIR/devices/demo/nodes/0/reconnects")"
[ "$first" != "$second" ]
echo 3 >/proc/sys/vm/drop_caches
printf '\n# sha256sum\n'
(cd "$work" && sha256sum data mnt/data)
step cmp "$work/data" "$work/mnt/data"
echo "the same: 120 MiB, written over both servers and the file, and read back"
step dstctl status demo
step_at 1 status
step umount "$work/mnt"
step e2fsck -fn "$disk"
step dstctl remove-device demo
step_at 1 remove-export part1
step_at 2 remove-export part2
echo
echo "demo: done; two servers and a file made one disk, one server died under it, and nothing of it is left"
