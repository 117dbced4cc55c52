#!/bin/bash
# Runs a command as root on a Debian kernel of our choice in an emulated machine. See usage below.
set -euo pipefail

SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
readonly SCRIPTS REPOSITORY=${SCRIPTS%/*}
# shellcheck source=scripts/lib/packages.sh
source "$SCRIPTS/lib/packages.sh"
# shellcheck source=scripts/lib/kernels.sh
source "$SCRIPTS/lib/kernels.sh"

readonly STATUS_USAGE=2 STATUS_GATE=99 STATUS_TIMEOUT=124 STATUS_GUEST_DIED=125
readonly SOCKET_WAIT_ROUNDS=500
# QEMU before 8.1 may run a breakpoint that the kernel, patching its own code while it boots, has already taken away.
# A guest that dies before the command began is booted anew: nothing of the command is done twice.
readonly BOOTS_MAX=3
readonly GATE_PATTERN='WARNING:|BUG:|Oops|INFO: task .* blocked for more than|I/O error|UBSAN:'\
'|general protection fault|stalls? (on|detected)'
# By the source a false positive of kernel 7.2 with zero copy.
readonly GATE_ALWAYS_ALLOWED='UBSAN: .*io_uring/rsrc\.c:1070'

usage() {
    cat <<'USAGE'
usage: scripts/vm.sh [OPTION…] [-- COMMAND…]

Runs COMMAND as root in an emulated machine with a Debian kernel, in the current directory; without COMMAND, a shell.
The guest sees all files of this machine and may write everywhere, but what it writes is gone with it, save
on --disk FILE and in --share DIR. /tmp and /run start out empty. Output (stdout and stderr together) is live.
The command's stdin is empty. PATH, HOME, LANG, TERM, DST_* and DOTNET_* are passed on.

  --kernel V           leading part of the kernel version, 6.12 or 7 (default 7)
  --cpus N             virtual CPUs (default 2)
  --memory MIB         memory, which also holds what the guest writes (default 3072)
  --timeout S          kill the guest after S seconds, 0 for never (default 900; a shell: 0)
  --disk SIZE|FILE     a disk, /dev/vda for the first: empty and temporary (2G), or a raw file that stays (./disk)
  --share DIR          a folder of this machine that the guest may write, at its own path
  --dmesg-gate         fail when the kernel log has warnings, oopses, hung tasks or I/O errors
  --allow-dmesg REGEX  lines of the kernel log that the gate allows (extended regular expression)
  --no-udev            no udevd in the guest
  --icount             one CPU that counts instructions, 8 ns each: slow, but figures repeat

Status: that of COMMAND; 2 usage; 3 kernel neither cached nor within reach; 99 the gate; 124 timeout;
125 the guest died (panic); 130 interrupted.
USAGE
}

fail_usage() {
    say "$1 (see --help)"
    exit "$STATUS_USAGE"
}

kernel_prefix=7
cpus=2
memory_mib=3072
timeout_s=
udev=1
icount=0
gate=0
disks=()
shares=()
allowed=("$GATE_ALWAYS_ALLOWED")
command=()

need_number() {
    [[ $2 =~ ^[0-9]{1,9}$ ]] || fail_usage "$1 wants a whole number, not '$2'"
}

parse_arguments() {
    while (($#)); do
        case $1 in
            --kernel | --cpus | --memory | --timeout | --disk | --share | --allow-dmesg)
                (($# > 1)) || fail_usage "$1 wants a value"
                ;;&
            --kernel) kernel_prefix=$2 ;;
            --cpus) need_number "$1" "$2" && cpus=$2 ;;
            --memory) need_number "$1" "$2" && memory_mib=$2 ;;
            --timeout) need_number "$1" "$2" && timeout_s=$2 ;;
            --disk) disks+=("$2") ;;
            --share)
                [[ -d $2 ]] || fail_usage "--share: no folder '$2'"
                shares+=("$(realpath "$2")")
                ;;
            --allow-dmesg) allowed+=("$2") ;;
            --dmesg-gate) gate=1 ;;
            --no-udev) udev=0 ;;
            --icount) icount=1 ;;
            -h | --help) usage && exit 0 ;;
            --)
                shift
                command=("$@")
                (($#)) || fail_usage "no command after --"
                return
                ;;
            *) fail_usage "unknown argument '$1'; the command comes after --" ;;
        esac
        case $1 in
            --dmesg-gate | --no-udev | --icount) shift ;;
            *) shift 2 ;;
        esac
    done
}

original_arguments=("$@")
parse_arguments "$@"
[[ $kernel_prefix =~ ^[0-9][A-Za-z0-9.+~-]*$ ]] ||
    fail_usage "--kernel wants a version such as 6.12 or 7, not '$kernel_prefix'"
((cpus >= 1)) || fail_usage "--cpus wants at least 1"
((memory_mib >= 512)) || fail_usage "--memory wants at least 512"
if ((${#command[@]} == 0)); then
    [[ -t 0 && -t 1 ]] || fail_usage "a shell wants a terminal; otherwise name a command after --"
fi
[[ -n $timeout_s ]] || timeout_s=$((${#command[@]} ? 900 : 0))

# Sharing the root folder takes root.
if ((EUID != 0)); then
    command -v sudo >/dev/null || { say "needs root or sudo"; exit 1; }
    exec sudo -E env "PATH=$PATH" "HOME=$HOME" "$SCRIPTS/vm.sh" "${original_arguments[@]}"
fi

run_dir=
terminal=
pids=()

end_started() {
    local pid
    for pid in "${pids[@]}"; do
        kill -KILL "$pid" || true
    done
    wait || true
    pids=()
    # A killed QEMU leaves the terminal raw.
    [[ -z $terminal ]] || stty "$terminal"
}

# shellcheck disable=SC2317  # called by the trap
clean_up() {
    trap '' INT TERM HUP
    # Bash would tell of every process killed.
    exec 2>/dev/null
    end_started
    [[ -z $run_dir ]] || rm -rf "$run_dir"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# start PROGRAM…: in the background, and never outliving this script, even one killed with -9. Sets $started.
start() {
    # Without the redirection Bash would give it an empty stdin.
    setpriv --pdeathsig KILL "$@" <&0 &
    started=$!
    pids+=("$started")
}

find_virtiofsd() {
    for virtiofsd in /usr/lib/qemu/virtiofsd /usr/libexec/virtiofsd; do
        [[ -x $virtiofsd ]] && return
    done
    # From Debian 13 on a package of its own.
    need_packages virtiofsd
    virtiofsd=/usr/libexec/virtiofsd
}

# share_folder TAG DIR: serves a folder to the guest and adds it to the machine.
share_folder() {
    local tag=$1 folder=$2 socket=$run_dir/$1.sock
    if [[ $virtiofsd == */qemu/* ]]; then
        start "$virtiofsd" --socket-path="$socket" --rlimit-nofile=0 -o sandbox=chroot -o "source=$folder" \
            -o cache="$3" -o xattr -o log_level=err </dev/null >"$run_dir/$tag.log" 2>&1
    else
        start "$virtiofsd" --socket-path="$socket" --rlimit-nofile=0 --sandbox=chroot \
            --shared-dir="$folder" --cache="$3" --xattr --log-level=error </dev/null >"$run_dir/$tag.log" 2>&1
    fi
    sockets+=("$socket")
    machine+=(-chardev "socket,id=$tag,path=$socket"
        -device "vhost-user-fs-pci,chardev=$tag,tag=$tag,queue-size=1024")
}

wait_for_sockets() {
    local socket rounds=$SOCKET_WAIT_ROUNDS
    for socket in "${sockets[@]}"; do
        until [[ -S $socket ]]; do
            if ((rounds-- == 0)); then
                say "virtiofsd does not start: $(cat "$run_dir"/*.log)"
                exit 1
            fi
            sleep 0.02
        done
    done
}

add_disks() {
    local disk file number=0 cache
    for disk in "${disks[@]}"; do
        if [[ $disk =~ ^[0-9]+[KMGT]?$ ]]; then
            file=$run_dir/disk$number
            truncate -s "$disk" "$file"
            cache=unsafe
        elif [[ -f $disk && -w $disk ]]; then
            file=$(realpath "$disk")
            cache=writeback
            lasting_disks=1
        else
            fail_usage \
                "--disk: '$disk' is neither a size such as 2G nor a writable file (truncate -s 2G FILE makes one)"
        fi
        disk_options+=(-drive "if=none,id=disk$number,format=raw,discard=unmap,cache=$cache,file=${file//,/,,}"
            -device "virtio-blk-pci,drive=disk$number,serial=dst-disk$number")
        number=$((number + 1))
    done
}

# quoted WORD: as any shell reads it back.
quoted() { printf "'%s'" "${1//\'/\'\\\'\'}"; }

# What guest-init.sh reads, and leaves to guest-run.sh as environment.
write_settings() {
    local rows=24 columns=80 name number
    [[ -t 0 ]] && read -r rows columns < <(stty size)
    for name in RELEASE="$release" KERNEL="$kernel" SCRIPTS="$SCRIPTS" DIRECTORY="$PWD" ROWS="$rows" \
        COLUMNS="$columns" UDEV="$udev" GATE="$gate" DISKS="${#disks[@]}" \
        LASTING_DISKS="$lasting_disks" OPEN_FILES="$(ulimit -n)"; do
        printf 'export DST_VM_%s=%s\n' "${name%%=*}" "$(quoted "${name#*=}")"
    done
    printf 'settings_keep() {\n'
    printf 'keep %s\n' "$(quoted "$REPOSITORY")"
    for name in "$kernel" "$PWD"; do
        [[ $name/ == "$REPOSITORY"/* ]] || printf 'keep %s\n' "$(quoted "$name")"
    done
    printf '}\nsettings_shares() {\n:\n'
    for number in "${!shares[@]}"; do
        printf 'share share%d %s\n' "$number" "$(quoted "${shares[$number]}")"
    done
    printf '}\n'
}

# What guest-run.sh reads.
write_control() {
    local name
    mkdir "$run_dir/control"
    : >"$run_dir/control/command"
    ((${#command[@]} == 0)) || printf '%s\0' "${command[@]}" >"$run_dir/control/command"
    for name in PATH HOME LANG TERM "${!DST_@}" "${!DOTNET_@}"; do
        [[ ! -v $name ]] || printf '%s=%s\0' "$name" "${!name}"
    done >"$run_dir/control/environment"
}

build_initramfs() {
    local root=$run_dir/initramfs
    mkdir -p "$root"/{bin,proc,dev,lower,upper,hidden,root}
    cp "$(command -v busybox)" "$root/bin/busybox"
    local applet
    for applet in sh mount umount mkdir mkfifo ln sleep insmod ip hostname switch_root; do
        ln -s busybox "$root/bin/$applet"
    done
    cp "$SCRIPTS/lib/guest-init.sh" "$root/init"
    chmod 755 "$root/init"
    write_settings >"$root/settings"
    cp "$kernel/overlay.ko" "$root/"
    (cd "$root" && find . | cpio --quiet -o -H newc) >"$run_dir/initramfs.cpio"
}

# What the guest's clock counts by: told, since a guest that measures it on a busy machine may be wrong by ten times.
clock_argument() {
    gcc -O2 -o "$run_dir/tsc_khz" "$REPOSITORY/native/tsc_khz.c" && echo -n " tsc_early_khz=$("$run_dir/tsc_khz")"
}

kernel_arguments() {
    echo -n "console=ttyS0 quiet panic=-1 panic_on_warn=1 oops=panic mitigations=off log_buf_len=8M" \
        "tsc=reliable rcupdate.rcu_cpu_stall_timeout=60 sysctl.kernel.watchdog_thresh=30" \
        "sysctl.kernel.hung_task_timeout_secs=30 sysctl.kernel.hung_task_warnings=-1"
    ((icount)) || clock_argument
}

# shellcheck disable=SC2054  # QEMU's options have commas
start_machine() {
    if ((icount)); then
        machine+=(-accel tcg,thread=single -smp 1 -icount shift=3)
    else
        machine+=(-accel tcg,thread=multi -smp "$cpus")
    fi
    # Without fast string operations the kernel copies words, not bytes: one emulated instruction for eight bytes.
    machine+=(-cpu max,-erms)
    machine+=(-nodefaults -no-user-config -display none -no-reboot -m "$memory_mib" -machine q35,memory-backend=memory
        -object "memory-backend-memfd,id=memory,size=${memory_mib}M,share=on"
        -kernel "$kernel/vmlinuz" -initrd "$run_dir/initramfs.cpio" -append "$(kernel_arguments)"
        -serial "file:$run_dir/console" -device virtio-serial-pci)
    if ((${#command[@]})); then
        : >"$run_dir/output"
        machine+=(-chardev "file,id=output,path=$run_dir/output" -device virtserialport,chardev=output,name=dst.output)
        start qemu-system-x86_64 "${machine[@]}" </dev/null 2>"$run_dir/qemu.log"
        qemu=$started
        # A file between the two: a slow reader never makes the guest wait or lose the end.
        start tail -q -c +1 -f -s 0.1 --pid="$qemu" "$run_dir/output" 2>/dev/null
    else
        terminal=$(stty -g)
        machine+=(-chardev stdio,id=output,signal=off -device virtconsole,chardev=output)
        start qemu-system-x86_64 "${machine[@]}" 2>"$run_dir/qemu.log"
        qemu=$started
    fi
    copier=$started
}

show_console() {
    [[ ! -s $run_dir/qemu.log ]] || sed 's/^/vm.sh: /' "$run_dir/qemu.log" >&2
    [[ -s $run_dir/console ]] || return 0
    say "last lines of the guest's console:"
    tail -n "$1" "$run_dir/console" | tr -d '\r' >&2
}

# Waits for the end of the guest, of the time, or of whoever reads the output.
wait_for_end() {
    local timer=0 first
    local -a awaited=("$qemu")
    if ((timeout_s)); then
        start sleep "$timeout_s"
        timer=$started
        awaited+=("$timer")
    fi
    [[ $copier == "$qemu" ]] || awaited+=("$copier")
    wait -n -p first "${awaited[@]}" || true
    if [[ $first == "$timer" ]]; then
        say "timeout: the command did not end within $timeout_s s, killed"
        show_console 20
        exit "$STATUS_TIMEOUT"
    fi
    if [[ $first == "$copier" && $copier != "$qemu" ]] && kill -0 "$qemu" 2>/dev/null; then
        # 128 + SIGPIPE
        exit 141
    fi
    wait "$qemu" || true
    wait "$copier" || true
}

# One boot, from the machine's parts to its end.
run_guest() {
    local number
    machine=("${disk_options[@]}")
    sockets=()
    rm -f "$run_dir"/*.sock
    share_folder root / always
    share_folder control "$run_dir/control" none
    for number in "${!shares[@]}"; do
        share_folder "share$number" "${shares[$number]}" none
    done
    wait_for_sockets
    start_machine
    wait_for_end
}

check_gate() {
    local pattern found
    pattern=$(IFS='|'; echo "${allowed[*]}")
    found=$(grep -E "$GATE_PATTERN" "$run_dir/control/dmesg" | grep -vE "$pattern" || true)
    [[ -n $found ]] || return 0
    say "the kernel log has lines that the gate does not allow:"
    printf '%s\n' "$found" >&2
    return 1
}

need_packages qemu-system-x86 busybox-static cpio gcc kmod libc6-dev udev util-linux || exit 1
virtiofsd=
find_virtiofsd
kernel=$(kernel_dir "$kernel_prefix")
release=${kernel##*/}
# Socket paths end at 107 characters.
scratch=${TMPDIR:-/tmp}
((${#scratch} <= 70)) || scratch=/tmp
run_dir=$(mktemp -d "$scratch/dst-vm.XXXXXX")
lasting_disks=0
ulimit -n "$(ulimit -Hn)"
disk_options=()
add_disks
write_control
build_initramfs
for ((boot = 1; ; boot++)); do
    run_guest
    [[ ! -s $run_dir/control/status ]] || break
    if [[ -e $run_dir/control/uptime ]]; then
        say "the guest died before the command ended"
    elif ((boot < BOOTS_MAX)); then
        say "the guest died before the command began, booting it again; it said:" \
            "$(grep -s -m 1 -E 'Oops|Kernel panic' "$run_dir/console" | tr -d '\r' || true)"
        end_started 2>/dev/null
        continue
    else
        say "the guest died $BOOTS_MAX times before the command began"
    fi
    show_console 80
    exit "$STATUS_GUEST_DIED"
done
status=$(<"$run_dir/control/status")
if [[ -v DST_VM_VERBOSE ]]; then
    read -r booted _ <"$run_dir/control/uptime"
    say "the command started $booted s after the kernel"
fi
if ((gate)) && ! check_gate && ((status == 0)); then
    status=$STATUS_GATE
fi
exit "$status"
