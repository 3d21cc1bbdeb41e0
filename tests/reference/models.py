#!/usr/bin/env python3
"""Golden values of the networks that tests/fixtures/models.json does not hold, from reference code in PyTorch.

Needs torch 2.11, torchvision 0.26, timm 1.0 and efficientnet-lite-pytorch 0.1. Writes src/learn/testdata/reference_models.json:
parameter count, a CRC of the state dict's names and shapes, and features and logits under formula weights
(tests/fixtures/README.md). Networks with more than 200 million parameters are counted, not run.
"""

import json
import math
import os
import sys
import zlib
from functools import partial
from pathlib import Path

if hasattr(os, "RTLD_LAZY"):
    sys.setdlopenflags(os.RTLD_LAZY)

import numpy as np
import torch
import torchvision
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.models.vision_transformer import VisionTransformer as TorchvisionTransformer
from torchvision.models.vision_transformer import interpolate_embeddings

SALT = 11
OUTPUT = Path(__file__).resolve().parents[2] / "src/learn/testdata/reference_models.json"


def units(name: str, count: int) -> np.ndarray:
    with np.errstate(over="ignore"):
        z = np.arange(count, dtype=np.uint64) + np.uint64((zlib.crc32(name.encode()) << 32) + (SALT << 24))
        z += np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return 2.0 * (z >> np.uint64(11)).astype(np.float64) / 2.0**53 - 1.0


def formula(name: str, shape: tuple) -> torch.Tensor:
    last = name.rsplit(".", 1)[-1]
    if last == "num_batches_tracked":
        return torch.tensor(0)
    u = units(name, math.prod(shape))
    if last == "running_var":
        values = 1 + 0.3 * u
    elif last == "running_mean":
        values = 0.1 * u
    elif last == "bias":
        values = 0.05 * u
    elif len(shape) == 1:
        values = 1 + 0.1 * u
    else:
        values = u * math.sqrt(6 / math.prod(shape[1:]))
    return torch.from_numpy(values.astype(np.float32)).reshape(shape)


def swav(widen: int) -> nn.Module:
    class Wide(ResNet):
        def __init__(self):
            super().__init__(Bottleneck, [3, 4, 6, 3])
            self.inplanes = 64 * widen
            self.conv1 = nn.Conv2d(3, self.inplanes, 7, 2, 3, bias=False)
            self.bn1 = nn.BatchNorm2d(self.inplanes)
            for stage, (blocks, stride) in enumerate(((3, 1), (4, 2), (6, 2), (3, 2))):
                setattr(self, f"layer{stage + 1}", self._make_layer(Bottleneck, 64 * widen << stage, blocks, stride))
            self.fc = nn.Linear(2048 * widen, 1000)

    return Wide()


def small_images() -> nn.Module:
    network = torchvision.models.resnet18()
    network.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    network.maxpool = nn.Identity()
    return network


class DinoTransformer(nn.Module):
    """DINO's and DINOv2's transformer of timm's blocks: names and position rules as in their own code."""

    def __init__(self, heads: int, patch: int, size: int, layer_scale: bool, registers: int):
        super().__init__()
        from timm.layers import PatchEmbed
        from timm.models.vision_transformer import Block

        width = 64 * heads
        self.patch, self.grid, self.registers = patch, size // patch, registers
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.grid**2, width))
        if registers:
            self.register_tokens = nn.Parameter(torch.zeros(1, registers, width))
        if layer_scale:
            self.mask_token = nn.Parameter(torch.zeros(1, width))
        self.patch_embed = PatchEmbed(None, patch, 3, width, strict_img_size=False)
        norm = partial(nn.LayerNorm, eps=1e-6)
        init = 1.0 if layer_scale else None
        self.blocks = nn.ModuleList(
            [Block(width, heads, qkv_bias=True, init_values=init, norm_layer=norm) for _ in range(12)]
        )
        self.norm = norm(width)
        self.head = nn.Linear(width, 1000)

    def positions(self, rows: int, columns: int) -> torch.Tensor:
        if (rows, columns) == (self.grid, self.grid):
            return self.pos_embed
        patches = self.pos_embed[:, 1:].reshape(1, self.grid, self.grid, -1).permute(0, 3, 1, 2)
        if self.registers:
            patches = nn.functional.interpolate(patches, size=(rows, columns), mode="bicubic", antialias=True)
        else:
            scale = ((rows + 0.1) / self.grid, (columns + 0.1) / self.grid)
            patches = nn.functional.interpolate(patches, scale_factor=scale, mode="bicubic")
        assert patches.shape[2:] == (rows, columns)
        return torch.cat((self.pos_embed[:, :1], patches.permute(0, 2, 3, 1).flatten(1, 2)), 1)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        batch, _, height, width = images.shape
        tokens = torch.cat((self.cls_token.expand(batch, -1, -1), self.patch_embed(images)), 1)
        tokens = tokens + self.positions(height // self.patch, width // self.patch)
        if self.registers:
            registers = self.register_tokens.expand(batch, -1, -1)
            tokens = torch.cat((tokens[:, :1], registers, tokens[:, 1:]), 1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)[:, 0]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(images))


def lite(name: str) -> nn.Module:
    from efficientnet_lite_pytorch import EfficientNet

    return EfficientNet.from_name(name)


def torchvision_transformer(heads: int, patch: int, size: int = 224) -> nn.Module:
    return TorchvisionTransformer(size, patch, 12, heads, 64 * heads, 256 * heads)


