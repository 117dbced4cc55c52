#!/usr/bin/env bash
# Runs every test and closes with the line `N passed, N failed, N skipped`.
#   --quick          native tests only
#   --kernel 6.12|7  in the VM only this kernel (default: both)
#   --long           the full counts (500 cycles, 1 GiB verified, 2 million requests, 10,000 ghost writes, 10 million
#                    inputs for each parser, a server stopped for a minute, 1,000 fresh seeds of the simulated
#                    world): hours under emulation
set -uo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository" || exit 1
# shellcheck source=scripts/lib/packages.sh
. scripts/lib/packages.sh
# shellcheck source=scripts/lib/toolchain.sh
. scripts/lib/toolchain.sh

kernels=(6.12 7)
quick=false
long=false
while [ $# -gt 0 ]; do
    case $1 in
        --quick) quick=true ;;
        --long) long=true ;;
        --kernel)
            kernels=("${2:?test.sh: --kernel needs 6.12 or 7}")
            shift
            ;;
        *)
            echo "test.sh: unknown option $1; there are --quick, --long and --kernel 6.12|7" >&2
            exit 2
            ;;
    esac
    shift
done

passed=0 failed=0 skipped=0
results=$repository/artifacts/test
mkdir -p "$results"

fail() { # what stands for a whole part that could not run
    echo "FAIL $*"
    failed=$((failed + 1))
}

