#!/bin/bash
# Debian's kernels and kernel headers, unpacked into a cache and never installed. To be sourced; run as a program it
# prints a folder:  kernels.sh kernel VERSION  (vmlinuz, overlay.ko, usr/lib/modules)  or  kernels.sh headers [VERSION]
# (usr/include). VERSION is a leading part such as 6.12 or 7. Status 3: not cached, and the archive is out of reach.

# shellcheck source=scripts/lib/packages.sh
source "${BASH_SOURCE[0]%/*}/packages.sh"

readonly KERNEL_FLAVOUR=cloud-amd64
readonly KERNEL_CHECK_DAYS=7
readonly ARCHIVE_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# Where to look for a version, best first: one line a round, tried until one has a match.
suites_for() {
    case $1 in
        6.12 | 6.12.*) echo "trixie trixie-security bookworm-backports" ;;
        *) echo "trixie-backports forky sid" ;;
    esac
    echo "stable stable-security stable-backports testing unstable experimental"
}

# archive_url LABEL: address of the Debian archive with that label, as the machine's own apt has it.
archive_url() {
    local label=$1 path=/debian targets
    [[ $label == Debian-Security ]] && path=/debian-security
    # shellcheck disable=SC2016  # apt's own placeholders
    targets=$(apt-get indextargets --format '$(LABEL)|$(REPO_URI)' 'Created-By: Packages' 2>/dev/null)
    # Before the first apt-get update no label is known, hence the second guess by path.
    awk -F'|' -v label="$label" -v path="$path" '
        { sub("/+$", "", $2) }
        $1 == label { print $2; found = 1; exit }
        !guess && substr($2, length($2) - length(path) + 1) == path { guess = $2 }
        END { if (!found && guess) print guess }' <<<"$targets"
}

# private_apt STATE TOOL ARGS…: apt on lists of its own, so that the machine's lists stay as they are.
private_apt() {
    local state=$1 tool=$2
    shift 2
    "$tool" -o Dir::State="$state" -o Dir::State::lists="$state/lists" -o Dir::State::status=/dev/null \
        -o Dir::Cache="$state/cache" -o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=- \
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts="$state/empty" \
        -o APT::Architecture=amd64 -o APT::Architectures=amd64 -o Acquire::Languages=none \
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o Acquire::Retries=1 \
        -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 \
        -o APT::Sandbox::User="$(id -un)" -o Debug::NoLocking=true "$@"
}

# archive_open STATE SUITE…: fetches the package lists of those suites into a new private state.
archive_open() {
    local state=$1 suite url
    shift
    rm -rf "$state"
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial" "$state/empty"
    : >"$state/sources.list"
    for suite; do
        case $suite in
            *-security) url=$(archive_url Debian-Security) ;;
            *) url=$(archive_url Debian) ;;
        esac
        [[ -n $url ]] && echo "deb [signed-by=$ARCHIVE_KEYRING] $url $suite main" >>"$state/sources.list"
    done
    if ! [[ -s $state/sources.list ]]; then
        say "the apt configuration of this machine names no Debian archive"
        return 1
    fi
    say "reading the package lists of $*"
    # Fails as a whole when one suite does not exist; what counts is whether any list arrived.
    private_apt "$state" apt-get -qq update >"$state/log" 2>&1 </dev/null || true
    compgen -G "$state/lists/*_Packages*" >/dev/null
}

# version_matches VERSION PREFIX: 6.12 matches 6.12.117 but not 6.120.
version_matches() { [[ $1 == "$2" || $1 == "$2"[!0-9]* ]]; }

# Reads versions, prints the newest that matches the prefix.
newest_matching() {
    local prefix=$1 version
    while read -r version; do
        if version_matches "$version" "$prefix"; then printf '%s\n' "$version"; fi
    done | sort -V | tail -n 1
}

# The packages that make up a kernel release; empty when the archive has not all of them.
kernel_packages() {
    local release=$1 names=$2
    if grep -qxF "linux-binary-$release" <<<"$names"; then
        if grep -qxF "linux-modules-$release" <<<"$names"; then
            grep -xF -e "linux-binary-$release" -e "linux-modules-$release" -e "linux-base-$release" <<<"$names"
        fi
    else
        grep -xF "linux-image-$release" <<<"$names"
    fi
}

# Prints the newest release in an opened archive that matches and is complete.
kernel_release_in() {
    local names=$1 prefix=$2 release
    while read -r release; do
        if [[ -n $(kernel_packages "$release" "$names") ]]; then printf '%s\n' "$release"; fi
    done < <(sed -n -E "s/^linux-(image|binary)-([0-9].*-$KERNEL_FLAVOUR)\$/\2/p" <<<"$names" | sort -u) |
        newest_matching "$prefix"
}

