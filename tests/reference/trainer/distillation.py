"""Distillation on stored embeddings: what a student learns with each objective, written as the papers write it, with the whole
matrices of similarities.

SEED: arXiv 2101.04731 and its official code (seed/builder.py, seed/small_patch_builder.py); CompRess: arXiv 2010.14713 and
nn/compress_loss.py; assignments as in SwAV, arXiv 2006.09882."""

import copy

import torch
from torch.nn import functional

from .memories import Queue
from .networks import follow, network
from .samples import Targets, Views
from .swav import sinkhorn, unit_rows


class Distiller:
    """The student and its views, whole and small, each size with an objective of its own."""

    def __init__(self, stage, start, faults):
        params = stage["params"]
        self.params, self.faults = params, faults
        self.student = network(stage["network"])
        self.student.load_state_dict({name.removeprefix("student."): start[name] for name in start if name.startswith("student.")})
        self.student.train(not faults.made("batch_norm_evaluating"))
        # The head is thrown away.
        self.network = getattr(self.student, "backbone", self.student)
        self.sizes = [Size(self, stage, "", 1, start)]
        if params.get("small_crops"):
            self.sizes.append(Size(self, stage, "small_", params["small_crops"], start))

    def temperature(self, side, batch):
        now = self.params.get(f"temperature_{side}", 1.0)
        if isinstance(now, dict):
            share = min(batch.number / (now["epochs"] * batch.per_epoch), 1.0)
            now = now["from"] + (now["to"] - now["from"]) * share
        return now

    def loss(self, batch):
        self.temperatures = [self.temperature(side, batch) for side in ("student", "teacher")]
        if "temperature_teacher" in self.params and self.faults.made("swapped_temperatures"):
            self.temperatures.reverse()
        return sum(size.loss(batch) for size in self.sizes)

    def remember(self):
        for size in self.sizes:
            size.remember()

    def trainable(self):
        return list(self.student.named_parameters()) + list(self.sizes[0].objective.trainable().items())

    def state(self):
        state = {f"student.{name}": tensor for name, tensor in self.student.state_dict().items()}
        for prefix, size in zip(("", "small."), self.sizes):
            state.update((prefix + name, tensor) for name, tensor in size.objective.state().items())
        return state

    def queues(self):
        named = zip(("", "small."), self.sizes)
        return {prefix + name: queue for prefix, size in named for name, queue in size.objective.queues.items()}


class Size:
    """Views of one size and what they are compared with. A teacher's embedding is of the view that the student sees, or with
    `augmentation: independent` of the next."""

    def __init__(self, whole, stage, prefix, crops, start):
        self.whole = whole
        self.views = Views(stage, f"{prefix}views", crops, whole.faults)
        self.targets = Targets(stage["inputs"][f"{prefix}targets"], self.views.pixels.shape[1])
        self.shift = int(stage["params"].get("augmentation") == "independent") + whole.faults.made("other_view")
        before = prefix.replace("_", ".")
        start = {name.removeprefix(before): tensor for name, tensor in start.items() if name.startswith(before)}
        self.objective = OBJECTIVES[stage["params"].get("objective", "seed")](self, stage, prefix, start)

    def loss(self, batch):
        images = self.views.of(batch.epoch, batch.positions)
        embeddings = self.whole.student(torch.cat(images)).chunk(len(images))
        numbers = self.views.numbers(batch.epoch, self.shift)
        teachers = [self.targets.rows[number][batch.positions] for number in numbers]
        self.objective.see(images[0], batch)
        self.first = teachers[0]
        if self.objective.queues and self.whole.faults.made("enqueued_before_the_loss"):
            self.objective.remember(self.first)
        losses = [self.objective.loss(*pair) for pair in zip(embeddings, teachers)]
        return sum(losses) / len(losses)

    def remember(self):
        if self.whole.faults.name != "enqueued_before_the_loss":
            self.objective.remember(self.first)


class Objective:
    """- `loss(student, teacher)`: the student's embeddings as they are, the teacher's of length 1"""

    def __init__(self, size, stage, prefix, start):
        self.whole, self.params = size.whole, stage["params"]
        self.queues = {}
        self.prefix = prefix
        self.begin(size.targets, stage, start)

    def begin(self, targets, stage, start):
        pass

    def unit(self, rows):
        return rows if self.whole.faults.made("no_normalisation") else functional.normalize(rows, dim=1)

    def see(self, images, batch):
        pass

    def remember(self, teacher):
        for queue in self.queues.values():
            queue.enqueue(teacher)

    def trainable(self):
        return {}

    def state(self):
        return self.trainable()


class Queued(Objective):
    def begin(self, targets, stage, start):
        if self.params["queue_start"] == "targets":
            rows = targets.first(self.params["queue"], stage["draws"][f"{self.prefix}queue_start"])
        else:
            rows = start["queue.rows"]
        self.queues["queue"] = Queue(rows)

    def logits(self, rows, teacher):
        """A row's own teacher embedding, then the queue's: `[B, 1 + K]`."""
        return torch.cat([(rows * teacher).sum(1, keepdim=True), rows @ self.queues["queue"].rows.T], 1)


