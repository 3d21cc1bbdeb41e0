#!/usr/bin/env python3
"""Golden values of distill's losses, by PyTorch's autograd in f64 from the formulas as their papers and official code write them.

Needs torch, numpy and safetensors. Writes src/learn/testdata/distillation_losses.{json,safetensors}: of each case `NAME.<tensor>`,
its loss, and its gradients `NAME.grad_<tensor>`.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

TESTDATA = Path(__file__).resolve().parents[2] / "src/learn/testdata"
torch.set_default_dtype(torch.float64)
generator = torch.Generator().manual_seed(5)
tensors: dict[str, torch.Tensor] = {}
cases: list[dict] = []


def draw(rows: int, columns: int, near: torch.Tensor | None = None) -> torch.Tensor:
    """Normal numbers; with `near`, mostly that."""
    noise = torch.randn(rows, columns, generator=generator)
    return noise if near is None else near + 0.3 * noise


def unit(rows: torch.Tensor) -> torch.Tensor:
    return F.normalize(rows, dim=1)


def record(name: str, loss: torch.Tensor, inputs: dict, learned: dict, **numbers) -> None:
    loss.backward()
    for key, tensor in {**inputs, **learned}.items():
        tensors[f"{name}.{key}"] = tensor.detach().clone()
    for key, tensor in learned.items():
        tensors[f"{name}.grad_{key}"] = tensor.grad.contiguous()
    cases.append({"name": name, "loss": loss.item(), **numbers})


def cross_entropy(target: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    return -(target * F.log_softmax(logits, dim=1)).sum(dim=1).mean()


def simclr(name: str, batch: int, width: int, tau_student: float, tau_teacher: float) -> None:
    teacher = unit(draw(batch, width))
    student = draw(batch, width, 2 * teacher).requires_grad_()
    target = F.softmax(teacher @ teacher.T / tau_teacher, dim=1)
    loss = cross_entropy(target, unit(student) @ teacher.T / tau_student)
    record(name, loss, {"teacher": teacher}, {"student": student}, tau_student=tau_student, tau_teacher=tau_teacher)


def regression(batch: int, width: int) -> None:
    teacher = unit(draw(batch, width))
    for name, loss in [
        ("l2", lambda student: (student - teacher).pow(2).sum(dim=1).mean()),
        ("cosine", lambda student: (1 - F.cosine_similarity(student, teacher)).mean()),
    ]:
        student = draw(batch, width, 2 * teacher).requires_grad_()
        record(name, loss(student), {"teacher": teacher}, {"student": student})


def compress(name: str, batch: int, memory: int, widths: tuple[int, int], tau_student: float, tau_teacher: float) -> None:
    """CompRess's KLD over two SampleSimilarities (github UMBCvision/CompRess, nn/compress_loss.py), with a temperature each."""
    teacher, teacher_memory = unit(draw(batch, widths[0])), unit(draw(memory, widths[0]))
    student, student_memory = draw(batch, widths[1]).requires_grad_(), unit(draw(memory, widths[1]))
    targets = F.softmax(teacher @ teacher_memory.T / tau_teacher, dim=1)
    inputs = F.log_softmax(unit(student) @ student_memory.T / tau_student, dim=1)
    loss = F.kl_div(inputs, targets, reduction="batchmean")
    fixed = {"teacher": teacher, "teacher_memory": teacher_memory, "student_memory": student_memory}
    record(name, loss, fixed, {"student": student}, tau_student=tau_student, tau_teacher=tau_teacher)


@torch.no_grad()
def sinkhorn(scores: torch.Tensor, epsilon: float, iterations: int) -> torch.Tensor:
    """`distributed_sinkhorn` of github facebookresearch/swav, main_swav.py, on one device."""
    q = torch.exp(scores / epsilon).t()  # [prototypes, rows]
    prototypes, rows = q.shape
    q /= q.sum()
    for _ in range(iterations):
        q /= q.sum(dim=1, keepdim=True)
        q /= prototypes
        q /= q.sum(dim=0, keepdim=True)
        q /= rows
    q *= rows
    return q.t()


def swav(name: str, batch: int, queue: int, prototypes: int, width: int, epsilon: float, temperature: float) -> None:
    """Prototypes are learned on the teacher's embeddings, and the student predicts the teacher's assignments."""
    teacher = unit(draw(batch, width))
    earlier = unit(draw(queue, width)) if queue else torch.empty(0, width)
    centres = unit(draw(prototypes, width)).requires_grad_()
    student = draw(batch, width, 2 * teacher).requires_grad_()
    scores = torch.cat([earlier, teacher]) @ centres.detach().T
    assignments = sinkhorn(scores, epsilon, 3)[-batch:]
    prediction = cross_entropy(assignments, unit(student) @ centres.detach().T / temperature)
    clustering = cross_entropy(assignments, teacher @ centres.T / temperature)
    record(
        name, prediction + clustering, {"teacher": teacher, "queue": earlier, "assignments": assignments},
        {"student": student, "prototypes": centres},
        epsilon=epsilon, iterations=3, temperature=temperature, prediction=prediction.item(), clustering=clustering.item(),
    )


def kmeans(batch: int, clusters: int, width: int) -> None:
    teacher, centroids = unit(draw(batch, width)), unit(draw(clusters, width))
    logits = draw(batch, clusters).requires_grad_()
    cluster = (teacher @ centroids.T).argmax(dim=1)
    loss = F.cross_entropy(logits, cluster)
    record("kmeans", loss, {"teacher": teacher, "centroids": centroids}, {"logits": logits}, clusters=cluster.tolist())


def main() -> None:
    simclr("simclr0", 6, 5, 0.2, 0.04)
    simclr("simclr1", 9, 7, 0.1, 0.01)
    regression(5, 6)
    compress("compress0", 5, 11, (6, 4), 0.04, 0.04)
    compress("compress1", 3, 1100, (4, 5), 0.2, 0.07)
    swav("swav0", 6, 0, 4, 5, 0.05, 0.1)
    swav("swav1", 4, 12, 7, 6, 0.05, 0.1)
    kmeans(7, 4, 5)
    save_file(tensors, TESTDATA / "distillation_losses.safetensors")
    (TESTDATA / "distillation_losses.json").write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
