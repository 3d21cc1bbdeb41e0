"""Prints the scalars of all event files below a folder, as TensorBoard reads them: {run: {tag: [[step, value], …]}}."""

import json
import sys

from tensorboard.backend.event_processing import data_provider  # noqa: F401  (fails where tensorboard is not whole)
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.util import tensor_util

multiplexer = EventMultiplexer(tensor_size_guidance={"scalars": 0})
multiplexer.AddRunsFromDirectory(sys.argv[1])
multiplexer.Reload()
curves = {}
for run, found in multiplexer.Runs().items():
    curves[run] = {}
    for tag in found["tensors"]:
        events = multiplexer.Tensors(run, tag)
        curves[run][tag] = [[event.step, float(tensor_util.make_ndarray(event.tensor_proto))] for event in events]
print(json.dumps(curves))