class Seed(Queued):
    def loss(self, student, teacher):
        of_student, of_teacher = self.whole.temperatures
        wanted = functional.softmax(self.logits(teacher, teacher) / of_teacher, dim=1)
        return functional.cross_entropy(self.logits(self.unit(student), teacher) / of_student, wanted)


class Contrastive(Queued):
    def loss(self, student, teacher):
        logits = self.logits(self.unit(student), teacher) / self.whole.temperatures[0]
        return functional.cross_entropy(logits, torch.zeros(len(student), dtype=torch.long))


class Simclr(Objective):
    def loss(self, student, teacher):
        of_student, of_teacher = self.whole.temperatures
        wanted = functional.softmax(teacher @ teacher.T / of_teacher, dim=1)
        return functional.cross_entropy(self.unit(student) @ teacher.T / of_student, wanted)


class L2(Objective):
    def loss(self, student, teacher):
        return (student - teacher).square().sum(1).mean()


class Cosine(Objective):
    def loss(self, student, teacher):
        return (1 - (self.unit(student) * teacher).sum(1)).mean()


class Kmeans(Objective):
    """The clusters are given, and are tried: each is the mean direction of the targets that are nearest to it."""

    def begin(self, targets, stage, start):
        self.centroids = start["centroids.rows"]
        first = targets.rows[0]
        nearest = (first @ self.centroids.T).argmax(1)
        means = torch.stack([first[nearest == cluster].mean(0) for cluster in range(len(self.centroids))])
        torch.testing.assert_close(functional.normalize(means, dim=1), self.centroids, rtol=1e-4, atol=1e-5)

    def loss(self, student, teacher):
        return functional.cross_entropy(student, (teacher @ self.centroids.T).argmax(1))

    def state(self):
        return {"centroids.rows": self.centroids}


class Compress(Objective):
    def begin(self, targets, stage, start):
        self.queues["teacher_memory"] = Queue(start["teacher_memory.rows"])
        self.queues["student_memory"] = Queue(start["student_memory.rows"])
        self.key = copy.deepcopy(self.whole.student)

    def see(self, images, batch):
        momentum = self.params["encoder_momentum"]
        if self.whole.faults.made("swapped_momentum"):
            momentum = 1 - momentum
        if batch.begins_update:
            follow(self.key, self.whole.student, momentum)
        self.key.train(not self.whole.faults.made("key_batch_norm_evaluating"))
        with torch.no_grad():
            self.keys = self.unit(self.key(images))

    def loss(self, student, teacher):
        of_student, of_teacher = self.whole.temperatures
        wanted = functional.softmax(teacher @ self.queues["teacher_memory"].rows.T / of_teacher, dim=1)
        found = functional.log_softmax(self.unit(student) @ self.queues["student_memory"].rows.T / of_student, dim=1)
        return functional.kl_div(found, wanted, reduction="batchmean")

    def remember(self, teacher):
        self.queues["teacher_memory"].enqueue(teacher)
        self.queues["student_memory"].enqueue(self.keys)

    def state(self):
        return {f"key.{name}": tensor for name, tensor in self.key.state_dict().items()}


class Swav(Objective):
    """Prototypes are learned on the teacher's embeddings, and the student predicts the teacher's assignments."""

    def begin(self, targets, stage, start):
        drawn = targets.first(self.params["prototypes"], stage["draws"]["prototypes"])
        self.prototypes = torch.nn.Parameter(drawn)
        if self.params["queue"]:
            self.queues["queue"] = Queue(start["queue.rows"])

    def loss(self, student, teacher):
        unit_rows(self.prototypes)
        epsilon, temperature = self.params["sinkhorn_epsilon"], self.whole.temperatures[0]
        if self.whole.faults.made("swapped_temperatures"):
            epsilon, temperature = temperature, epsilon
        earlier = [queue.rows[: queue.filled] for queue in self.queues.values()]
        with torch.no_grad():
            scores = torch.cat([*earlier, teacher]) @ self.prototypes.T
            wanted = sinkhorn(scores, epsilon, self.params["sinkhorn_iterations"])[-len(teacher) :]
        predicted = self.unit(student) @ self.prototypes.detach().T
        clustered = teacher @ self.prototypes.T
        return sum(functional.cross_entropy(scores / temperature, wanted) for scores in (predicted, clustered))

    def trainable(self):
        return {"prototypes": self.prototypes}


OBJECTIVES = {
    "seed": Seed,
    "simclr": Simclr,
    "swav": Swav,
    "l2": L2,
    "cosine": Cosine,
    "kmeans": Kmeans,
    "contrastive": Contrastive,
    "compress": Compress,
}
