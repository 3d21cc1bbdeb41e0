#!/usr/bin/env python3
"""Checkpoints as other projects write them, from formula weights; needs what models.py needs. Writes under src/learn/testdata:

- layouts/: small files by `torch.save` and safetensors, of a ResNet-18 of width 1/32 as MoCo, SimCLR, SwAV and DDP store it, one in
  shards, and a TorchScript file;
- reference_layouts.json: names and shapes of timm's, torchvision's, DINO's and DINOv2's state dicts, with the features that
  the reference code computes when every tensor is the formula's of that name.
"""

import json
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from models import (  # noqa: E402
    SALT, DinoTransformer, classifier, formula, nn, torch, torchvision, torchvision_transformer, units,
)
import numpy as np  # noqa: E402
from torchvision.models.resnet import BasicBlock, ResNet  # noqa: E402

TESTDATA = Path(__file__).resolve().parents[2] / "src/learn/testdata"
WIDTH = 2


class Narrow(ResNet):
    """ResNet-18 with 2 channels in place of 64."""

    def __init__(self, head: nn.Module):
        super().__init__(BasicBlock, [2, 2, 2, 2])
        self.inplanes = WIDTH
        self.conv1 = nn.Conv2d(3, WIDTH, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTH)
        for stage in range(4):
            setattr(self, f"layer{stage + 1}", self._make_layer(BasicBlock, WIDTH << stage, 2, 1 if stage == 0 else 2))
        self.fc = head


def head(norm: bool) -> nn.Module:
    features = 8 * WIDTH
    middle = [nn.BatchNorm1d(16)] if norm else []
    return nn.Sequential(nn.Linear(features, 16), *middle, nn.ReLU(), nn.Linear(16, 8))


def filled(network: nn.Module) -> dict:
    return {name: formula(name, tuple(tensor.shape)) for name, tensor in network.state_dict().items()}


def under(prefix: str, state: dict) -> dict:
    return {prefix + name: tensor for name, tensor in state.items()}


def files() -> None:
    from safetensors.torch import save_file

    folder = TESTDATA / "layouts"
    folder.mkdir(exist_ok=True)

    def save(name: str, value: object, legacy: bool = False) -> None:
        torch.save(value, folder / name, _use_new_zipfile_serialization=not legacy)

    linear, deep, normed = (filled(Narrow(h)) for h in (nn.Linear(8 * WIDTH, 8), head(False), head(True)))
    backbone = {name: tensor for name, tensor in linear.items() if not name.startswith("fc.")}
    momentum = {0: {"momentum_buffer": torch.ones(3)}}
    queue = {"module.queue": torch.zeros(8, 4), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
    for name, state in (("moco_v1", linear), ("moco_v2", deep)):
        both = {**under("module.encoder_q.", state), **under("module.encoder_k.", state), **queue}
        save(f"{name}.pth.tar", {"epoch": 200, "arch": "resnet18", "state_dict": both, "optimizer": {"state": momentum}}, True)
    save("simclr.pth", {"model": under("module.module.module.", normed), "epoch": 1})
    swav = {name.replace("fc.", "projection_head."): tensor for name, tensor in normed.items()}
    save("swav.pth.tar", under("module.", {**swav, "prototypes.weight": torch.zeros(30, 8)}))
    save("ddp.pth", under("module.", linear))
    save("dino_resnet.pth", {
        "student": {**under("module.backbone.", {k: torch.zeros_like(v) for k, v in backbone.items()}), "module.head.mlp.0.weight": torch.zeros(2, 2)},
        "teacher": {**under("backbone.", backbone), "head.mlp.0.weight": torch.zeros(2, 2), "head.last_layer.weight_v": torch.zeros(2, 2)},
        "dino_loss": {"center": torch.zeros(1, 4)},
        "epoch": 3,
    })
    names = sorted(linear)
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for name, part in shards.items():
        save_file({key: linear[key].contiguous() for key in part}, folder / name)
    index = {"metadata": {"total_size": 0}, "weight_map": {key: name for name, part in shards.items() for key in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")
    network = Narrow(nn.Linear(8 * WIDTH, 8)).eval()
    network.load_state_dict(linear)
    network.fc = nn.Identity()
    torch.jit.trace(network, torch.zeros(2, 3, 32, 32)).save(folder / "backbone.torchscript.pt")
    images = torch.from_numpy(units("input.2x3x32x32", 2 * 3 * 32 * 32).astype(np.float32)).reshape(2, 3, 32, 32)
    with torch.no_grad():
        features = network(images)
    save_file({"features": features.contiguous()}, folder / "features.safetensors")


def timm_dinov2() -> nn.Module:
    import timm

    return timm.create_model("vit_small_patch14_reg4_dinov2", num_classes=0, dynamic_img_size=True)


def timm_network(name: str):
    import timm

    return lambda: timm.create_model(name)


NAMED = [
    # Our architecture, the reference, the input's side, what our reader must say.
    ("resnet18", timm_network("resnet18"), 64, "plain names"),
    ("mobilenet_v2", timm_network("mobilenetv2_100"), 64, "timm's names"),
    ("mobilenet_v3_large", timm_network("mobilenetv3_large_100"), 64, "timm's names"),
    ("mobilenet_v3_small", timm_network("mobilenetv3_small_100"), 64, "timm's names"),
    ("efficientnet_b0", timm_network("efficientnet_b0"), 64, "timm's names"),
    ("efficientnet_b2", timm_network("efficientnet_b2"), 64, "timm's names"),
    ("efficientnet_lite0", timm_network("tf_efficientnet_lite0"), 64, "tf_efficientnet_lite"),
    ("efficientnet_lite2", timm_network("tf_efficientnet_lite2"), 65, "tf_efficientnet_lite"),
    ("vit_t_16", timm_network("vit_tiny_patch16_224"), 224, "DINO's and timm's names"),
    ("vit_t_16", lambda: DinoTransformer(3, 16, 224, False, 0), 224, "DINO's and timm's names"),
    ("dino_vitt16", lambda: torchvision_transformer(3, 16), 224, "torchvision's names"),
    ("dinov2_vits14_reg", timm_dinov2, 518, "timm's names"),
]


def named() -> list:
    cases = []
    for architecture, build, side, layout in NAMED:
        network = build().eval()
        shape = (2, 3, side, side) if side < 500 else (1, 3, side, side)
        weights = {name: formula(name, tuple(tensor.shape)) for name, tensor in network.state_dict().items()}
        network.load_state_dict(weights)
        images = torch.from_numpy(units("input." + "x".join(map(str, shape)), math.prod(shape)).astype(np.float32)).reshape(shape)
        with torch.no_grad():
            # timm's MobileNetV3 calls something else features: its logits are compared.
            output = network(images)
        cases.append({
            "architecture": architecture,
            "layout": layout,
            "tensors": {name: list(tensor.shape) for name, tensor in weights.items()},
            "input": list(shape),
            "classes": 0 if architecture.startswith("dinov2") else output.shape[1],
            "output_first8": [[float(number) for number in row[:8]] for row in output],
            "output_norm": [float(row.double().norm()) for row in output],
        })
        print(architecture, layout, flush=True)
    return cases


def main() -> None:
    files()
    result = {"formula_salt": SALT, "cases": named()}
    (TESTDATA / "reference_layouts.json").write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
