"""A view of an image by Pillow's resizing in floats and torchvision's operations on floats."""

import math

import numpy
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as changes

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def render(picture, view):
    """`[3, size, size]`, values 0 to 1."""
    corner = (view["crop_x"], view["crop_y"])
    crop = picture.crop((*corner, corner[0] + view["crop_width"], corner[1] + view["crop_height"]))
    planes = [resized(plane, view) for plane in crop.split()]
    pixels = torch.from_numpy(numpy.stack(planes)).clamp(0, 1)
    for operation, amount in zip(view["operations"], view["amounts"]):
        pixels = OPERATIONS[operation](pixels, amount).clamp(0, 1)
    return pixels


def resized(plane, view):
    """One channel. Pillow resizes images of mode `F` without rounding."""
    plane = Image.fromarray(numpy.asarray(plane, dtype=numpy.float32) / 255)
    whole = plane.resize((view["resize_width"], view["resize_height"]), FILTERS[view["filter"]])
    left, upper, size = view["window_x"], view["window_y"], view["size"]
    return numpy.asarray(whole)[upper : upper + size, left : left + size]


def blurred(pixels, sigma):
    """A Gaussian of radius ceil(4 sigma), edges replicated."""
    radius = math.ceil(4 * sigma)
    weights = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=torch.float64) / sigma) ** 2)
    kernel = (weights / weights.sum()).float().view(1, 1, 1, -1)
    planes = torch.nn.functional.pad(pixels[:, None], [radius] * 4, mode="replicate")
    return torch.conv2d(torch.conv2d(planes, kernel), kernel.transpose(2, 3))[:, 0]


OPERATIONS = {
    "brightness": changes.adjust_brightness,
    "contrast": changes.adjust_contrast,
    "saturation": changes.adjust_saturation,
    "hue": changes.adjust_hue,
    "grayscale": lambda pixels, _: changes.rgb_to_grayscale(pixels, num_output_channels=3),
    "blur": blurred,
    "flip": lambda pixels, _: pixels.flip(2),
}
