#!/usr/bin/env python3
"""Writes tests/fixtures/events.tfevents with TensorBoard's own record writer and messages (pip install tensorboard).

    python3 tests/reference/tensorboard_events.py tests/fixtures/events.tfevents
"""

import sys

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

LOSS = ("train/loss", 2.345678901234)
LEARNING_RATE = ("train/learning_rate", 0.03)
SPEED = ("step/images_per_second", 1234.5)


def scalars(wall_time, step, *values):
    values = [Summary.Value(tag=tag, simple_value=value) for tag, value in values]
    return Event(wall_time=wall_time, step=step, summary=Summary(value=values))


events = [
    Event(wall_time=1700000000.25, file_version="brain.Event:2"),
    Event(wall_time=1700000000.5, step=129, session_log=SessionLog(status=SessionLog.START)),
    scalars(1700000001.0, 129, LOSS, LEARNING_RATE, SPEED),
    scalars(1700000002.0, 0, LOSS),
    scalars(1700000003.0, 300_000_000_000, LEARNING_RATE),
]

with open(sys.argv[1], "wb") as file:
    writer = RecordWriter(file)
    for event in events:
        writer.write(event.SerializeToString(deterministic=True))
    writer.flush()
