#!/usr/bin/env bash
# Checks and measures `seedpipe` on a machine with a GPU, beside PyTorch, in at most 8 minutes; README.md tells the rest.
#
#   tests/gpu/check.sh                 the whole check: an H200 or alike, 16 cores, PyTorch 2.11 in python3, no network
#   SIZE=tiny tests/gpu/check.sh       the same ways on a CPU, in a minute or two
#
# SEEDPIPE_BIN: the folder of `seedpipe` and `seedpipe-torch`, or of both as .xz (default: where cargo puts them). OUT: where results and logs go (default:
# target/gpu). SEEDPIPE_PYTHON: the Python with PyTorch (default: python3). Exit code 0: what must hold holds; 1: it does not; 2: it
# could not begin.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)

size="${SIZE:-full}"
[[ "${1:-}" == --tiny ]] && size=tiny
python="${SEEDPIPE_PYTHON:-python3}"
programs="${SEEDPIPE_BIN:-${CARGO_TARGET_DIR:-$repository/target}/debug}"
out="${OUT:-$repository/target/gpu}"

if ! command -v "$python" >/dev/null; then
    echo "error: \`$python\` is missing" >&2
    echo "hint: name a Python 3.10 or newer in SEEDPIPE_PYTHON" >&2
    exit 2
fi
mkdir -p "$out"
# Programs may have been carried here as .xz.
if [[ ! -e "$programs/seedpipe-torch" && -e "$programs/seedpipe-torch.xz" ]]; then
    unpacked=$(mktemp -d)
    trap 'rm -rf "$unpacked"' EXIT
    for program in seedpipe seedpipe-torch; do
        "$python" -c "import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), open(sys.argv[2], 'wb'))" \
            "$programs/$program.xz" "$unpacked/$program"
        chmod +x "$unpacked/$program"
    done
    programs="$unpacked"
fi
for program in seedpipe seedpipe-torch; do
    if [[ ! -x "$programs/$program" ]]; then
        echo "error: \`$programs/$program\` is missing" >&2
        echo "hint: run \`cargo build --bins\`, or name the folder of the programs in SEEDPIPE_BIN" >&2
        exit 2
    fi
done
# The parts have limits of their own; this one is for a part that doesn't keep to it.
limit=480
[[ "$size" == tiny ]] && limit=600
timeout --kill-after=5 "$limit" \
    "$python" "$here/check.py" --size "$size" --programs "$programs" --out "$out" --repository "$repository"
