"""Artifacts as what they are: Parquet files, in the order of their names."""

import io

import numpy
import pyarrow
import pyarrow.parquet
import torch
from PIL import Image

DTYPES = {"f32": numpy.float32, "i64": numpy.int64}


def table(parts):
    return pyarrow.concat_tables([pyarrow.parquet.read_table(part) for part in sorted(parts)])


def images(parts):
    """`image_id`: row of the images, with the pixels as `picture`. The encoded bytes may lie in files of their own."""
    of_bytes, of_rows = {}, []
    for part in sorted(parts):
        rows = pyarrow.parquet.read_table(part).to_pylist()
        of_bytes.update((row["digest"], row["bytes"]) for row in rows if row.get("bytes"))
        of_rows += [row for row in rows if "image_id" in row]
    for row in of_rows:
        row["picture"] = Image.open(io.BytesIO(of_bytes[row["digest"]])).convert("RGB")
    return {row["image_id"]: row for row in of_rows}


def views(parts):
    """`views[view][position]`: a row of the views of the image at that position."""
    by_view = {}
    for row in table(parts).to_pylist():
        by_view.setdefault(row["view"], []).append(row)
    return [by_view[view] for view in sorted(by_view)]


def embeddings(parts):
    """`[rows, D]` in f32, as they were stored."""
    column = table(parts)["embedding"].combine_chunks()
    values = column.flatten().to_numpy(zero_copy_only=False).astype(numpy.float32)
    return torch.from_numpy(values.reshape(len(column), -1))


def weights(parts):
    """A network's state dict."""
    state = {}
    for row in table(parts).to_pylist():
        values = numpy.frombuffer(row["data"], DTYPES[row["dtype"]]).reshape(row["shape"])
        state[row["name"]] = torch.from_numpy(values.copy())
    return state
