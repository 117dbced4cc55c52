#!/usr/bin/env bash
# Builds the native binaries of DST into artifacts/bin. `publish.sh NAME…` builds only those named (dstd, dst-target,
# dst-server, dstctl; dst-sim only by name).
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib/packages.sh
. "$repository/scripts/lib/packages.sh"
# shellcheck source=scripts/lib/toolchain.sh
. "$repository/scripts/lib/toolchain.sh"
need_toolchain

declare -A projects=(
    [dst-target]=Dst.Target [dst-server]=Dst.Server [dstd]=Dst.Daemon [dstctl]=Dst.Cli [dst-sim]=Dst.Sim
)
names=("$@")
[ ${#names[@]} -gt 0 ] || names=(dst-target dst-server dstd dstctl)
output="$repository/artifacts/bin"
mkdir -p "$output"

for name in "${names[@]}"; do
    project=${projects[$name]:-}
    [ -n "$project" ] || { echo "publish.sh: no program is called $name; there are: ${!projects[*]}" >&2; exit 2; }
    echo "publish: $name"
    dotnet publish "$repository/src/$project" -c Release -r linux-x64 -o "$repository/artifacts/publish/$name" \
        -v quiet --nologo -p:UseSharedCompilation=true -p:RunAnalyzers=false
    install -m 755 "$repository/artifacts/publish/$name/$name" "$output/.$name.new"
    mv "$output/.$name.new" "$output/$name"
done
# shellcheck disable=SC2012 # the names are ours
ls -l "$output" | awk 'NR > 1 { printf "  %-12s %6.1f MiB\n", $9, $5 / 1048576 }'
