#!/usr/bin/env bash
# Fetches CIFAR-10's test images outside the checkout, unless they are there already, and prints their folder.
# Use: SEEDPIPE_CIFAR10="$(tests/real_weights/fetch_test_images.sh)" cargo test --workspace
set -euo pipefail

tools="${SEEDPIPE_TOOLS:-${TMPDIR:-/tmp}/seedpipe-tools}"
folder="$tools/cifar10-test"
mkdir -p "$tools"
python3 "$(dirname "$0")/../../data/fetch_cifar10.py" "$folder" --test >&2
echo "$folder"
