"""Loads exported state dicts into torchvision's and timm's networks with strict=True, against outputs that seedpipe computed.

    python check_names.py FOLDER LIBRARY

LIBRARY is torchvision or timm. FOLDER/cases.json is a list of {"model", "options", "file", "images", "shape", "logits"};
files of numbers are little-endian f32. Prints one line of JSON a case; exit code 1 when logits differ by more than 1e-4 of the
largest.
"""

import importlib
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file


def read(folder, file, shape):
    return torch.frombuffer(bytearray((folder / file).read_bytes()), dtype=torch.float32).reshape(shape)


def build(library, model, options):
    if library == "timm":
        return importlib.import_module("timm").create_model(model, **options)
    models = importlib.import_module("torchvision").models
    return getattr(models, model)(**options)


def main():
    torch.set_num_threads(1)
    folder, library = Path(sys.argv[1]), sys.argv[2]
    good = True
    for case in json.loads((folder / "cases.json").read_text()):
        network = build(library, case["model"], case["options"]).eval()
        network.load_state_dict(load_file(folder / case["file"]), strict=True)
        images = read(folder, case["images"], case["shape"])
        with torch.no_grad():
            logits = network(images)
        expected = read(folder, case["logits"], logits.shape)
        error = float((logits - expected).abs().max() / expected.abs().max())
        print(json.dumps({"model": case["model"], "error": error}), flush=True)
        good &= error <= 1e-4
    sys.exit(0 if good else 1)


main()
