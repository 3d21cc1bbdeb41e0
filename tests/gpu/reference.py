#!/usr/bin/env python3
"""What PyTorch does in the place of `seedpipe`, on the same files: each command is a process of its own, so that its memory goes with it.

    reference.py about                              what this Python and machine have
    reference.py peak --precisions bf16,f16         the card's rate in one large product of matrices
    reference.py encode NETWORK PICTURES …          features of plain images
    reference.py distill PICTURES …                 the official SEED step: the teacher in the loop, a queue, a student
    reference.py pretrain PICTURES …                the MoCo v2 step, keys shuffled, a queue

The last line of the output is JSON. PyTorch at its best without a compiler: channels-last, weights in half precision where nothing learns
and autocast where something does (with a scaled loss in f16), cuDNN's search for the fastest kernels, worker processes that hand over
whole batches of bytes, pinned memory, copies that don't wait, numbers normalised on the device.
"""

import argparse
import importlib
import itertools
import json
import os
import sys
import time
from pathlib import Path

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: Of the official code.
TEMPERATURE_STUDENT, TEMPERATURE_TEACHER, TEMPERATURE_MOCO, MOMENTUM = 0.2, 0.01, 0.2, 0.999
#: Steps before a measurement on a GPU.
WARM = 5


def about():
    found = {"python": sys.version.split()[0], "modules": {}}
    for name in ["torch", "torchvision", "numpy", "PIL", "pyarrow"]:
        try:
            found["modules"][name] = getattr(importlib.import_module(name), "__version__", "without a version")
        except Exception as error:  # noqa: BLE001 - a module that doesn't load is missing, whatever the reason
            found["modules"][name] = f"missing: {type(error).__name__}: {error}"
    if not found["modules"]["torch"].startswith("missing"):
        import torch

        found["library"] = os.path.join(os.path.dirname(torch.__file__), "lib")
        found["cuda"] = torch.cuda.is_available()
        if found["cuda"]:
            properties = torch.cuda.get_device_properties(0)
            found["card"] = {
                "name": properties.name,
                "capability": f"{properties.major}.{properties.minor}",
                "memory_bytes": properties.total_memory,
                "processors": properties.multi_processor_count,
                "cuda": torch.version.cuda,
                "cudnn": torch.backends.cudnn.version(),
            }
    return found


class Machine:
    """The device, and how to wait for it."""

    def __init__(self, device, seconds):
        import torch

        self.torch, self.device, self.seconds = torch, torch.device(device), seconds
        self.is_cuda = self.device.type == "cuda"
        torch.backends.cudnn.benchmark = True

    def type(self, precision):
        return {"f32": self.torch.float32, "bf16": self.torch.bfloat16, "f16": self.torch.float16}[precision]

    def wait(self):
        if self.is_cuda:
            self.torch.cuda.synchronize()

    def autocast(self, precision):
        return self.torch.autocast(self.device.type, dtype=self.type(precision), enabled=precision != "f32")

    def rate(self, steps, images):
        """Images a second of `steps`, an iterator that does a step each time it is asked: some to warm up, then for the time that there is."""
        for _ in itertools.islice(steps, WARM if self.is_cuda else 1):
            pass
        self.wait()
        begin, done = time.perf_counter(), 0
        for _ in steps:
            done += 1
            # On a GPU a step is only queued: the clock is looked at when the device has caught up.
            if done % (8 if self.is_cuda else 1) == 0:
                self.wait()
                if time.perf_counter() - begin > self.seconds:
                    break
        self.wait()
        taken = time.perf_counter() - begin
        return {"images_per_second": done * images / taken, "step_seconds": taken / done, "steps": done} if done else None

    def numbers(self, pixels, kind):
        """Bytes `[B, 3, S, S]` as normalised numbers on the device, channels-last."""
        torch = self.torch
        pixels = pixels.to(self.device, non_blocking=True).to(kind, memory_format=torch.channels_last)
        mean = torch.tensor(MEAN, device=self.device, dtype=kind).view(1, 3, 1, 1) * 255
        std = torch.tensor(STD, device=self.device, dtype=kind).view(1, 3, 1, 1) * 255
        return (pixels - mean) / std


def network(name, size, head=None):
    """With features for an output, or with a head on them: hidden widths, and the embedding's."""
    from torch import nn
    from torchvision import models

    if name.startswith("vit-"):
        layers, heads, width = map(int, name.split("-")[1:])
        made = models.VisionTransformer(size, 16, layers, heads, width, 4 * width)
        made.heads = nn.Identity()
        return made
    made = getattr(models, name)()
    width = made.fc.in_features
    made.fc = nn.Identity()
    if head:
        hidden, out = head
        made.fc = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, out))
    return made


