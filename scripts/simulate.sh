#!/usr/bin/env bash
# Runs the simulated world (docs/simulation.md) with the native dst-sim and closes with `N passed, N failed, N skipped`:
# every scenario, every broken variant, replays in the Debug and the native build, fresh seeds of 10 virtual minutes.
#   --long  1,000 fresh seeds, however long they take (default: as many as end in time, at most 1,000)
# SIM_SEED=N begins with seed N instead of one drawn from the date.
set -uo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository" || exit 1
# shellcheck source=scripts/lib/packages.sh
. scripts/lib/packages.sh
# shellcheck source=scripts/lib/toolchain.sh
. scripts/lib/toolchain.sh

readonly most_seeds=1000 seeds_per_batch=50 replays=3
readonly batch_starts_until_s=150 # a batch takes 6 s on two quiet cores
readonly step_timeout_s=900
readonly least_steps_per_cpu_s=200000 # of one core

long=false
case ${1:-} in
    '') ;;
    --long) long=true ;;
    *)
        echo "simulate.sh: unknown option $1; there is --long" >&2
        exit 2
        ;;
esac
first=${SIM_SEED:-$(date -u +%s)000} # each second has a thousand seeds of its own
[[ $first =~ ^(0|[1-9][0-9]{0,17})$ ]] || { echo "simulate.sh: SIM_SEED=$first is no seed" >&2; exit 2; }

passed=0 failed=0
native=artifacts/bin/dst-sim
managed=src/Dst.Sim/bin/Debug/net10.0/dst-sim
results=$repository/artifacts/test/simulation
rm -rf "$results"
mkdir -p "$results"

fail() {
    echo "FAIL $*"
    failed=$((failed + 1))
}

finish() {
    echo "simulated world: took $SECONDS s (publish $publish_s s)"
    echo "$passed passed, $failed failed, 0 skipped"
    exit $((failed > 0))
}

# count NAME STATUS: adds up the closing line of a command whose output is NAME.log.
count() {
    local log=$results/$1.log p f
    local closing='s/^(seeds [0-9.]+: )?([0-9]+) passed, ([0-9]+) failed.*/\2 \3/p'
    if read -r p f < <(sed -nE "$closing" "$log" | tail -n 1) && (($2 == 0 || f > 0)); then
        passed=$((passed + p)) failed=$((failed + f))
    else
        fail "$1 ended with status $2"
        tail -n 20 "$log"
    fi
}

replay_both() { # SEED
    local log=$results/replay-$1
    timeout $step_timeout_s "$managed" replay "$1" >"$log-debug.log" 2>&1
    timeout $step_timeout_s "$native" replay "$1" >"$log-native.log" 2>&1
    # A seed that fails is counted among the fresh seeds; here only the builds are compared.
    if grep -qE '^trace [0-9a-f]{16} twice$' "$log-native.log" && cmp -s "$log-debug.log" "$log-native.log"; then
        passed=$((passed + 1))
        echo "replay $1: $(tail -n 1 "$log-native.log"), Debug and native alike"
    else
        fail "replay $1 is not the same in the Debug and the native build"
        tail -n 3 "$log-debug.log" "$log-native.log"
    fi
}

fresh_seeds() {
    local from=$first ran=0 to log bad_seeds seed
    while ((ran < most_seeds)) && { $long || ((ran == 0 || SECONDS < batch_starts_until_s)); }; do
        to=$((from + seeds_per_batch - 1))
        log=$results/seeds-$from.log
        timeout $step_timeout_s "$native" run --seeds "$from..$to" --coverage >"$log" 2>&1
        count "seeds-$from" $?
        mapfile -t bad_seeds < <(sed -nE 's/^seed ([0-9]+): step .*/\1/p' "$log")
        if ((${#bad_seeds[@]} > 0)); then
            grep -E '^seed [0-9]+: step ' "$log"
            for seed in "${bad_seeds[@]}"; do
                echo "  again: $native replay $seed --trace; smaller: $native shrink $seed"
            done
        fi
        ran=$((ran + seeds_per_batch)) from=$((to + 1))
    done
    echo "fresh seeds: $first..$((from - 1)), until $SECONDS s; again: SIM_SEED=$first scripts/simulate.sh"
}

# Of CPU time, so that a busy machine does not fail it.
speed() {
    local steps cpu_ms
    read -r steps cpu_ms < <(tail -q -n 1 "$results"/seeds-*.log \
        | sed -nE 's/^seeds .* ([0-9]+) steps in .* ([0-9]+)\.([0-9]{3}) s of CPU time, [0-9]+ steps\/s$/\1 \2\3/p' \
        | awk '{ steps += $1; ms += $2 } END { printf "%d %d\n", steps, ms }')
    if ((cpu_ms > 0 && steps * 1000 / cpu_ms >= least_steps_per_cpu_s)); then
        passed=$((passed + 1))
        echo "speed: $((steps * 1000 / cpu_ms)) steps per second of CPU time, at least $least_steps_per_cpu_s"
    else
        fail "speed: $steps steps in $cpu_ms ms of CPU time; at least $least_steps_per_cpu_s a second must be"
    fi
}

# Pairs of state and event that may come, and that no fresh seed has met; PossiblePairs.cs lists the others.
unreached() {
    local logs=("$results"/seeds-*.log)
    echo "unreached by all fresh seeds, one line for each state:"
    sed -n 's/^unreached //p' "${logs[@]}" | sort | uniq -c \
        | awk -v all="${#logs[@]}" '$1 == all { sub(/^ *[0-9]+ /, ""); print }' \
        | awk -F ': ' '$1 == last { printf ", %s", $2; next }
            { printf "%s  %s: %s", last == "" ? "" : "\n", $1, $2; last = $1 } END { if (last != "") print "" }'
}

publish_s=0
need_toolchain || exit 1
if ! scripts/publish.sh dst-sim >"$results/publish.log" 2>&1 \
    || ! dotnet build src/Dst.Sim --nologo -v quiet >"$results/build.log" 2>&1; then
    cat "$results"/*.log
    fail "dst-sim cannot be built"
    finish
fi
publish_s=$SECONDS

# Variants take one thread (the switch is one for the process), the rest runs beside them.
timeout $step_timeout_s "$native" variants >"$results/variants.log" 2>&1 &
variants=$!
timeout $step_timeout_s "$native" scenarios >"$results/scenarios.log" 2>&1
count scenarios $?
grep '^BAD' "$results/scenarios.log"
for ((i = 0; i < replays; i++)); do
    replay_both $((first + i))
done
fresh_seeds
speed
unreached
wait $variants
count variants $?
grep -E 'SURVIVES|LATE' "$results/variants.log"
tail -n 1 -q "$results/scenarios.log" "$results/variants.log"
finish
