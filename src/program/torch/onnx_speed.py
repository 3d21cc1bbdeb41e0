"""Images a second of ONNX files in onnxruntime on one thread, in turns, so that another load meets them alike.

    python onnx_speed.py FILE.onnx... [--batch N] [--seconds S] [--json]

Prints one line a file: name, images a second (median of the turns), relative to the first file; or one line of JSON.
Exit code 3 when onnxruntime or numpy is missing.
"""

import argparse
import json
import statistics
import sys
import time

try:
    import numpy
    import onnxruntime
except ImportError as error:
    print(error, file=sys.stderr)
    sys.exit(3)


def measure(files, batch, seconds):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = [
        onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        for file in files
    ]
    _, *shape = sessions[0].get_inputs()[0].shape
    images = numpy.random.default_rng(0).normal(size=(batch, *shape)).astype("float32")
    rates = [[] for _ in sessions]
    for session in sessions:
        session.run(["features"], {"images": images})
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for session, found in zip(sessions, rates):
            begun = time.perf_counter()
            session.run(["features"], {"images": images})
            found.append(len(images) / (time.perf_counter() - begun))
    return [statistics.median(found) for found in rates]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rates = measure(arguments.files, arguments.batch, arguments.seconds)
    if arguments.json:
        report = {"onnxruntime": onnxruntime.__version__, "batch": arguments.batch, "images_per_second": rates}
        print(json.dumps(report))
        return
    for file, rate in zip(arguments.files, rates):
        print(f"{file}  {rate:.1f} images/s  {rate / rates[0]:.2f} x")


main()