def multiply_adds(name, size):
    """Of one image, counted by PyTorch on tensors without memory."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        made = network(name, size).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            made(torch.empty(1, 3, size, size))
    return counter.get_total_flops() / 2


class Files:
    """Each item is a file's views as bytes `[3, S, S]`, decoded anew for every look."""

    def __init__(self, folder, count, size, views):
        from torchvision.transforms import v2

        self.files = sorted(folder.iterdir())[:count]
        self.views = views
        if views == 0:
            larger = round(size * 256 / 224)
            steps = [v2.Resize(larger, antialias=True), v2.CenterCrop(size)]
        else:
            blur = v2.GaussianBlur(2 * round(size / 20) + 1, (0.1, 2.0))
            steps = [
                v2.RandomResizedCrop(size, scale=(0.2, 1.0), antialias=True),
                v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
                v2.RandomGrayscale(p=0.2),
                v2.RandomApply([blur], p=0.5),
                v2.RandomHorizontalFlip(),
            ]
        self.transform = v2.Compose(steps)

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        from torchvision.io import ImageReadMode, decode_image, read_file

        image = decode_image(read_file(str(self.files[index])), ImageReadMode.RGB)
        looks = tuple(self.transform(image) for _ in range(max(1, self.views)))
        return looks if self.views > 1 else looks[0]


def batches(machine, arguments, views):
    """Batches without end, from one set of workers."""
    loader = machine.torch.utils.data.DataLoader(
        Files(arguments.pictures, arguments.count, arguments.size, views),
        batch_size=arguments.batch,
        num_workers=arguments.workers,
        shuffle=views > 0,
        drop_last=True,
        pin_memory=machine.is_cuda,
        persistent_workers=True,
        prefetch_factor=4,
    )
    while True:
        yield from loader


def half_copy(machine, made, precision):
    return made.to(machine.device, dtype=machine.type(precision), memory_format=machine.torch.channels_last)


def encode(machine, arguments):
    torch = machine.torch
    found = {"multiply_adds": multiply_adds(arguments.network, arguments.size), "precisions": {}}
    feed = batches(machine, arguments, 0)
    with torch.no_grad():
        for precision in arguments.precisions:
            kind = machine.type(precision)
            made = half_copy(machine, network(arguments.network, arguments.size).eval(), precision)
            resident = machine.numbers(next(feed), kind)

            def alone():
                while True:
                    yield made(resident)

            def fed():
                for pixels in feed:
                    # The features come back, as they must to be stored.
                    yield made(machine.numbers(pixels, kind)).float().cpu()

            found["precisions"][precision] = {
                "alone": machine.rate(alone(), arguments.batch),
                "fed": machine.rate(fed(), arguments.batch),
            }
            del made
    return found


class Distillation:
    """The official step."""

    views = 1

    def __init__(self, machine, arguments, precision):
        torch = machine.torch
        self.machine, self.precision = machine, precision
        teacher = network(arguments.teacher, arguments.size, (arguments.hidden, arguments.dimension)).eval()
        self.teacher = half_copy(machine, teacher.requires_grad_(False), precision)
        student = network(arguments.network, arguments.size)
        with torch.no_grad():
            width = student.eval()(torch.zeros(1, 3, arguments.size, arguments.size)).shape[1]
        student.fc = torch.nn.Sequential(
            torch.nn.Linear(width, width), torch.nn.ReLU(inplace=True), torch.nn.Linear(width, arguments.dimension)
        )
        self.student = student.train().to(machine.device, memory_format=torch.channels_last)
        self.optimiser = torch.optim.SGD(self.student.parameters(), 0.03, momentum=0.9, weight_decay=1e-4)
        self.scaler = torch.amp.GradScaler(machine.device.type, enabled=precision == "f16")
        queue = torch.randn(arguments.queue, arguments.dimension, device=machine.device)
        self.queue = torch.nn.functional.normalize(queue, dim=1)
        self.place = 0

    def loss(self, views):
        torch, machine = self.machine.torch, self.machine
        functional = torch.nn.functional
        images = machine.numbers(views, machine.type(self.precision))
        with torch.no_grad():
            teacher = functional.normalize(self.teacher(images).float(), dim=1)
        with machine.autocast(self.precision):
            student = self.student(images)
        student = functional.normalize(student.float(), dim=1)
        queue = self.queue.clone()
        with torch.no_grad():
            own = (teacher * teacher).sum(1, keepdim=True)
            target = (torch.cat([own, teacher @ queue.T], 1) / TEMPERATURE_TEACHER).softmax(1)
        own = (student * teacher).sum(1, keepdim=True)
        seen = torch.cat([own, student @ queue.T], 1) / TEMPERATURE_STUDENT
        self.keys = teacher
        return -(target * seen.log_softmax(1)).sum(1).mean()

    def step(self, views):
        loss = self.loss(views)
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimiser)
        self.scaler.update()
        count = len(self.keys)
        self.queue[self.place : self.place + count] = self.keys
        self.place = (self.place + count) % len(self.queue)
        return loss


