"""Runs TorchScript files with torch.jit.load, against outputs that seedpipe computed.

    python check_torchscript.py FOLDER

FOLDER/cases.json as for check_onnx.py, plus "state": the names of the state dict. Prints one line of JSON a case.
Exit code 1 when an error is above its case's tolerance, or a name differs.
"""

import json
import sys
from pathlib import Path

import torch


def read(folder, file, shape):
    return torch.frombuffer(bytearray((folder / file).read_bytes()), dtype=torch.float32).reshape(shape)


def check(folder, case):
    extra = {"preprocessing.json": ""}
    network = torch.jit.load(folder / case["file"], _extra_files=extra).eval()
    assert "crop_ratio" in json.loads(extra["preprocessing.json"]), extra
    assert sorted(network.state_dict()) == sorted(case["state"]), (case["name"], list(network.state_dict()))
    images = read(folder, case["images"], case["shape"])
    with torch.no_grad():
        together, alone = network(images), network(images[-1:])
    errors = {}
    for name, output in case["outputs"].items():
        expected = read(folder, output["file"], output["shape"])
        difference = max((together[name] - expected).abs().max(), (alone[name] - expected[-1:]).abs().max())
        errors[name] = float(difference / expected.abs().max())
    return errors


def main():
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    good = True
    for case in json.loads((folder / "cases.json").read_text()):
        errors = check(folder, case)
        print(json.dumps({"name": case["name"], "error": errors}), flush=True)
        good &= all(error <= case["tolerance"] for error in errors.values())
    sys.exit(0 if good else 1)


main()
