"""How much is done: `full` for a card, `tiny` for the same ways on a CPU."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Network:
    """A network by our name (or, of a vision transformer, by its blocks, heads and width), which reference.py takes as well."""

    name: str

    def ours(self, size):
        if not self.name.startswith("vit-"):
            return {"name": self.name}
        blocks, heads, width = map(int, self.name.split("-")[1:])
        return {"graph": {"size": size, "nodes": vision_transformer(blocks, heads, width)}}

    def title(self):
        return {"resnet50": "ResNet-50", "resnet18": "ResNet-18", "vit-24-16-1024": "ViT-L/16"}.get(self.name, self.name)


def vision_transformer(blocks, heads, width):
    """As torchvision's, but for the positions, which are one addition."""
    nodes = [
        {"op": "convolution", "name": "patches", "outputs": width, "kernel": 16, "stride": 16, "padding": 0, "bias": True},
        {"op": "tokens"},
        {"op": "class_token", "name": "entry0"},
    ]
    for block in range(blocks):
        nodes += [
            {"op": "layer_norm", "name": f"block{block}.norm1"},
            {"op": "attention", "name": f"block{block}.attention", "heads": heads},
            {"op": "add", "name": f"middle{block}", "from": [f"block{block}.attention", f"entry{block}"]},
            {"op": "layer_norm", "name": f"block{block}.norm2"},
            {"op": "linear", "name": f"block{block}.hidden", "outputs": 4 * width},
            {"op": "gelu"},
            {"op": "linear", "name": f"block{block}.output", "outputs": width},
            {"op": "add", "name": f"entry{block + 1}", "from": [f"block{block}.output", f"middle{block}"]},
        ]
    return nodes + [{"op": "layer_norm", "name": "norm"}, {"op": "first_token"}]


@dataclass(frozen=True)
class Sizes:
    device: str
    #: Of our runs on the device: on a CPU another numerics class stands in for the card's.
    device_environment: dict
    #: Seconds of everything, and of each part at most.
    total: float
    limits: dict
    #: Digits: images by split, and what is left of the epochs.
    digits_take: dict
    #: The stages that are run with what they need, and those that are made again; none: all.
    digits_stages: tuple
    digits_again: tuple
    digits_epochs: float
    digits_in_f32: bool
    #: Files, and their width and height.
    pictures: int
    picture: tuple
    #: Of a view, in pixels.
    side: int
    batch: int
    #: Networks to encode with, and with how many of the files.
    encode: tuple
    encode_precisions: tuple
    queue: int
    dimension: int
    hidden: int
    teacher: Network
    distill: Network
    distill_pictures: int
    distill_epochs: int
    distill_precisions: tuple
    pretrain: Network
    pretrain_pictures: int
    pretrain_epochs: int
    pretrain_precisions: tuple
    #: Steps from one checkpoint to the next, where a training is killed and goes on.
    checkpoint_steps: int
    #: Of PyTorch: worker processes, precisions (none: as ours), seconds of each of its measurements, sides of the products.
    workers: int
    reference_precisions: tuple
    reference_seconds: float
    sides: str
    reference_environment: dict


FULL = Sizes(
    device="cuda",
    device_environment={},
    total=465,
    limits={"pictures": 40, "digits": 110, "peak": 20, "encode resnet50": 60, "encode vit-24-16-1024": 75, "distill": 100, "pretrain": 110},
    digits_take={"train": 2000, "test": 1000},
    digits_stages=(),
    digits_again=(),
    digits_epochs=0.15,
    digits_in_f32=False,
    pictures=16_384,
    picture=(500, 375),
    side=224,
    batch=256,
    encode=((Network("resnet50"), 16_384), (Network("vit-24-16-1024"), 5_120)),
    encode_precisions=("bf16", "f16"),
    queue=65_536,
    dimension=128,
    hidden=2048,
    teacher=Network("resnet50"),
    distill=Network("resnet18"),
    distill_pictures=16_384,
    distill_epochs=1,
    distill_precisions=("bf16", "f16"),
    pretrain=Network("resnet50"),
    pretrain_pictures=5_120,
    pretrain_epochs=2,
    pretrain_precisions=("f16", "bf16"),
    checkpoint_steps=10,
    workers=16,
    reference_precisions=(),
    reference_seconds=3,
    sides="8192,16384",
    reference_environment={},
)

TINY = Sizes(
    device="cpu",
    device_environment={"ONEDNN_MAX_CPU_ISA": "AVX"},
    total=540,
    limits={"pictures": 60, "digits": 180, "peak": 60, "encode resnet18": 90, "encode vit-2-3-192": 90, "distill": 120, "pretrain": 120},
    digits_take={"train": 200, "test": 100},
    digits_stages=("student_knn", "student_probe"),
    digits_again=("views", "teacher", "targets", "student", "student_features", "student_knn", "student_probe"),
    digits_epochs=0.05,
    digits_in_f32=True,
    pictures=96,
    picture=(64, 48),
    side=32,
    batch=8,
    encode=((Network("resnet18"), 96), (Network("vit-2-3-192"), 96)),
    encode_precisions=("f32",),
    queue=1024,
    dimension=32,
    hidden=64,
    teacher=Network("resnet18"),
    distill=Network("resnet18"),
    distill_pictures=48,
    distill_epochs=1,
    distill_precisions=("f32",),
    pretrain=Network("resnet18"),
    pretrain_pictures=48,
    pretrain_epochs=1,
    pretrain_precisions=("f16",),
    checkpoint_steps=1,
    workers=1,
    reference_precisions=("f32",),
    reference_seconds=0.1,
    sides="256",
    reference_environment={"OMP_NUM_THREADS": "1"},
)

SIZES = {"full": FULL, "tiny": TINY}