# add_line FILE: adds the counts of the last closing line in it; a part without one has failed.
add_line() {
    local line
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped' "$1" | tail -n 1)
    if [ -z "$line" ]; then
        return 1
    fi
    read -r p _ f _ s _ <<<"${line//,/}"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

# Closes the run, whatever part of it was the last.
finish() {
    printf '\ntook %d min %d s\n' $((SECONDS / 60)) $((SECONDS % 60))
    echo "$passed passed, $failed failed, $skipped skipped"
    ((failed == 0))
    exit
}

part() { printf '\n== %s (at %d s)\n' "$*" "$SECONDS"; }

part "packages"
packages=(iproute2 util-linux e2fsprogs procps kmod libcap2-bin curl shellcheck)
$quick || packages+=(xfsprogs btrfs-progs fio dmsetup udev nftables)
if ! need_toolchain || ! need_packages "${packages[@]}"; then
    fail "packages"
    finish
fi

part "build"
if ! dotnet build Dst.Ublk.sln --nologo -v quiet -p:UseSharedCompilation=true; then
    fail "build"
    finish
fi

native_timeout=600
if $long; then
    export DST_GHOST_ROUNDS=10000 DST_FUZZ_RUNS=10000000 DST_CUT_STRIDE=1
    native_timeout=7200
fi

# run_tests NAME…: runs test projects one after the other; leaves a log and a status of each.
run_tests() {
    local name
    for name in "$@"; do
        # A test that hangs is named in the log.
        timeout "$native_timeout" "tests/$name/bin/Debug/net10.0/$name" \
            -noColor -longRunning "$((native_timeout / 5))" >"$results/$name.log" 2>&1
        echo $? >"$results/$name.log.status"
    done
}

# judge_tests NAME: adds up what run_tests left.
judge_tests() {
    local name=$1 log=$results/$1.log status total errors bad skip
    status=$(cat "$log.status")
    # xunit's own summary: "NAME  Total: 17, Errors: 0, Failed: 1, Skipped: 0, Not Run: 0, Time: 3.571s"
    if summary=$(grep -E 'Total: [0-9]+, Errors: ' "$log" | tail -n 1); then
        read -r total errors bad skip < <(sed -E \
            's/.*Total: ([0-9]+), Errors: ([0-9]+), Failed: ([0-9]+), Skipped: ([0-9]+).*/\1 \2 \3 \4/' <<<"$summary")
        ((status == 0 || errors + bad > 0)) || errors=1
        passed=$((passed + total - bad - skip)) failed=$((failed + bad + errors)) skipped=$((skipped + skip))
        echo "$name: $((total - bad - skip)) passed, $((bad + errors)) failed, $skip skipped, ${summary##*Time: }"
        ((errors + bad == 0)) || grep -A 12 -E '\[FAIL\]|ERROR' "$log" | head -n 120
        grep -A 1 '\[SKIP\]' "$log" || true
    else
        fail "$name ended with status $status without a summary"
        tail -n 20 "$log"
    fi
}

# Three at a time: those of sessions and of the daemon mostly wait, each as long as all others together.
part "native tests"
waiting=(Dst.Net.Tests Dst.Daemon.Tests) others=()
for project in tests/*.Tests; do
    [[ " ${waiting[*]} " == *" ${project##*/} "* ]] || others+=("${project##*/}")
done
for name in "${waiting[@]}"; do
    run_tests "$name" &
done
run_tests "${others[@]}"
wait
for name in "${waiting[@]}" "${others[@]}"; do
    judge_tests "$name"
done

run_suite() { # SUITE KERNEL
    local only='' cycles=()
    if [ "$1" = host_restart ] || [ "$1" = demo ]; then
        KERNEL=$2 "tests/e2e/$1.sh"
    else
        if [ "$1" = network ] && ! $long; then
            only=$network_plain
            echo "of network.sh in a plain run: $only; --long runs all"
        elif [ "$1" = devices ] && ! $long && [ ${#kernels[@]} = 2 ] && [ "$2" = 6.12 ]; then
            # This kernel has more of the other suites.
            cycles=(CYCLES=5)
            echo "of devices.sh on this kernel in a plain run: ${cycles[*]}"
        fi
        scripts/vm.sh --kernel "$2" --memory 4096 --timeout "$vm_timeout" --dmesg-gate \
            --allow-dmesg "$allowed_dmesg" -- env "${counts[@]}" "${cycles[@]}" ONLY="$only" "tests/e2e/$1.sh"
    fi
}

# suites_of KERNEL: what runs on it. Of two kernels in a plain run each takes some of the suites that look less at the
# kernel than at DST; --long and --kernel run all.
suites_of() {
    if $long || [ ${#kernels[@]} = 1 ]; then
        echo devices safety network disks host_restart demo
    elif [ "$1" = 6.12 ]; then
        echo devices safety disks host_restart
    else
        echo devices network demo
    fi
}

# on_kernel KERNEL: runs every suite in the VM, one after the other; leaves a log and a status of each.
on_kernel() {
    local kernel=$1 suite log status
    for suite in $(suites_of "$kernel"); do
        log=$results/$suite-$kernel.log
        run_suite "$suite" "$kernel" >"$log" 2>&1
        status=$?
        # QEMU before 8.1 may run a breakpoint that the kernel, patching its own code, has already taken away.
        if grep -q '^vm.sh: the guest died' "$log" && grep -q 'Oops: int3' "$log"; then
            mv "$log" "$log.emulator"
            run_suite "$suite" "$kernel" >"$log" 2>&1
            status=$?
            echo "(the second run: the emulator broke off the first, see $log.emulator)" >>"$log"
        fi
        echo $status >"$log.status"
        printf '\n== %s on kernel %s (until %d s)\n%s\n' "$suite" "$kernel" "$SECONDS" "$(cat "$log")"
    done
}

# judge KERNEL: adds up what on_kernel left.
judge() {
    local kernel=$1 suite log status
    for suite in $(suites_of "$kernel"); do
        log=$results/$suite-$kernel.log
        status=$(cat "$log.status" 2>/dev/null)
        if ! add_line "$log"; then
            fail "$suite on kernel $kernel did not come to its end (status ${status:-none})"
        elif [ "$status" != 0 ] && ! grep -qE ', [1-9][0-9]* failed' "$log"; then
            fail "$suite on kernel $kernel: the machine ended with status ${status:-none} (kernel log)"
        fi
    done
}

part "simulated world"
options=()
! $long || options=(--long)
scripts/simulate.sh "${options[@]}" 2>&1 | tee "$results/simulate.log"
add_line "$results/simulate.log" || fail "simulate.sh did not come to its end"

if ! $quick; then
    part "publish"
    if scripts/publish.sh; then
        part "vm.sh"
        vm_tests=(usage_errors surroundings live_output clock interrupt_kills panic boots_again gate)
        if $long; then
            vm_tests=()
        else
            echo "of vm.sh's own tests (scripts/tests/vm_test.sh): ${vm_tests[*]}; --long runs all"
        fi
        scripts/tests/vm_test.sh "${vm_tests[@]}" 2>&1 | tee "$results/vm_test.log"
        add_line "$results/vm_test.log" || fail "vm_test.sh did not come to its end"
        # Errors that the tests make on purpose.
        allowed_dmesg='I/O error, dev (ublkb|dm-|ram|loop|sd)|Buffer I/O error|lost async page write'
        allowed_dmesg+='|EXT4-fs (error|warning)|EXT4-fs \((ublkb|dm-).* I/O error|JBD2: I/O error .* ublkb'
        counts=(CYCLES=25 FIO_MIB=48 FS_MIB=64 REQUESTS=200000 KILLS=8)
        vm_timeout=2000
        if $long; then
            counts=(CYCLES=500 FIO_MIB=1024 FS_MIB=180 REQUESTS=2000000 KILLS=150 COPY_MIB=1024 STOP_S=60)
            counts+=(TEST_LIMIT_S=7200)
            vm_timeout=14400
        fi
        echo "counts: ${counts[*]}"
        network_plain='whole|killed|silent|operators|two_clients|creation|power_cuts_write_back|recorded'
        # Both kernels at once: much of a suite is waiting.
        rm -f "$results"/*.log.status
        part "in the VM"
        for kernel in "${kernels[@]}"; do
            echo "kernel $kernel: $(suites_of "$kernel")"
            on_kernel "$kernel" &
        done
        wait
        for kernel in "${kernels[@]}"; do
            judge "$kernel"
        done
    else
        fail "publish"
    fi
fi

finish
