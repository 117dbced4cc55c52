#!/bin/bash
# Tests of scripts/vm.sh and its kernel cache; boots about fifteen guests, some minutes. Needs root, or sudo.
# Arguments: names of tests, to run only those.
set -uo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
readonly ROOT VM=$ROOT/scripts/vm.sh
WORK=$(mktemp -d /tmp/dst-vm-test.XXXXXX)
# A folder of our own makes what vm.sh leaves behind visible, whatever else runs on the machine.
export TMPDIR=$WORK/tmp
mkdir "$TMPDIR"
trap 'rm -rf "$WORK"' EXIT
cd "$ROOT" || exit 1

passed=0
failed=0
why=

# Each check notes the first reason of a failure.
note() { [[ -n $why ]] || why=$1; }
expect() { [[ $2 == "$3" ]] || note "$1 is '$2', not '$3'"; }
expect_match() { [[ $2 =~ $3 ]] || note "$1 is '$2', which does not match '$3'"; }
processes_left() {
    local process line
    for process in /proc/[0-9]*; do
        line=$(tr '\0' ' ' 2>/dev/null <"$process/cmdline") || continue
        [[ $line != *"$TMPDIR/"* ]] || printf '%s ' "${line%% *}"
    done 2>/dev/null
}

expect_clean() {
    local left
    # Killed processes take a moment to leave.
    for _ in {1..40}; do
        left=$(processes_left)
        [[ -n $left ]] || break
        sleep 0.05
    done
    expect "processes left" "$left" ""
    expect "files left" "$(ls -A "$TMPDIR")" ""
}

run() {
    local name=$1 started=$SECONDS
    why=
    "$name"
    rm -rf "${TMPDIR:?}"/*
    if [[ -z $why ]]; then
        passed=$((passed + 1))
        echo "ok $name ($((SECONDS - started)) s)"
    else
        failed=$((failed + 1))
        echo "FAIL $name: $why"
        sed 's/^/    /' "$WORK/err" 2>/dev/null | tail -n 30
    fi
}

# vm ARGS…: sets $status and $out; messages go to the file err.
vm() {
    out=$("$VM" "$@" 2>"$WORK/err")
    status=$?
}

# start_vm ARGS…: in the background, as a job of its own, so that it may take SIGINT. Sets $job; output to file out.
start_vm() {
    : >"$WORK/out"
    set -m
    # Whoever started these tests may ignore interrupts, and a shell cannot take that back.
    env --default-signal=INT "$VM" "$@" >"$WORK/out" 2>"$WORK/err" &
    job=$!
    set +m
}

# wait_output TEXT: until the job has printed it.
wait_output() {
    for _ in {1..1800}; do
        grep -qF -- "$1" "$WORK/out" && return
        sleep 0.1
    done
    note "no '$1' in the output"
}

# shellcheck disable=SC2016  # expanded in the guest
boots() {
    vm --kernel "$1" -- bash -c 'uname -r; modprobe ublk_drv; [[ -c /dev/ublk-control ]] && echo ublk; id -u; exit 7'
    expect status "$status" 7
    expect_match output "$out" "^$1[.0-9]+[^ ]*-cloud-amd64"$'\n'"ublk"$'\n'"0$"
    expect messages "$(grep -v -e 'reading the package lists' -e downloading -e installing "$WORK/err")" ""
    expect_clean
}
boots_6_12() { boots 6.12; }
boots_7() { boots 7; }

# shellcheck disable=SC2016
surroundings() {
    cd "$WORK" || return
    export DST_VM_TEST='two  words'
    vm -- bash -c 'pwd; echo "$DST_VM_TEST|$1|$2|$#"; echo err >/dev/stderr; touch /root/.dst-vm-test "$3/scripts/x"
        ls "$3/scripts/vm.sh"; [[ $3 == /tmp/* ]] || ls /tmp; [[ -t 1 ]] && echo tty; cat' \
        name "it's \"quoted\"" $'a\nb' "$ROOT"
    unset DST_VM_TEST
    cd "$ROOT" || return
    expect status "$status" 0
    local below=
    [[ $ROOT == /tmp/* ]] || below=$'\n'${WORK#/tmp/}
    expect output "$out" "$WORK"$'\n'"two  words|it's \"quoted\"|a"$'\n'"b|3"$'\n'"err"$'\n'"$ROOT/scripts/vm.sh$below"
    [[ ! -e /root/.dst-vm-test && ! -e $ROOT/scripts/x ]] || note "the guest wrote on this machine"
}

live_output() {
    local line stamps=()
    while read -r line; do
        stamps+=("${EPOCHREALTIME/./}")
    done < <("$VM" -- bash -c 'echo one; sleep 3; echo two' 2>"$WORK/err")
    expect lines "${#stamps[@]}" 2
    [[ -z $why ]] || return
    local gap_ms=$(((stamps[1] - stamps[0]) / 1000))
    ((gap_ms > 2000 && gap_ms < 12000)) || note "3 s between two lines arrived as $gap_ms ms"
}

whole_output() {
    local sum
    sum=$(seq 1000000 | md5sum)
    # A reader that is slow at first, and a process left behind that holds the output.
    out=$("$VM" -- bash -c 'sleep 1000 & seq 1000000; exit 5' 2>"$WORK/err" | (sleep 20; md5sum)
        echo "${PIPESTATUS[0]}")
    expect "output and status" "$out" "$sum"$'\n'5
    expect_clean
}

reader_gone() {
    local started=$SECONDS
    "$VM" -- bash -c 'while echo y; do sleep 0.1; done' 2>"$WORK/err" | head -n 1 >/dev/null
    expect status "${PIPESTATUS[0]}" 141
    ((SECONDS - started < 180)) || note "it took $((SECONDS - started)) s to notice"
    expect_clean
}

timeout_kills() {
    local started=$SECONDS
    vm --timeout 45 -- bash -c 'echo started; sleep 1000'
    expect status "$status" 124
    expect output "$out" started
    ((SECONDS - started < 80)) || note "a timeout of 45 s took $((SECONDS - started)) s"
    expect_clean
}

# It goes by this machine's own, and was not measured in the guest.
clock() {
    vm -- bash -c 'sed -n "s/.*tsc_early_khz=\([0-9]*\).*/\1/p" /proc/cmdline; dmesg'
    expect status "$status" 0
    local khz
    khz=$(head -n 1 <<<"$out")
    [[ $out == *"tsc: Detected $((khz / 1000)).$(printf %03d $((khz % 1000))) MHz"* ]] ||
        note "the guest did not take the frequency of $khz kHz"
}

