#!/usr/bin/env bash
# Measures DST beside null_blk and the kernel's loop device, in one boot of the VM, and the programs on their own.
# Prints Markdown.
#   --kernel 6.12|7  default 7
#   --rounds N       how often every contestant runs every job (default 3)
#   --icount         one CPU that counts instructions (8 ns each): figures repeat, whatever else the machine does
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository"
# shellcheck source=scripts/lib/packages.sh
. scripts/lib/packages.sh
kernel=7 rounds=3 machine=() counted=
while [ $# -gt 0 ]; do
    case $1 in
        --kernel) kernel=${2:?bench.sh: --kernel needs 6.12 or 7}; shift ;;
        --rounds) rounds=${2:?bench.sh: --rounds needs a number}; shift ;;
        --icount) machine=(--icount) counted=1 ;;
        *) echo "bench.sh: unknown option $1; there are --kernel V, --rounds N and --icount" >&2; exit 2 ;;
    esac
    shift
done
need_packages fio jq e2fsprogs time kmod procps >&2
[ -x artifacts/bin/dst-target ] || scripts/publish.sh >&2

echo "--help of each program, from start to end, median of 9"
printf '\n| program | size (MiB) | CPU (ms) | wall (ms) | peak resident (KiB) |\n|---|---|---|---|---|\n'
for program in dstctl dstd dst-target; do
    size=$(stat -c %s "artifacts/bin/$program")
    printf '| %s | %s |' "$program" "$(awk -v b="$size" 'BEGIN { printf "%.1f", b / 1048576 }')"
    for _ in {1..9}; do
        started=$(date +%s%N)
        /usr/bin/time -f '%U %S %M' -o artifacts/bench.time "artifacts/bin/$program" --help >/dev/null 2>&1 || true
        echo "$(tail -n 1 artifacts/bench.time) $((($(date +%s%N) - started) / 1000))"
    done | sort -n -k 4 | awk '
        { cpu[NR] = ($1 + $2) * 1000; rss[NR] = $3; wall[NR] = $4 / 1000 }
        END { m = int((NR + 1) / 2); printf " %.0f | %.1f | %d |\n", cpu[m], wall[m], rss[m] }'
done
rm -f artifacts/bench.time
echo
scripts/vm.sh --kernel "$kernel" --memory 4096 --timeout 3600 "${machine[@]}" -- \
    env ROUNDS="$rounds" COUNTED="$counted" tests/e2e/bench.sh
