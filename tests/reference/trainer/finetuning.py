"""Supervised training of a whole network: by labels, by teachers' soft labels (Hinton et al., arXiv 1503.02531), or both. Images
without a label have the soft term alone, and both are divided by the batch's size (SimCLRv2, 2006.10029, eq. 3). With mixup
(1710.09412), label smoothing (1512.00567), frozen first layers, and a rate that falls with depth (BEiT, 2106.08254)."""

import numpy
import torch
from torch.nn import functional

from . import tables
from .judged import Images, labelled
from .pretraining import Learner


class Finetuner(Learner):
    WHOLE = 1

    def begin(self, stage, start):
        self.images, self.draws = Images(stage, self.faults), stage["draws"]
        self.seen = torch.tensor([row["image_id"] for row in tables.views(stage["inputs"]["views"])[0]])
        chosen = labelled(self.images, self.draws["keys"], self.params["label_fraction"])
        self.has_label = torch.isin(self.seen, chosen)
        trained = self.has_label
        if self.params["unlabelled"]:
            trained = trained | torch.isin(self.seen, self.images.rows("train"))
        self.trained = trained.nonzero()[:, 0]
        self.teachers = list(teachers(stage["inputs"], self.images, self.faults)) if self.params["alpha"] else []
        if "weights" in stage["inputs"]:
            self.network.load_state_dict(tables.weights(stage["inputs"]["weights"]))
        if "freeze" in self.params:
            self.freeze(self.params["freeze"]["blocks"])

    def loss(self, batch):
        positions = self.trained[batch.positions]
        images = self.views[0].of(batch.epoch, positions)[0]
        labels = self.images.labels[self.seen[positions]]
        has_label = self.has_label[positions].float()
        smoothing = self.params["label_smoothing"]

        def hard(logits, order):
            losses = functional.cross_entropy(logits, labels[order], reduction="none", label_smoothing=smoothing)
            return (losses * has_label[order]).sum() / len(order)

        own = torch.arange(len(positions))
        share, partners = 1.0, own
        if self.params.get("mixup"):
            drawn = self.draws["mixing"][batch.number]
            share, partners = drawn["share"], torch.tensor(drawn["partners"])
            if not self.faults.made("mixup_of_labels_alone"):
                images = share * images + (1 - share) * images[partners]
            if self.faults.made("mixup_of_images_alone"):
                share = 1.0
        logits = self.network(images)
        total = share * hard(logits, own) + (1 - share) * hard(logits, partners)
        if not self.teachers:
            return total
        temperature, alpha = self.params["temperature"], self.params["alpha"]
        soft = self.soft_labels(batch.epoch, positions, temperature)
        soft = share * soft + (1 - share) * soft[partners]
        divergence = functional.kl_div(functional.log_softmax(logits / temperature, 1), soft, reduction="batchmean")
        if not self.faults.made("no_squared_temperature"):
            divergence = divergence * temperature**2
        if self.faults.made("swapped_alpha"):
            alpha = 1 - alpha
        return alpha * divergence + (1 - alpha) * total

    def soft_labels(self, epoch, positions, temperature):
        rows = [of[self.seen[positions]] if per_image else of[epoch % len(of), positions] for per_image, of in self.teachers]
        return torch.stack([functional.softmax(logits / temperature, 1) for logits in rows]).mean(0)

    def freeze(self, blocks):
        """The stem and that many blocks: they keep their weights and statistics."""
        for name, module in self.network.named_children():
            if depth(name) <= blocks:
                module.eval().requires_grad_(self.faults.made("frozen_layers_learn"))

    def trainable(self):
        return [(name, parameter) for name, parameter in super().trainable() if parameter.requires_grad]

    def rate_factor(self, name):
        if "layer_decay" not in self.params or self.faults.made("equal_rates"):
            return 1.0
        return self.params["layer_decay"] ** (4 - depth(name))

    def answers(self):
        """Of each test image its five greatest probabilities, downwards."""
        test = self.images.rows("test").tolist()
        pictures = [numpy.asarray(self.images.by_row[row]["picture"], dtype=numpy.float32) for row in test]
        pixels = torch.from_numpy(numpy.stack(pictures)).permute(0, 3, 1, 2) / 255
        with torch.no_grad():
            logits = self.network.eval()(self.views[0].normalised(pixels))
        return logits.softmax(1).topk(5, 1).values


def depth(name):
    """Of a ResNet with a block in each of three layers: 0 is the stem, 4 the classifier."""
    return {"conv1": 0, "bn1": 0, "layer1": 1, "layer2": 2, "layer3": 3, "linear": 4}[name.split(".")[0]]


def teachers(inputs, images, faults):
    """Of each teacher whether its logits are of plain images, and these: `[images, classes]`, or `[views, positions, classes]`."""
    reverse = faults.made("other_order_of_classes")
    features = zip(inputs.get("teacher_features", []), inputs.get("teacher_classifier", []))
    pairs = list(features) + [(parts, None) for parts in inputs.get("teacher_logits", [])]
    for parts, classifier in pairs:
        rows = tables.embeddings(parts)
        if classifier:
            state = tables.weights(classifier)
            rows = rows @ state["weight"].T + state["bias"]
        rows = rows.flip(1) if reverse else rows
        per_image = "image_id" in tables.table(parts).column_names
        views = len(tables.views(inputs["views"]))
        yield per_image, rows if per_image else rows.view(views, -1, rows.shape[1])