# unpack_packages STATE TARGET PACKAGE[=VERSION]…
unpack_packages() {
    local state=$1 target=$2 file
    shift 2
    say "downloading $*"
    mkdir -p "$state/debs" "$target"
    (cd "$state/debs" && private_apt "$state" apt-get -qq download "$@" </dev/null >&2) || return 1
    for file in "$state"/debs/*.deb; do
        dpkg -x "$file" "$target" || return 1
    done
}

# kernel_install STATE NAMES RELEASE: downloads and unpacks into the cache, whole or not at all.
kernel_install() {
    local state=$1 names=$2 release=$3 tree=$1/tree image modules
    local -a packages
    mapfile -t packages < <(kernel_packages "$release" "$names")
    unpack_packages "$state" "$tree" "${packages[@]}" || return 1
    modules=$tree/usr/lib/modules/$release
    if ! [[ -d $modules ]] && [[ -d $tree/lib/modules/$release ]]; then
        mkdir -p "$tree/usr/lib" && mv "$tree/lib/modules" "$tree/usr/lib/modules"
    fi
    for image in "$tree/boot/vmlinuz-$release" "$modules/vmlinuz"; do
        if [[ -f $image ]]; then mv "$image" "$tree/vmlinuz"; fi
    done
    rm -rf "${tree:?}/usr/share"
    chmod 0755 "$tree"
    depmod -b "$tree/usr" "$release" || return 1
    local overlay
    overlay=$(find "$modules" -name 'overlay.ko*' -print -quit)
    case $overlay in
        *.xz) xz -dc "$overlay" ;;
        *.zst) zstd -dcq "$overlay" ;;
        *.gz) gzip -dc "$overlay" ;;
        *.ko) cat "$overlay" ;;
        *) false ;;
    esac >"$tree/overlay.ko" || return 1
    [[ -s $tree/vmlinuz ]] || return 1
    mv -T "$tree" "$KERNELS/$release"
}

headers_install() {
    local state=$1 version=$2
    unpack_packages "$state" "$state/tree" "linux-libc-dev=$version" || return 1
    rm -rf "${state:?}/tree/usr/share"
    [[ -d $state/tree/usr/include/linux ]] || return 1
    chmod 0755 "$state/tree"
    mv -T "$state/tree" "$HEADERS/$version"
}

# refresh KIND PREFIX STATE: brings the newest matching version into the cache. Status: 1 nothing matches or the
# download failed, 3 archive out of reach.
refresh() {
    local kind=$1 prefix=$2 state=$3 reached=0 round version names
    local -a suites
    while read -r round; do
        read -ra suites <<<"$round"
        archive_open "$state" "${suites[@]}" || continue
        reached=1
        if [[ $kind == kernel ]]; then
            names=$(private_apt "$state" apt-cache pkgnames linux-)
            version=$(kernel_release_in "$names" "$prefix")
        else
            version=$(private_apt "$state" apt-cache madison linux-libc-dev | awk '{ print $3 }' |
                newest_matching "$prefix")
        fi
        [[ -n $version ]] || continue
        local cache=$KERNELS
        [[ $kind == headers ]] && cache=$HEADERS
        if ! [[ -d $cache/$version ]]; then
            if [[ $kind == kernel ]]; then
                kernel_install "$state" "$names" "$version"
            else
                headers_install "$state" "$version"
            fi || { say "could not download or unpack $kind $version"; return 1; }
        fi
        touch "$cache/.checked-$kind-$prefix"
        return 0
    done < <(suites_for "$prefix")
    ((reached)) && return 1
    return 3
}

# cached_or_refreshed KIND PREFIX CACHE: prints the folder of the newest cached version that matches; looks for a newer
# one every KERNEL_CHECK_DAYS days, and makes do with the cache when the archive is out of reach.
cached_or_refreshed() {
    local kind=$1 prefix=$2 cache=$3 lock state version status=0
    mkdir -p "$cache" || return 1
    exec {lock}>"$cache/.lock"
    flock "$lock"
    version=$(cached_versions "$cache" | newest_matching "$prefix")
    if [[ -z $version
        || -z $(find "$cache" -maxdepth 1 -name ".checked-$kind-$prefix" -mtime "-$KERNEL_CHECK_DAYS") ]]; then
        rm -rf "$cache"/.fetch.*
        state=$(mktemp -d "$cache/.fetch.XXXXXX")
        # A subshell, since a fetch that is broken off must not leave its folder behind.
        (
            trap 'rm -rf "$state"' EXIT
            trap 'exit 130' INT TERM HUP
            need_packages debian-archive-keyring kmod xz-utils zstd || exit 1
            refresh "$kind" "$prefix" "$state"
        ) || status=$?
        if ((status)) && [[ -n $version ]]; then
            say "could not look for a newer $kind than the cached $version; using that"
            # Asked again in a day, not at every run.
            touch -d "$((KERNEL_CHECK_DAYS - 1)) days ago" "$cache/.checked-$kind-$prefix"
            status=0
        fi
        version=$(cached_versions "$cache" | newest_matching "$prefix")
    fi
    exec {lock}>&-
    case $status in
        0) printf '%s\n' "$cache/$version" ;;
        3) say "the Debian archive is out of reach and no $kind $prefix is cached in $cache" ;;
        130) ;;
        *) say "no $kind $prefix could be had from the Debian archive" ;;
    esac
    return "$status"
}

cached_versions() { find "$1" -mindepth 1 -maxdepth 1 -type d ! -name '.*' -printf '%f\n'; }

KERNELS=$(dst_cache)/kernels
HEADERS=$(dst_cache)/headers

# kernel_dir PREFIX: folder of the newest kernel release that matches, fetched if need be.
kernel_dir() { cached_or_refreshed kernel "$1" "$KERNELS"; }

# headers_dir [PREFIX]: folder of the newest kernel headers that match, fetched if need be.
headers_dir() { cached_or_refreshed headers "${1:-7}" "$HEADERS"; }

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    case "${1:-} $#" in
        "kernel 2") kernel_dir "$2" ;;
        "headers 1" | "headers 2") headers_dir "${2:-7}" ;;
        *)
            echo "usage: kernels.sh kernel VERSION | kernels.sh headers [VERSION]" >&2
            exit 2
            ;;
    esac
fi
