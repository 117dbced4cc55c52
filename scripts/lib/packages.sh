# shellcheck shell=bash
# Debian packages that scripts need on this machine. To be sourced.

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# The folder for whatever may be kept between runs.
dst_cache() { printf '%s' "${DST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dst}"; }

as_root() {
    if ((EUID == 0)); then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "cannot run '$1' as root: neither root nor sudo is at hand"
        return 1
    fi
}

package_installed() {
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -qq \
        install -y --no-install-recommends "$@" </dev/null >&2
}

apt_update() {
    say "refreshing the package lists (apt-get update)"
    as_root apt-get -qq update </dev/null >&2
}

# need_packages PKG…: installs those that are missing, and says so. Safe to call from several scripts at once.
need_packages() {
    local package lock
    local -a missing=()
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        say "this needs a Debian system with apt; install what these Debian packages hold by hand: $*"
        return 1
    fi
    for package; do
        package_installed "$package" || missing+=("$package")
    done
    ((${#missing[@]})) || return 0

    mkdir -p "$(dst_cache)"
    exec {lock}>"$(dst_cache)/packages.lock"
    flock "$lock"
    local -a wanted=("${missing[@]}")
    missing=()
    for package in "${wanted[@]}"; do
        package_installed "$package" || missing+=("$package")
    done
    local status=0
    if ((${#missing[@]})); then
        say "installing Debian packages: ${missing[*]}"
        # Old lists name versions that the archive no longer has, so a failure earns one update.
        if ! apt_install "${missing[@]}" 2>/dev/null; then
            apt_update || status=1
            apt_install "${missing[@]}" && status=0 || status=1
        fi
        ((status == 0)) || say "could not install ${missing[*]}; see the messages of apt-get above"
    fi
    exec {lock}>&-
    return "$status"
}
