"""One exported network in torchvision, torch.jit and onnxruntime on 100 images.

    python predict_alike.py FOLDER IMAGES.parquet

FOLDER holds student.safetensors, student.pt and student.onnx of one `resnet18` with the stem for small images; the Parquet
file has encoded images in a column `image`, as bytes or as {"bytes"}. Prints JSON: {"images", "error": {pair: largest
difference of the logits relative to the largest logit}, "other_predictions": how many classes differ}.
"""

import io
import json
import sys

import numpy
import onnxruntime
import pyarrow.parquet
import safetensors.torch
import torch
import torchvision
from PIL import Image


def pixels(path, preprocessing, count=100):
    column = pyarrow.parquet.read_table(path).column("image")
    side = preprocessing["size"]
    mean, std = (torch.tensor(preprocessing[name]).reshape(3, 1, 1) for name in ("mean", "std"))
    images = []
    for value in column[:count].to_pylist():
        data = value["bytes"] if isinstance(value, dict) else value
        image = Image.open(io.BytesIO(data)).convert("RGB").resize((side, side), Image.BILINEAR)
        values = torch.from_numpy(numpy.asarray(image, dtype="float32").copy()).permute(2, 0, 1) / 255
        images.append((values - mean) / std)
    return torch.stack(images)


def main():
    folder, images = sys.argv[1:]
    torch.set_num_threads(1)
    extra = {"preprocessing.json": ""}
    script = torch.jit.load(f"{folder}/student.pt", _extra_files=extra).eval()
    seen = pixels(images, json.loads(extra["preprocessing.json"]))

    state = safetensors.torch.load_file(f"{folder}/student.safetensors")
    network = torchvision.models.resnet18(num_classes=len(state["fc.bias"]))
    network.conv1, network.maxpool = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False), torch.nn.Identity()
    network.load_state_dict(state, strict=True)
    session = onnxruntime.InferenceSession(f"{folder}/student.onnx", providers=["CPUExecutionProvider"])
    with torch.no_grad():
        logits = {
            "torchvision": network.eval()(seen).numpy(),
            "torch.jit": script(seen)["logits"].numpy(),
            "onnxruntime": session.run(["logits"], {"images": seen.numpy()})[0],
        }
    reference = logits["torchvision"]
    error, other = {}, 0
    for name, values in logits.items():
        error[name] = float(numpy.abs(values - reference).max() / numpy.abs(reference).max())
        other += int((values.argmax(1) != reference.argmax(1)).sum())
    print(json.dumps({"images": len(seen), "error": error, "other_predictions": other}))


main()
