#!/usr/bin/env bash
# scripts/demo.sh does what the README promises. Run on the machine that starts the VM. On kernel 7 (KERNEL, default) it
# is started as a user would, and boots the VM itself where this machine has no ublk; on another one in a VM of it.
set -u
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
kernel=${KERNEL:-7}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

run() {
    if [ "$kernel" = 7 ]; then
        timeout 600 "$repository/scripts/demo.sh"
    else
        "$repository/scripts/vm.sh" --kernel "$kernel" --timeout 600 -- "$repository/scripts/demo.sh"
    fi
}

# Lines of the output, in this order.
expected=(
    'demo: this kernel (.*) has '
    '^/dev/ublkb[0-9]+$'
    '^# mkfs.ext4 '
    '^# mount /dev/ublkb'
    'kill -9 of the first server'
    'started again by its dstd'
    '^sessions that node 0 had to begin anew: [1-9]'
    '^[0-9a-f]{64}  data$'
    '^[0-9a-f]{64}  mnt/data$'
    '^the same: 120 MiB'
    '^# dstctl status demo$'
    '^demo +device +live +192M '
    '^# umount '
    '^# e2fsck -fn /dev/ublkb'
    '^# dstctl remove-device demo$'
    '^demo: done;'
)

# in_order FILE PATTERN…: the first pattern that no line after that of its predecessor matches.
in_order() {
    local file=$1 line
    shift
    while IFS= read -r line; do
        ! [[ $line =~ $1 ]] || shift
        (($#)) || return 0
    done <"$file"
    echo "no line with '$1' where it should be"
    return 1
}

status=0
run >"$log" 2>&1 </dev/null || status=$?
if ((status == 0)) && in_order "$log" "${expected[@]}" &&
    [ "$(grep -E '^[0-9a-f]{64}  ' "$log" | cut -d' ' -f1 | uniq | wc -l)" = 1 ]; then
    echo "ok demo (${SECONDS} s)"
    echo "1 passed, 0 failed, 0 skipped"
else
    echo "FAIL demo (status $status)"
    tail -n 60 "$log" | cut -c1-300 | sed 's/^/    | /'
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
fi
