#!/usr/bin/env bash
# Measures DST beside null_blk and the kernel's loop device, in one boot of the VM, and the programs on their own.
# Prints Markdown.
#   --network        network nodes beside the kernel's nbd with nbdkit instead, in the VM
#   --engine         the network node without a kernel device beside fio's nbd client with nbdkit, on this machine
#   --kernel 6.12|7  default 7
#   --rounds N       how often every contestant runs every job (default 3)
#   --icount         one CPU that counts instructions (8 ns each): figures repeat, whatever else the machine does
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository"
# shellcheck source=scripts/lib/packages.sh
. scripts/lib/packages.sh
kernel=7 rounds=3 machine=() counted='' network='' engine=''
while [ $# -gt 0 ]; do
    case $1 in
        --kernel) kernel=${2:?bench.sh: --kernel needs 6.12 or 7}; shift ;;
        --rounds) rounds=${2:?bench.sh: --rounds needs a number}; shift ;;
        --icount) machine=(--icount) counted=1 ;;
        --network) network=1 ;;
        --engine) engine=1 ;;
        *)
            echo "bench.sh: unknown option $1; there are --kernel V, --rounds N, --icount, --network, --engine" >&2
            exit 2
            ;;
    esac
    shift
done
# Both in turns; one row a job.
engines() {
    local results=artifacts/bench.engine round job name length depth
    local program=tests/Dst.Net.Tests/bin/Release/net10.0/Dst.Net.Tests
    need_packages fio jq nbdkit libnbd0 >&2
    dotnet build tests/Dst.Net.Tests -c Release --nologo -v quiet >&2
    nbdkit --foreground --ipaddr 127.0.0.1 --port 10809 null 1G &
    # shellcheck disable=SC2064 # this process, this file
    trap "kill $!; rm -f $results artifacts/bench.json" EXIT
    : >"$results"
    for ((round = 0; round < rounds; round++)); do
        for job in "read 4096 1" "write 4096 1" "read 4096 32" "write 4096 32" "read 1048576 8" "write 1048576 8"; do
            read -r name length depth <<<"$job"
            fio --name=bench --ioengine=nbd --uri=nbd://127.0.0.1 --rw="rand$name" --bs="$length" \
                --iodepth="$depth" --size=1G --time_based --runtime=3 --norandommap --output-format=json \
                --output=artifacts/bench.json >/dev/null
            jq -r --arg job "$name $length depth $depth" '"nbd \($job) \(.jobs[0] | .read.iops + .write.iops)"' \
                artifacts/bench.json
        done >>"$results"
        "$program" -explicit only -showLiveOutput -noColor -class '*NodeSpeedTests' |
            sed -nE 's/.*(read|write) ([0-9]+) depth ([0-9]+): ([0-9]+) requests.*/dst \1 \2 depth \3 \4/p' >>"$results"
    done
    echo "$rounds rounds, median [least..most]; $(nproc) CPUs"
    printf '\n| | fio, nbdkit null: requests/s | DST, zero: requests/s | ratio |\n|---|---|---|---|\n'
    jq -rRn '
        def spread(digits): sort | map(. * digits | round / digits) | "\(.[length / 2 | floor]) [\(.[0])..\(.[-1])]";
        [inputs | capture("^(?<who>[a-z]+) (?<job>.*) (?<rate>[0-9.]+)$") | .rate |= tonumber] | group_by(.job)[] |
        .[0].job as $job | map(select(.who == "nbd").rate) as $nbd | map(select(.who == "dst").rate) as $dst |
        ([$nbd, $dst] | transpose | map(.[1] / .[0])) as $ratios |
        "| \($job) | \($nbd | spread(1)) | \($dst | spread(1)) | \($ratios | spread(100)) |"' "$results"
}

if [ -n "$engine" ]; then
    engines
    exit 0
fi
[ -z "$network" ] || need_packages nbdkit nbd-client >&2
need_packages fio jq e2fsprogs time kmod procps >&2
[ -x artifacts/bin/dst-target ] || scripts/publish.sh >&2

echo "--help of each program, from start to end, median of 9"
printf '\n| program | size (MiB) | CPU (ms) | wall (ms) | peak resident (KiB) |\n|---|---|---|---|---|\n'
for program in dstctl dstd dst-target dst-server; do
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
    env ROUNDS="$rounds" COUNTED="$counted" NETWORK="$network" tests/e2e/bench.sh
