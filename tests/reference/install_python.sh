#!/usr/bin/env bash
# Makes a Python environment with PyTorch, torchvision, timm, onnxruntime, pandas and the rest of requirements.txt, which exported files are
# loaded by and compared with, outside the checkout, unless it is there already, and prints the path of its Python. 4 GB.
# Use: SEEDPIPE_PYTHON="$(tests/reference/install_python.sh)" cargo test --workspace
set -euo pipefail

requirements="$(cd "$(dirname "$0")" && pwd)/requirements.txt"
tools="${SEEDPIPE_TOOLS:-${TMPDIR:-/tmp}/seedpipe-tools}"
# Another list of packages is another environment.
folder="$tools/reference-$(sha256sum "$requirements" | cut -c1-12)"
if [ ! -e "$folder/complete" ]; then
    python3 -m venv --clear "$folder" >&2
    # Nothing is compiled beforehand: most of it is never imported.
    "$folder/bin/pip" install --quiet --no-deps --no-compile --only-binary=:all: --requirement "$requirements" >&2
    "$folder/bin/python" -c "import torch, torchvision, timm, onnx, onnxruntime, pandas, polars, pyarrow, safetensors.torch, efficientnet_lite_pytorch" >&2
    touch "$folder/complete"
fi
echo "$folder/bin/python"
