"""Checks ONNX files with onnx's own checker and runs them in onnxruntime, against outputs that seedpipe computed.

    python check_onnx.py FOLDER

FOLDER/cases.json lists the cases: {"name", "file", "images", "shape", "outputs": {name: {"file", "shape"}}, "tolerance"};
tensors are raw little-endian f32. Prints one line of JSON a case: {"name", "error": {output: relative to the largest value}};
of a case with "norm", the norm of the difference relative to that of the output.
Exit code 1 when an error is above its case's tolerance.
"""

import json
import sys
from pathlib import Path

import numpy
import onnx
import onnxruntime


def read(folder, file, shape):
    return numpy.fromfile(folder / file, dtype="<f4").reshape(shape)


def check(folder, case):
    path = str(folder / case["file"])
    onnx.checker.check_model(path, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    # Without VNNI, onnxruntime adds products of 8 bits in 16, which overflow, unless it is told not to.
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    images = read(folder, case["images"], case["shape"])
    errors = {}
    for name, output in case["outputs"].items():
        expected = read(folder, output["file"], output["shape"])
        # All at once, and the last image alone: the batch is free.
        together = session.run([name], {"images": images})[0]
        alone = session.run([name], {"images": images[-1:]})[0]
        assert together.shape == expected.shape, (case["name"], name, together.shape, expected.shape)
        size = numpy.linalg.norm if case["norm"] else (lambda values: numpy.abs(values).max())
        difference = max(size(together - expected), size(alone - expected[-1:]))
        errors[name] = float(difference / size(expected))
    return errors


def main():
    folder = Path(sys.argv[1])
    good = True
    for case in json.loads((folder / "cases.json").read_text()):
        errors = check(folder, case)
        print(json.dumps({"name": case["name"], "error": errors}), flush=True)
        good &= all(error <= case["tolerance"] for error in errors.values())
    sys.exit(0 if good else 1)


main()