class Contrast(Distillation):
    """The step of MoCo v2 on one device: the key encoder sees the batch shuffled."""

    views = 2

    def __init__(self, machine, arguments, precision):
        torch = machine.torch
        self.machine, self.precision = machine, precision
        head = (arguments.hidden, arguments.dimension)
        made = [network(arguments.network, arguments.size, head).train() for _ in range(2)]
        made[1].load_state_dict(made[0].state_dict())
        self.query, self.key = (one.to(machine.device, memory_format=torch.channels_last) for one in made)
        self.key.requires_grad_(False)
        self.optimiser = torch.optim.SGD(self.query.parameters(), 0.03, momentum=0.9, weight_decay=1e-4)
        self.scaler = torch.amp.GradScaler(machine.device.type, enabled=precision == "f16")
        queue = torch.randn(arguments.queue, arguments.dimension, device=machine.device)
        self.queue = torch.nn.functional.normalize(queue, dim=1)
        self.place = 0

    def loss(self, views):
        torch, machine = self.machine.torch, self.machine
        functional = torch.nn.functional
        kind = machine.type(self.precision)
        first, second = (machine.numbers(one, kind) for one in views)
        with machine.autocast(self.precision):
            query = self.query(first)
            with torch.no_grad():
                torch._foreach_mul_(list(self.key.parameters()), MOMENTUM)
                torch._foreach_add_(list(self.key.parameters()), list(self.query.parameters()), alpha=1 - MOMENTUM)
                order = torch.randperm(len(second), device=machine.device)
                key = self.key(second[order])[order.argsort()]
        query = functional.normalize(query.float(), dim=1)
        self.keys = functional.normalize(key.float(), dim=1)
        own = (query * self.keys).sum(1, keepdim=True)
        logits = torch.cat([own, query @ self.queue.clone().T], 1) / TEMPERATURE_MOCO
        return functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=machine.device))


def train(machine, arguments, kind):
    torch = machine.torch
    found = {"multiply_adds": multiply_adds(arguments.network, arguments.size), "precisions": {}}
    feed = batches(machine, arguments, kind.views)
    for precision in arguments.precisions:
        training = kind(machine, arguments, precision)
        resident = next(feed)
        to_device = [one.to(machine.device) for one in (resident if kind.views > 1 else [resident])]
        resident = to_device if kind.views > 1 else to_device[0]

        def steps(views):
            for one in views:
                # As in the official code's progress, which prints the loss.
                yield training.step(one).detach().item()

        alone = machine.rate(steps(itertools.repeat(resident)), arguments.batch)
        fed = machine.rate(steps(feed), arguments.batch)
        loss = training.loss(resident).detach().item()
        found["precisions"][precision] = {"alone": alone, "fed": fed, "loss": loss}
        if machine.is_cuda:
            found["precisions"][precision]["allocated_bytes"] = torch.cuda.max_memory_allocated()
            torch.cuda.reset_peak_memory_stats()
        del training
    return found


def peak(machine, arguments):
    torch = machine.torch
    found = {}
    for precision in arguments.precisions:
        best = 0.0
        for side in arguments.sides:
            a, b = (torch.randn(side, side, device=machine.device).to(machine.type(precision)) for _ in range(2))

            def products():
                while True:
                    yield a @ b

            rate = machine.rate(products(), 1)
            best = max(best, 2 * side**3 / rate["step_seconds"])
        found[precision] = best
    return {"operations_per_second": found}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("about")

    def timed(name):
        command = commands.add_parser(name)
        command.add_argument("--device", default="cuda")
        command.add_argument("--precisions", type=lambda text: text.split(","), required=True)
        command.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
        return command

    timed("peak").add_argument("--sides", type=lambda text: [int(side) for side in text.split(",")], default=[4096, 8192, 16384])
    for name in ["encode", "distill", "pretrain"]:
        command = timed(name)
        command.add_argument("network")
        command.add_argument("pictures", type=Path)
        command.add_argument("--count", type=int, required=True)
        command.add_argument("--size", type=int, required=True)
        command.add_argument("--batch", type=int, required=True)
        command.add_argument("--workers", type=int, required=True)
        if name != "encode":
            command.add_argument("--queue", type=int, required=True)
            command.add_argument("--dimension", type=int, required=True)
            command.add_argument("--hidden", type=int, required=True, help="width of the hidden layer of teacher and query")
        if name == "distill":
            command.add_argument("--teacher", required=True)
    arguments = parser.parse_args()
    if arguments.command == "about":
        found = about()
    else:
        machine = Machine(arguments.device, arguments.seconds)
        work = {
            "peak": peak,
            "encode": encode,
            "distill": lambda *both: train(*both, Distillation),
            "pretrain": lambda *both: train(*both, Contrast),
        }
        found = work[arguments.command](machine, arguments)
    print(json.dumps(found), flush=True)
    # Workers that still render are not waited for.
    os._exit(0)


if __name__ == "__main__":
    main()
