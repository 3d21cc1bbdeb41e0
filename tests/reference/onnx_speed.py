"""Images a second of ONNX files in onnxruntime on one thread, in turns, so that another load meets them alike.

    python onnx_speed.py FILE.onnx... [--batch N] [--seconds S]

Prints one line a file: name, images a second (median of the turns), relative to the first file.
"""

import argparse
import statistics
import time

import numpy
import onnxruntime


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10)
    arguments = parser.parse_args()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = [
        onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        for file in arguments.files
    ]
    _, *shape = sessions[0].get_inputs()[0].shape
    images = numpy.random.default_rng(0).normal(size=(arguments.batch, *shape)).astype("float32")
    rates = [[] for _ in sessions]
    for session in sessions:
        session.run(["features"], {"images": images})
    end = time.perf_counter() + arguments.seconds
    while time.perf_counter() < end:
        for session, found in zip(sessions, rates):
            begun = time.perf_counter()
            session.run(["features"], {"images": images})
            found.append(len(images) / (time.perf_counter() - begun))
    first = statistics.median(rates[0])
    for file, found in zip(arguments.files, rates):
        rate = statistics.median(found)
        print(f"{file}  {rate:.1f} images/s  {rate / first:.2f} x")


main()
