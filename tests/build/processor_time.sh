#!/usr/bin/env bash
# What a cold build of both programs costs, crate by crate, in processor seconds of rustc: other work on the machine changes
# them little. Prints the sums and the dearest crates; docs/build.md has a table of it.
#
#     tests/build/processor_time.sh [TARGET_FOLDER]      an empty folder, else a temporary one
set -euo pipefail

if [ "${SEEDPIPE_BUILD_LOG:-}" ] && [ "${1:-}" != "${1#*rustc}" ]; then
    # As cargo's wrapper: rustc with all its arguments, its time noted under the crate's name.
    name=-
    for ((place = 1; place < $#; place++)); do
        if [ "${!place}" = --crate-name ]; then
            next=$((place + 1))
            name="${!next}"
        fi
    done
    TIMEFORMAT="%U %S $name"
    code=0
    { time "$@" 2>&3; } 3>&2 2>"$SEEDPIPE_BUILD_LOG.$$" || code=$?
    tail -n 1 "$SEEDPIPE_BUILD_LOG.$$" >>"$SEEDPIPE_BUILD_LOG"
    rm -f "$SEEDPIPE_BUILD_LOG.$$"
    exit "$code"
fi

here="$(realpath "$0")"
cd "$(dirname "$here")/../.."
log="$(mktemp)"
folder="${1:-$(mktemp -d)}"
TIMEFORMAT="all processes: %U s in user mode, %S s in the kernel, %R s of wall time"
time SEEDPIPE_BUILD_LOG="$log" RUSTC_WRAPPER="$here" CARGO_TARGET_DIR="$folder" cargo build --quiet --bins
awk '{ sum += $1 + $2; of[$3] += $1 + $2 }
     END { printf "rustc: %.0f s\n", sum; for (crate in of) printf "%8.1f  %s\n", of[crate], crate | "sort -rn | head -n 40" }' "$log"
rm -f "$log"
