"""What a training sees: the views of a step's images, rendered once, and the teachers' embeddings of them."""

import functools

import torch

from . import rendering, tables


@functools.cache
def pixels(images, views):
    """`[views, positions, 3, S, S]`, values 0 to 1.

    - `images`, `views`: parts of the artifacts, tuples"""
    pictures = tables.images(images)
    rendered = [
        torch.stack([rendering.render(pictures[row["image_id"]]["picture"], row) for row in rows]) for rows in tables.views(views)
    ]
    return torch.stack(rendered)


@functools.cache
def labels(images, views):
    """The class of each viewed image, by position; classes count up in the order of the labels."""
    rows = tables.images(images)
    known = [rows[row["image_id"]]["label"] for row in tables.views(views)[0]]
    classes = sorted({row["label"] for row in rows.values() if row["label"] is not None})
    return torch.tensor([classes.index(label) for label in known])


class Views:
    """Views of one size, `count` of an image in a step: epoch e takes views e·n … e·n + n − 1, cycled."""

    def __init__(self, stage, slot, count, faults):
        self.pixels = pixels(tuple(stage["inputs"]["images"]), tuple(stage["inputs"][slot]))
        self.count = count
        self.wanted, self.raw = stage["preprocessing"], faults.made("raw_pixels")
        self.pixels = self.normalised(self.pixels)

    def normalised(self, pixels):
        mean, deviation = (torch.tensor(self.wanted[key]).view(3, 1, 1) for key in ("mean", "std"))
        return pixels if self.raw else (pixels - mean) / deviation

    def numbers(self, epoch, shift=0):
        return [(epoch * self.count + shift + crop) % len(self.pixels) for crop in range(self.count)]

    def of(self, epoch, positions):
        """`[B, 3, S, S]` for each of the views."""
        return [self.pixels[number][positions] for number in self.numbers(epoch)]


class Targets:
    """Of several teachers the embeddings side by side, each of the same weight."""

    def __init__(self, teachers, images):
        units = [torch.nn.functional.normalize(tables.embeddings(parts), dim=1) for parts in teachers]
        self.rows = (torch.cat(units, 1) / len(units) ** 0.5).view(-1, images, sum(unit.shape[1] for unit in units))

    def first(self, count, order):
        """Of the first view in this order of the images, then of the next views."""
        return self.rows[:, order].flatten(0, 1)[:count].clone()
