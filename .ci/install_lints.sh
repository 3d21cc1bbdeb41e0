#!/usr/bin/env bash
# Installs cargo-deny, cargo-shear and typos outside the checkout, unless they are there already, and prints the folder of their
# programs. They come from PyPI and are built already.
set -euo pipefail

list="$(cd "$(dirname "$0")" && pwd)/lints.txt"
tools="${SEEDPIPE_TOOLS:-${TMPDIR:-/tmp}/seedpipe-tools}"
# Another list is another folder.
folder="$tools/lints-$(sha256sum "$list" | cut -c1-12)"
if [ ! -e "$folder/complete" ]; then
    python3 -m venv --clear "$folder" >&2
    "$folder/bin/pip" install --quiet --no-deps --only-binary=:all: --require-hashes --requirement "$list" >&2
    touch "$folder/complete"
fi
echo "$folder/bin"
