#!/usr/bin/env bash
# Installs the S3 server that the remote's tests talk to (crate `s3s-fs`), outside the checkout, unless it is there already,
# and prints its path. Use: SEEDPIPE_S3_SERVER="$(tests/remote/install_s3_server.sh)" cargo test
set -euo pipefail

# The newest version that builds with the Rust of this project; later ones need 1.96.
version=0.14.1
tools="${SEEDPIPE_TOOLS:-${TMPDIR:-/tmp}/seedpipe-tools}"
program="$tools/s3s-fs-$version/bin/s3s-fs"
if [ ! -x "$program" ]; then
    # No libtorch and no flags of the checkout's own .cargo: cargo install is run from elsewhere.
    mkdir -p "$tools"
    (cd "$tools" && env -u CARGO_TARGET_DIR cargo install s3s-fs --version "$version" --features binary --locked --quiet --root "$tools/s3s-fs-$version") >&2
fi
echo "$program"
