"""The pipelines of the check: the digits' own, shortened, and one of the pictures that is measured. JSON is YAML too."""

import json
import re

from program import Failure


def digits(repository, sizes):
    """pipeline.yaml on fewer images and for fewer epochs. Fails when it is not written as it was."""
    text = (repository / "pipeline.yaml").read_text()
    take = json.dumps(sizes.digits_take)

    def replaced(pattern, by, what):
        nonlocal text
        text, count = re.subn(pattern, by, text, flags=re.MULTILINE)
        if count == 0:
            raise Failure(f"pipeline.yaml: expected {what}, found none to shorten")

    source = repository / "data/digits.parquet"
    text = re.sub(r"^ *take:.*\n", "", text, flags=re.MULTILINE)
    replaced(r"^( *)source: data/digits\.parquet", rf"\1source: {json.dumps(str(source))}\n\1take: {take}", "the source of the digits")
    replaced(r"\bepochs: (\d+)", lambda found: f"epochs: {max(1, round(int(found[1]) * sizes.digits_epochs))}", "trainings with epochs")
    replaced(r"\bviews_per_image: \d+", "views_per_image: 3", "views")
    if sizes.digits_in_f32:
        text = re.sub(r"\bprecision: bf16", "precision: f32", text)
    return text


def measured(pictures, sizes):
    """Everything that is timed on the pictures, a stage each."""

    def ingest(count):
        return {"kind": "ingest", "params": {"source": str(pictures), "take": {"train": count}}}

    def augment(images, views):
        return {
            "kind": "augment",
            "inputs": {"images": images},
            "params": {"recipe": "mocov2", "size": sizes.side, "views_per_image": views},
        }

    def training(precision, epochs):
        return {
            "epochs": epochs,
            "batch": sizes.batch,
            "learning_rate": 0.03,
            "precision": precision,
            "checkpoint_steps": sizes.checkpoint_steps,
        }

    head = {"hidden": [sizes.hidden], "out": sizes.dimension}
    look = {"size": sizes.side, "crop_ratio": 0.875}
    stages = {
        "images": ingest(sizes.distill_pictures),
        "views": augment("images", 1),
        "targets": {
            "kind": "encode",
            "inputs": {"images": "images", "views": "views"},
            "params": {
                "network": {**sizes.teacher.ours(sizes.side), "head": head},
                "preprocessing": look,
                "precision": sizes.encode_precisions[0],
                "batch": sizes.batch,
            },
        },
        "pretrain_images": ingest(sizes.pretrain_pictures),
        "pairs": augment("pretrain_images", 2),
    }
    for network, count in sizes.encode:
        stages[f"{network.name}_images"] = ingest(count)
        for precision in sizes.encode_precisions:
            stages[f"{network.name}_{precision}"] = {
                "kind": "encode",
                "inputs": {"images": f"{network.name}_images"},
                "params": {
                    "network": network.ours(sizes.side),
                    "embedding": "features",
                    "preprocessing": look,
                    "precision": precision,
                    "batch": sizes.batch,
                },
            }
    for precision in sizes.distill_precisions:
        stages[f"distill_{precision}"] = {
            "kind": "distill",
            "inputs": {"images": "images", "views": "views", "targets": "targets"},
            "params": {
                "network": sizes.distill.ours(sizes.side),
                "queue": sizes.queue,
                "training": training(precision, sizes.distill_epochs),
            },
        }
    for precision in sizes.pretrain_precisions:
        stages[f"pretrain_{precision}"] = {
            "kind": "pretrain",
            "inputs": {"images": "pretrain_images", "views": "pairs"},
            "params": {
                "network": {**sizes.pretrain.ours(sizes.side), "head": head},
                "queue": sizes.queue,
                "training": training(precision, sizes.pretrain_epochs),
            },
        }
    return json.dumps({"cache": "cache", "stages": stages}, indent=1)
