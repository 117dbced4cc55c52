# shellcheck shell=bash
# What building needs: the .NET SDK and a C compiler as linker. To be sourced after packages.sh.

need_toolchain() {
    if ! command -v dotnet >/dev/null; then
        say "the .NET 10 SDK is missing and Debian has no package of it: install it from https://dot.net," \
            "then run this again"
        return 1
    fi
    need_packages gcc libc6-dev || return
    export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 TESTINGPLATFORM_TELEMETRY_OPTOUT=1
}