interrupt_kills() {
    start_vm -- bash -c 'echo started; sleep 1000'
    wait_output started
    [[ -n $(processes_left) ]] || note "no process of the guest to be seen before the interrupt"
    kill -INT "$job"
    wait "$job"
    expect status $? 130
    expect_clean
}

killed_script_leaves_no_process() {
    start_vm -- bash -c 'echo started; sleep 1000'
    wait_output started
    kill -KILL "$job"
    wait "$job" 2>/dev/null
    local left
    for _ in {1..40}; do
        left=$(processes_left)
        [[ -n $left ]] || break
        sleep 0.05
    done
    expect "processes left" "$left" ""
}

disks() {
    truncate -s 64M "$WORK/a disk,1"
    vm --disk 1G --disk "$WORK/a disk,1" -- bash -c 'echo hello >/dev/vdb; blockdev --getsize64 /dev/vda /dev/vdb'
    expect status "$status" 0
    expect sizes "$out" 1073741824$'\n'67108864
    vm --disk "$WORK/a disk,1" -- head -c 6 /dev/vda
    expect "what the second run reads" "$out" hello
    rm "$WORK/a disk,1"
    expect_clean
}

udev_probes() {
    vm --disk 64M --dmesg-gate -- bash -c 'mkfs.ext4 -q -U 11111111-2222-3333-4444-555555555555 /dev/vda; udevadm settle
        readlink -f /dev/disk/by-uuid/11111111-2222-3333-4444-555555555555; mount /dev/vda /mnt && umount /mnt'
    expect status "$status" 0
    expect "the link that udev makes" "$out" /dev/vda
}

shared_folder() {
    mkdir "$WORK/results"
    vm --share "$WORK/results" -- bash -c "echo 42 >'$WORK/results/answer'"
    expect status "$status" 0
    expect "file of the guest" "$(cat "$WORK/results/answer")" 42
}

# More files than virtiofsd can have open at a time, where that is few.
many_files() {
    vm -- bash -c 'find /usr /root -xdev -type f | head -n 40000 | wc -l; ls /usr/bin/env'
    expect status "$status" 0
    expect_match output "$out" '^[0-9]{4,}'$'\n''/usr/bin/env$'
    expect messages "$(<"$WORK/err")" ""
}

# A shell on a terminal takes Ctrl-C itself.
shell() {
    local keys terminal status
    mkfifo "$WORK/keys"
    : >"$WORK/out"
    timeout 600 script -qec "$VM" /dev/null <"$WORK/keys" >"$WORK/out" 2>"$WORK/err" &
    terminal=$!
    exec {keys}>"$WORK/keys"
    wait_output '# '
    # shellcheck disable=SC2016
    printf 'echo a$((1+2))b; sleep 1000\n' >&"$keys"
    wait_output a3b
    # The interrupt is for sleep: let it start.
    sleep 5
    printf '\003' >&"$keys"
    # shellcheck disable=SC2016
    printf 'echo c$((2+2))d; exit 9\n' >&"$keys"
    wait_output c4d
    wait "$terminal"
    status=$?
    exec {keys}>&-
    rm "$WORK/keys"
    expect status "$status" 9
    expect_clean
}

