#!/usr/bin/env bash
# The main job of DST, from files to a mounted file system and back, on this machine: directly where the kernel has
# ublk, else in a small VM.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib/packages.sh
. "$repository/scripts/lib/packages.sh"

if [ "${1:-}" != --here ]; then
    need_packages e2fsprogs kmod
    for program in dstd dst-target dstctl; do
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
daemon=

finish() {
    mountpoint -q "$work/mnt" && umount "$work/mnt"
    [ -z "$(dstctl list 2>/dev/null)" ] || dstctl remove-device demo --force
    [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
    rm -rf "$work" "$DST_RUN_DIR"
}
trap finish EXIT

step() { printf '\n# %s\n' "$*"; "$@"; }

echo "demo: files in $work, kernel $(uname -r)"
dstd --run-dir "$DST_RUN_DIR" --state-dir "$work/state" 2>"$work/dstd.log" &
daemon=$!
for _ in $(seq 100); do
    dstctl list >/dev/null 2>&1 && break
    sleep 0.1
done

printf '\n# dstctl add-device demo --node file:%s/a.img,size=128M --node file:%s/b.img,size=256M\n' "$work" "$work"
disk=$(dstctl add-device demo --node "file:$work/a.img,size=128M" --node "file:$work/b.img,size=256M")
echo "$disk"
step mkfs.ext4 -q "$disk"
mkdir "$work/mnt"
step mount "$disk" "$work/mnt"
step dd if=/dev/urandom of="$work/data" bs=1M count=200 status=none
step cp "$work/data" "$work/mnt/data"
step sync -f "$work/mnt"
echo 3 >/proc/sys/vm/drop_caches
step cmp "$work/data" "$work/mnt/data"
echo "the same: 200 MiB written over both files and read back"
step dstctl status demo
step umount "$work/mnt"
step dstctl remove-device demo
echo
echo "demo: done; two files made one disk, and nothing of it is left"
