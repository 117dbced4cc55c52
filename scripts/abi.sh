#!/bin/bash
# Prints sizes, offsets and values of every kernel name that Dst.Interop mirrors, as the newest kernel headers at hand
# have them (see native/abi_probe.c). Names that those headers lack are printed as "absent".
#
#   scripts/abi.sh            print
#   scripts/abi.sh --update   write them into the table that the tests compare with; after adding names to the probe
#   scripts/abi.sh --system   print what the headers installed on this machine say
set -euo pipefail

ROOT=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
readonly ROOT
readonly PROBE=$ROOT/native/abi_probe.c
readonly TABLE=$ROOT/tests/Dst.Interop.Tests/abi-table.txt
# Each round takes out all names that one compilation calls unknown; a second finds what they hid.
readonly MAX_ROUNDS=5

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# Prints the folder of the newest headers: fetched or cached; nothing where only the system's are to be had.
newest_headers() {
  local cache=${DST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dst}/headers directory=
  if [[ -f $ROOT/scripts/lib/kernels.sh ]]; then
    directory=$(bash "$ROOT/scripts/lib/kernels.sh" headers) || directory=
  fi
  if [[ -z $directory && -d $cache ]]; then
    directory=$(find "$cache" -mindepth 1 -maxdepth 1 -type d ! -name '.*' | sort -V | tail -n 1)
  fi
  if [[ -n $directory ]]; then
    printf '%s\n' "$directory"
  else
    say "no newer kernel headers could be had; using those installed on this machine"
  fi
}

# run_probe HEADERS FLAG…: compiles one half of the probe and runs it; an empty HEADERS means the system's.
run_probe() {
  local headers=$1 round lines
  shift
  local -a include=()
  local source=$WORK/probe.c
  [[ -n $headers ]] &&
    include=(-isystem "$headers/usr/include" -isystem "$headers/usr/include/$(uname -m)-linux-gnu")
  cp "$PROBE" "$source"
  for ((round = 0; round < MAX_ROUNDS; round++)); do
    if LC_ALL=C "${CC:-cc}" -w -O0 -ftrack-macro-expansion=0 "$@" "${include[@]}" -o "$WORK/probe" "$source" \
      2>"$WORK/errors"; then
      "$WORK/probe"
      return
    fi
    lines=$(sed -nE 's/^[^:]*probe\.c:([0-9]+):.*error:.*/\1/p' "$WORK/errors" | sort -nu)
    # Only an entry may be unknown; anything else wrong with the probe is an error.
    for line in $lines; do
      if ! sed -n "${line}p" "$source" | grep -qE '^ +(CONSTANT|STRUCTURE|MEMBER)\('; then
        lines=
        break
      fi
      sed -i -E "${line}s/^( +)(CONSTANT|STRUCTURE|MEMBER)/\1ABSENT_\2/" "$source"
    done
    [[ -n $lines ]] || break
  done
  cat "$WORK/errors" >&2
  say "cannot compile $PROBE"
  return 1
}

table() {
  run_probe "$1"
  run_probe "$1" -DABI_OF_LIBC
}

update() {
  local headers=$1
  if [[ -z $headers ]]; then
    say "the table is made from the newest headers only, and there are none"
    return 1
  fi
  table "$headers" >"$WORK/table"
  if grep ' absent$' "$WORK/table" >&2; then
    say "the names above are in the probe but not in the headers; the table is left as it was"
    return 1
  fi
  {
    echo "# What Dst.Interop must agree with, on x86-64. Written by scripts/abi.sh --update, not by hand."
    echo "# A fourth column would name the first kernel that has a name newer than the version below."
    cat "$WORK/table"
  } >"$WORK/table.new"
  cp "$WORK/table.new" "$TABLE"
}

command -v "${CC:-cc}" >/dev/null || { say "no C compiler: install the Debian package gcc, or set CC"; exit 1; }
WORK=$(mktemp -d)
readonly WORK
trap 'rm -rf "$WORK"' EXIT

case "$*" in
  "") table "$(newest_headers)" ;;
  --update) update "$(newest_headers)" ;;
  --system) table "" ;;
  *)
    echo "usage: scripts/abi.sh [--update | --system]" >&2
    exit 2
    ;;
esac