panic() {
    # Output goes through a pipe: what was said in the last moment may go down with the guest.
    vm -- bash -c 'echo before; sleep 5; echo c >/proc/sysrq-trigger; sleep 100'
    expect status "$status" 125
    expect output "$out" before
    grep -q 'Kernel panic' "$WORK/err" || note "the console's last lines show no panic"
    expect_clean
}

# fake_qemu DEATHS: an emulator, first in the path, that dies at once as often as said and is the real one then.
fake_qemu() {
    mkdir -p "$WORK/bin"
    cat >"$WORK/bin/qemu-system-x86_64" <<FAKE
#!/bin/bash
echo boot >>"$WORK/boots"
((\$(wc -l <"$WORK/boots") > $1)) || exit 1
exec "$(command -v qemu-system-x86_64)" "\$@"
FAKE
    chmod 755 "$WORK/bin/qemu-system-x86_64"
    rm -f "$WORK/boots"
}

boots_again() {
    fake_qemu 1
    PATH=$WORK/bin:$PATH vm -- echo once
    expect status "$status" 0
    expect output "$out" once
    grep -q 'booting it again' "$WORK/err" || note "it does not tell of the second boot"
    expect_clean
    fake_qemu 3
    PATH=$WORK/bin:$PATH vm -- echo once
    expect "status after three deaths" "$status" 125
    expect output "$out" ''
    rm -r "${WORK:?}/bin" "$WORK/boots"
    expect_clean
}

gate() {
    local line='Buffer I/O error on dev vda, logical block 0'
    vm --dmesg-gate -- bash -c "echo '<3>$line' >/dev/kmsg"
    expect "status with a bad line" "$status" 99
    grep -qF "$line" "$WORK/err" || note "the line is not shown"
    vm --dmesg-gate --allow-dmesg 'I/O error on dev vda' -- bash -c "echo '<3>$line' >/dev/kmsg
        echo '<4>UBSAN: array-index-out-of-bounds in io_uring/rsrc.c:1070:2' >/dev/kmsg"
    expect "status with allowed lines" "$status" 0
}

hung_task() {
    vm --disk 64M --dmesg-gate --timeout 300 -- bash -c 'mkfs.ext4 -q /dev/vda &&
        mount /dev/vda /mnt && fsfreeze -f /mnt
        touch /mnt/x & sleep 70; fsfreeze -u /mnt; wait; umount /mnt'
    expect status "$status" 99
    grep -q 'blocked for more than' "$WORK/err" || note "no hung task shown"
}

counted_instructions() {
    vm --icount --no-udev -- bash -c 'nproc; pgrep -c udevd'
    expect output "$out" 1$'\n'0
}

usage_errors() {
    local arguments
    for arguments in "--cpus x -- true" "--disk /no/such/file -- true" "--share /no/such -- true" \
        "--kernel ../x -- true" "--bogus" "--" "true" "--timeout"; do
        # shellcheck disable=SC2086
        vm $arguments </dev/null
        expect "status of '$arguments'" "$status" 2
    done
    expect_clean
}

# The archive out of reach: no cache is an error of its own, with a cache nobody notices.
archive_out_of_reach() {
    local release
    export DST_CACHE=$WORK/cache APT_CONFIG=$WORK/apt.conf
    printf 'Acquire::%s::Proxy "http://127.0.0.1:9";\n' http https >"$APT_CONFIG"
    vm --kernel 7 -- true
    expect "status without cache" "$status" 3
    grep -q 'out of reach' "$WORK/err" || note "no message says so"
    for release in 7.1.2 7.10.1 70.1.1; do
        mkdir -p "$DST_CACHE/kernels/$release-cloud-amd64"
    done
    expect "kernel from the cache" "$("$ROOT/scripts/lib/kernels.sh" kernel 7 2>"$WORK/err")" \
        "$DST_CACHE/kernels/7.10.1-cloud-amd64"
    unset DST_CACHE APT_CONFIG
    expect "files left" "$(ls -d "$TMPDIR"/* "$WORK"/cache/kernels/.fetch.* 2>/dev/null)" ""
}

run_side_by_side() {
    local first
    "$VM" -- echo first >"$WORK/first" 2>&1 &
    first=$!
    vm --kernel 6.12 -- echo second
    wait "$first"
    expect "output of both" "$(cat "$WORK/first") $out" "first second"
    expect_clean
}

tests=("$@")
((${#tests[@]})) || tests=(usage_errors archive_out_of_reach boots_6_12 boots_7 surroundings live_output whole_output
    reader_gone timeout_kills interrupt_kills killed_script_leaves_no_process disks udev_probes shared_folder many_files
    shell clock panic boots_again gate hung_task counted_instructions run_side_by_side)
for test in "${tests[@]}"; do
    run "$test"
done
echo "$passed passed, $failed failed, 0 skipped"
((failed == 0))
