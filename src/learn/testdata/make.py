#!/usr/bin/env python3
"""Writes the small checkpoint files of this folder; needs torch 2.x. Run inside the folder.

`nested_*` hold every dtype and container that is read; `odd_*` what trainers keep beside tensors, and tensors that share or
repeat numbers; `module_*` a whole module; `malicious_*` would run a command if a pickle's code were executed.
"""

import argparse
import os
import pathlib
import pickle
from collections import Counter, OrderedDict, defaultdict

import numpy
import torch


class Command:
    def __reduce__(self):
        return os.system, ("touch /tmp/seedpipe-pickle-was-executed",)


class Own(OrderedDict):
    pass


class Listed(list):
    pass


def write(name: str, value: object) -> None:
    torch.save(value, f"{name}_zip.pt")
    torch.save(value, f"{name}_legacy.pt", _use_new_zipfile_serialization=False)
    if name == "nested":
        torch.save(value, f"{name}_legacy_protocol4.pt", pickle_protocol=4, _use_new_zipfile_serialization=False)


def main() -> None:
    numbers = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    state = OrderedDict()
    state["module.f32"] = numbers
    state["module.transposed"] = numbers.t()
    state["module.row"] = numbers[1]
    state["module.parameter"] = torch.nn.Parameter(torch.tensor([0.5, -0.5]))
    state["module.f64"] = torch.tensor([[1e-300]], dtype=torch.float64)
    state["module.f16"] = torch.tensor([1.5, -2.0], dtype=torch.float16)
    state["module.bf16"] = torch.tensor([1.5, -2.0], dtype=torch.bfloat16)
    state["module.i64"] = torch.tensor(-7)
    state["module.i32"] = torch.tensor([3], dtype=torch.int32)
    state["module.u8"] = torch.tensor([0, 255], dtype=torch.uint8)
    state["module.bool"] = torch.tensor([True, False])
    state["module.empty"] = torch.zeros(0, 3)
    state._metadata = OrderedDict({"": {"version": 1}})
    write(
        "nested",
        {
            "epoch": 3,
            "best": 0.5,
            "large": 1 << 80,
            "arch": "r\u00e9snet",
            "none": None,
            "shape": torch.Size([2, 3]),
            "dtype": torch.float32,
            "device": torch.device("cpu"),
            "state_dict": state,
            "optimizer": {"state": {0: {"momentum_buffer": torch.ones(2)}}, "groups": [{"params": (0, 1)}]},
            "list": [torch.zeros(1), (torch.ones(1),)],
        },
    )
    shared = torch.arange(4, dtype=torch.float32)
    write(
        "odd",
        {
            "state_dict": Own(expanded=torch.tensor([0.5]).expand(3, 2), tied=shared, other=shared),
            "lr_schedulers": [{"milestones": Counter({3: 1}), "gamma": numpy.float64(0.1)}],
            "found": defaultdict(list, {"a": [torch.ones(1)]}),
            "args": argparse.Namespace(lr=0.1, output=pathlib.PurePosixPath("out")),
            "kind": Listed([torch.zeros(2)]),
            "activation": torch.nn.functional.relu,
            "array": numpy.zeros(2),
        },
    )
    module = torch.nn.Sequential(OrderedDict(conv=torch.nn.Conv2d(3, 2, 1), bn=torch.nn.BatchNorm2d(2)))
    write("module", module)
    write("malicious", {"state_dict": state, "extra": Command()})
    with open("malicious_plain.pkl", "wb") as file:
        pickle.dump(Command(), file, protocol=4)


if __name__ == "__main__":
    main()
