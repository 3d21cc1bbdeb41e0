#!/usr/bin/env python3
"""Writes a TorchScript network whose features are an image's pixels. Use: pixels_network.py OUT. Needs torch."""

import sys

import torch


class Pixels(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, 0].flatten(1)


torch.jit.script(Pixels()).save(sys.argv[1])
