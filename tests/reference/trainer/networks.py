"""CIFAR's ResNets (arXiv 1512.03385, section 4.2; names and shortcuts of akamaster/pytorch_resnet_cifar10), and heads."""

import torch
from torch import nn
from torch.nn import functional


class SplitBatchNorm(nn.BatchNorm2d):
    """Normalises `parts` of a batch by themselves, as that many devices do; the running statistics follow the parts' mean, as
    in MoCo's demo on CIFAR-10."""

    parts = 1

    def forward(self, images):
        if not self.training or self.parts == 1:
            return super().forward(images)
        outs, means, variances = [], [], []
        for part in images.chunk(self.parts):
            mean, variance = self.running_mean.clone(), self.running_var.clone()
            outs.append(functional.batch_norm(part, mean, variance, self.weight, self.bias, True, self.momentum, self.eps))
            means.append(mean)
            variances.append(variance)
        self.running_mean.copy_(torch.stack(means).mean(0))
        self.running_var.copy_(torch.stack(variances).mean(0))
        self.num_batches_tracked += 1
        return torch.cat(outs)


class BasicBlock(nn.Module):
    def __init__(self, inputs, planes, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, 1, bias=False)
        self.bn1 = SplitBatchNorm(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = SplitBatchNorm(planes)
        self.stride, self.more = stride, planes - inputs

    def forward(self, images):
        out = functional.relu(self.bn1(self.conv1(images)))
        out = self.bn2(self.conv2(out))
        if self.stride != 1 or self.more:
            before = self.more // 2
            images = functional.pad(images[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.more - before))
        return functional.relu(out + images)


class CifarResNet(nn.Module):
    """The classifier's output where there is one, else the features.

    - `architecture`: as weights say it"""

    def __init__(self, architecture):
        super().__init__()
        blocks = (int(architecture["name"].removeprefix("cifar_resnet")) - 2) // 6
        widths = [max(1, round(base * architecture.get("width", 1.0))) for base in (16, 32, 64)]
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = SplitBatchNorm(widths[0])
        inputs = widths[0]
        for stage, planes in enumerate(widths):
            strides = [1 if stage == 0 else 2] + [1] * (blocks - 1)
            layers = []
            for stride in strides:
                layers.append(BasicBlock(inputs, planes, stride))
                inputs = planes
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        self.features = inputs
        if architecture.get("classes"):
            self.linear = nn.Linear(inputs, architecture["classes"])

    def forward(self, images):
        out = functional.relu(self.bn1(self.conv1(images)))
        out = self.layer3(self.layer2(self.layer1(out))).mean((2, 3))
        return self.linear(out) if hasattr(self, "linear") else out


class WithHead(nn.Module):
    def __init__(self, architecture):
        super().__init__()
        self.backbone = CifarResNet(architecture)
        self.head = projection(self.backbone.features, architecture["head"])

    def forward(self, images):
        return self.head(self.backbone(images))


def network(architecture):
    return WithHead(architecture) if architecture.get("head") else CifarResNet(architecture)


def projection(inputs, head):
    """Linear layers with ReLU between, and with batch norm before that where it is asked for."""
    layers = []
    for hidden in head["hidden"]:
        layers.append(nn.Linear(inputs, hidden))
        layers += [nn.BatchNorm1d(hidden)] if head.get("batch_norm") else []
        layers.append(nn.ReLU())
        inputs = hidden
    layers.append(nn.Linear(inputs, head["out"]))
    if head.get("batch_norm_last"):
        layers.append(nn.BatchNorm1d(head["out"]))
    return nn.Sequential(*layers) if len(layers) > 1 else layers[0]


def in_parts(network, parts):
    for module in network.modules():
        if isinstance(module, SplitBatchNorm):
            module.parts = parts
    return network


@torch.no_grad()
def follow(network, leader, momentum):
    """The momentum encoder's step (arXiv 1911.05722, eq. 2)."""
    for own, theirs in zip(network.parameters(), leader.parameters()):
        own.copy_(own * momentum + theirs * (1 - momentum))
