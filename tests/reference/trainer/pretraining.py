"""Training without a teacher: MoCo (arXiv 1911.05722, 2003.04297), SimCLR (2002.05709), SwAV (2006.09882), and by labels."""

import copy

import torch
from torch.nn import functional

from .memories import Queue
from .networks import follow, in_parts, network
from .samples import Views, labels
from .swav import sinkhorn, unit_rows


class Learner:
    """- `PREFIX`: of the network's tensors in the state
    - `WHOLE`: whole views of an image in a step"""

    PREFIX, WHOLE = "network.", 2

    def __init__(self, stage, start, faults):
        self.params, self.faults = stage["params"], faults
        self.network = network(stage["network"])
        own = {name.removeprefix(self.PREFIX): tensor for name, tensor in start.items() if name.startswith(self.PREFIX)}
        self.network.load_state_dict(own)
        self.network.train(not faults.made("batch_norm_evaluating"))
        self.views = [Views(stage, "views", self.WHOLE, faults)]
        if self.params.get("small_crops"):
            self.views.append(Views(stage, "small_views", self.params["small_crops"], faults))
        self.begin(stage, start)

    def begin(self, stage, start):
        pass

    def unit(self, rows):
        return rows if self.faults.made("no_normalisation") else functional.normalize(rows, dim=1)

    def remember(self):
        pass

    def trainable(self):
        return list(self.network.named_parameters())

    def state(self):
        return {self.PREFIX + name: tensor for name, tensor in self.network.state_dict().items()}

    def queues(self):
        return {}


class Moco(Learner):
    """Queries and keys are normalised in parts of the batch, of which the keys' are shuffled."""

    PREFIX = "query."

    def begin(self, stage, start):
        self.shuffles = stage["draws"]["shuffles"]
        parts = 1 if self.faults.made("batch_norm_of_the_whole_batch") else self.params["batch_norm_parts"]
        self.key = copy.deepcopy(in_parts(self.network, parts))
        self.key.train(not self.faults.made("key_batch_norm_evaluating"))
        self.queue = Queue(start["queue.rows"])

    def loss(self, batch):
        first, second = self.views[0].of(batch.epoch, batch.positions)
        if self.faults.made("other_view"):
            second = first
        query = self.unit(self.network(first))
        momentum = self.params["encoder_momentum"]
        if self.faults.made("swapped_momentum"):
            momentum = 1 - momentum
        if batch.begins_update:
            follow(self.key, self.network, momentum)
        shuffle = torch.tensor(self.shuffles[batch.number])
        with torch.no_grad():
            self.keys = self.unit(self.key(second[shuffle]))[shuffle.argsort()]
        if self.faults.made("enqueued_before_the_loss"):
            self.queue.enqueue(self.keys)
        logits = torch.cat([(query * self.keys).sum(1, keepdim=True), query @ self.queue.rows.T], 1)
        return functional.cross_entropy(logits / self.params["temperature"], torch.zeros(len(query), dtype=torch.long))

    def remember(self):
        if self.faults.name != "enqueued_before_the_loss":
            self.queue.enqueue(self.keys)

    def state(self):
        return super().state() | {f"key.{name}": tensor for name, tensor in self.key.state_dict().items()}

    def queues(self):
        return {"queue": self.queue}


class Simclr(Learner):
    """NT-Xent: each of the 2N rows is to find the other view of its image among the others."""

    def loss(self, batch):
        first, second = self.views[0].of(batch.epoch, batch.positions)
        rows = self.unit(self.network(torch.cat([first, second])))
        logits = rows @ rows.T / self.params["temperature"]
        logits = logits.masked_fill(torch.eye(len(rows), dtype=torch.bool), -torch.inf)
        partner = torch.arange(len(rows)).roll(len(first) + self.faults.made("other_view"))
        return functional.cross_entropy(logits, partner)


class Swav(Learner):
    """Each whole view is shared out among prototypes, and the image's other views predict the shares."""

    def begin(self, stage, start):
        self.prototypes = torch.nn.Parameter(start["swav.prototypes.weight"].clone())
        self.earlier = [Queue(start[f"queue{view}.rows"]) for view in range(2 if self.params["queue"] else 0)]
        self.entering = []

    def loss(self, batch):
        unit_rows(self.prototypes)
        embeddings = []
        for views in self.views:
            images = views.of(batch.epoch, batch.positions)
            embeddings += self.unit(self.network(torch.cat(images))).chunk(len(images))
        frozen = batch.epoch < self.params["freeze_prototypes_epochs"]
        prototypes = self.prototypes.detach() if frozen else self.prototypes
        scores = [rows @ prototypes.T for rows in embeddings]
        epsilon, temperature = self.params["sinkhorn_epsilon"], self.params["temperature"]
        if self.faults.made("swapped_temperatures"):
            epsilon, temperature = temperature, epsilon
        if self.earlier and batch.epoch >= self.params["queue_from_epoch"]:
            self.entering = [embedding.detach() for embedding in embeddings[:2]]
            if self.faults.made("enqueued_before_the_loss"):
                self.enqueue()
        loss = 0.0
        for assigned in range(2):
            among = scores[assigned].detach()
            if self.earlier and self.earlier[assigned].filled == len(self.earlier[assigned].rows):
                among = torch.cat([self.earlier[assigned].rows @ self.prototypes.detach().T, among])
            wanted = sinkhorn(among, epsilon, self.params["sinkhorn_iterations"])[-len(batch.positions) :]
            if self.faults.made("other_view"):
                others = [scores[assigned]]
            else:
                others = [of_view for view, of_view in enumerate(scores) if view != assigned]
            losses = [functional.cross_entropy(of_view / temperature, wanted) for of_view in others]
            loss += sum(losses) / len(losses) / 2
        return loss

    def remember(self):
        if self.faults.name != "enqueued_before_the_loss":
            self.enqueue()

    def enqueue(self):
        for queue, rows in zip(self.earlier, self.entering):
            queue.enqueue(rows)

    def trainable(self):
        return super().trainable() + [("prototypes.weight", self.prototypes)]

    def state(self):
        return super().state() | {"swav.prototypes.weight": self.prototypes}

    def queues(self):
        return {f"queue{view}": queue for view, queue in enumerate(self.earlier)}


class Supervised(Learner):
    WHOLE = 1

    def begin(self, stage, start):
        self.classes = labels(tuple(stage["inputs"]["images"]), tuple(stage["inputs"]["views"]))

    def loss(self, batch):
        (images,) = self.views[0].of(batch.epoch, batch.positions)
        shift = 1 if self.faults.made("other_labels") else 0
        return functional.cross_entropy(self.network(images), self.classes[batch.positions].roll(shift))


OBJECTIVES = {"moco": Moco, "simclr": Simclr, "swav": Swav, "supervised": Supervised}


def learner(stage, start, faults):
    return OBJECTIVES[stage["params"].get("objective", "moco")](stage, start, faults)