def operations(name: str) -> float | None:
    weights = torchvision.models.get_model_weights(name)
    return weights["IMAGENET1K_V1"].meta["_ops"]


CASES = [
    ({"name": "resnet18", "stem": "cifar"}, small_images, (2, 3, 32, 32)),
    ({"name": "swav_resnet50w2"}, lambda: swav(2), (2, 3, 96, 96)),
    ({"name": "swav_resnet50w4"}, lambda: swav(4), None),
    ({"name": "swav_resnet50w5"}, lambda: swav(5), None),
    ({"name": "mobilenet_v2", "width": 0.75}, lambda: torchvision.models.mobilenet_v2(width_mult=0.75), (2, 3, 64, 64)),
    (
        {"name": "mobilenet_v3_small", "width": 0.75},
        lambda: torchvision.models.mobilenet_v3_small(width_mult=0.75),
        (2, 3, 64, 64),
    ),
    ({"name": "efficientnet_b2"}, torchvision.models.efficientnet_b2, (2, 3, 96, 96)),
    ({"name": "efficientnet_b3"}, torchvision.models.efficientnet_b3, (2, 3, 75, 75)),
    ({"name": "efficientnet_lite0"}, lambda: lite("efficientnet-lite0"), (2, 3, 224, 224)),
    ({"name": "efficientnet_lite1"}, lambda: lite("efficientnet-lite1"), (2, 3, 240, 240)),
    ({"name": "efficientnet_lite2"}, lambda: lite("efficientnet-lite2"), (2, 3, 260, 260)),
    ({"name": "vit_t_16"}, lambda: torchvision_transformer(3, 16), (2, 3, 224, 224)),
    ({"name": "vit_s_16"}, lambda: torchvision_transformer(6, 16), (2, 3, 320, 320)),
    ({"name": "vit_b_32"}, torchvision.models.vit_b_32, (2, 3, 224, 224)),
    ({"name": "vit_t_16", "position_size": 96}, lambda: torchvision_transformer(3, 16, 96), (2, 3, 96, 96)),
    ({"name": "dino_vitt16"}, lambda: DinoTransformer(3, 16, 224, False, 0), (2, 3, 160, 192)),
    ({"name": "dino_vits16"}, lambda: DinoTransformer(6, 16, 224, False, 0), (2, 3, 224, 224)),
    ({"name": "dino_vits8"}, lambda: DinoTransformer(6, 8, 224, False, 0), (2, 3, 96, 96)),
    ({"name": "dino_vitb16"}, lambda: DinoTransformer(12, 16, 224, False, 0), (2, 3, 96, 96)),
    ({"name": "dinov2_vitt14"}, lambda: DinoTransformer(3, 14, 518, True, 0), (2, 3, 224, 224)),
    ({"name": "dinov2_vits14"}, lambda: DinoTransformer(6, 14, 518, True, 0), (2, 3, 112, 140)),
    ({"name": "dinov2_vits14_reg"}, lambda: DinoTransformer(6, 14, 518, True, 4), (2, 3, 224, 224)),
    ({"name": "dinov2_vitb14_reg"}, lambda: DinoTransformer(12, 14, 518, True, 4), (2, 3, 98, 98)),
]

OPERATIONS = [
    "resnet50", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "efficientnet_b0", "efficientnet_b1", "efficientnet_b2",
    "efficientnet_b3", "vit_b_16", "vit_b_32",
]


def classifier(network: nn.Module) -> nn.Module:
    """The first layer behind the features."""
    if hasattr(network, "_fc"):
        return network._fc
    if hasattr(network, "heads"):
        return network.heads
    for name in ("classifier", "fc", "head"):
        if hasattr(network, name):
            return getattr(network, name)
    raise AssertionError(type(network))


def measure(description: dict, build, shape) -> dict:
    if shape is None:
        with torch.device("meta"):
            network = build()
    else:
        network = build().eval()
    state = network.state_dict()
    names = "".join(f"{name} {list(tensor.shape)}\n" for name, tensor in sorted(state.items()))
    case = {
        "architecture": {**description, "classes": 1000},
        "params": sum(parameter.numel() for parameter in network.parameters()),
        "state_crc": zlib.crc32(names.encode()),
    }
    if shape is None:
        return case
    weights = {name: formula(name, tuple(tensor.shape)) for name, tensor in state.items()}
    images = torch.from_numpy(units("input." + "x".join(map(str, shape)), math.prod(shape)).astype(np.float32)).reshape(shape)
    if isinstance(network, TorchvisionTransformer) and shape[2] != network.image_size:
        weights = dict(interpolate_embeddings(shape[2], network.patch_size, weights))
        heads = network.hidden_dim // 64
        network = torchvision_transformer(heads, network.patch_size, shape[2]).eval()
    network.load_state_dict(weights)
    seen = {}
    hook = classifier(network).register_forward_pre_hook(lambda module, inputs: seen.update(features=inputs[0].flatten(1)))
    with torch.no_grad():
        logits = network(images)
    hook.remove()
    for key, rows in (("features", seen["features"]), ("logits", logits)):
        case[f"{key}_first8"] = [[float(number) for number in row[:8]] for row in rows]
        case[f"{key}_norm"] = [float(row.double().norm()) for row in rows]
    return {**case, "input": list(shape)}


def main() -> None:
    models = []
    for description, build, shape in CASES:
        models.append(measure(description, build, shape))
        print(description, models[-1]["params"], flush=True)
    result = {
        "formula_salt": SALT,
        "models": models,
        "billion_multiply_adds": {name: operations(name) for name in OPERATIONS},
    }
    OUTPUT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
