#!/usr/bin/env bash
# Makes a Python environment with TensorBoard, which the tests of the trainings' curves read them back by, outside the checkout, unless it
# is there already, and prints the path of its Python.
# Use: SEEDPIPE_TENSORBOARD_PYTHON="$(tests/progress/install_tensorboard.sh)" cargo test --workspace
set -euo pipefail

version=2.21.0
tools="${SEEDPIPE_TOOLS:-${TMPDIR:-/tmp}/seedpipe-tools}"
folder="$tools/tensorboard-$version"
if ! "$folder/bin/python" -c "import tensorboard" 2>/dev/null; then
    python3 -m venv --clear "$folder" >&2
    # TensorBoard imports pkg_resources, which newer versions of setuptools have no more.
    "$folder/bin/pip" install --quiet "tensorboard==$version" "setuptools<81" >&2
fi
echo "$folder/bin/python"
