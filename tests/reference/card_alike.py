"""A model card's own Python against what `seedpipe` says of the same images.

    python card_alike.py CARD.md SAID.jsonl

SAID.jsonl is by `seedpipe predict … --top CLASSES` or `seedpipe embed`. The block of the card is run in the card's folder, as
its reader would, and asked for each image. Prints JSON: {"images", "other": images whose best class is another one, "error":
largest difference of logits (of probabilities' logarithms) or features}.
"""

import json
import math
import os
import re
import sys
from pathlib import Path


def main():
    card, said = Path(sys.argv[1]), Path(sys.argv[2])
    lines = [json.loads(line) for line in said.read_text().splitlines()]
    here = Path.cwd()
    (block,) = re.findall(r"^```python\n(.*?)^```$", card.read_text(), re.DOTALL | re.MULTILINE)
    os.chdir(card.parent)
    sys.argv = ["card.py"]
    names = {}
    exec(compile(block, str(card), "exec"), names)
    other, error = [], 0.0
    for line in lines:
        path = here / line["image"]
        if "embedding" in line:
            own = names["features"](path)
            error = max(error, float(abs(own - line["embedding"]).max()))
            continue
        best = [(known.get("name", known.get("output")), known["probability"]) for known in line["best"]]
        own = names["predict"](path, top=len(best))
        if own[0][0] != best[0][0]:
            other.append(line["image"])
        own, best = dict(own), dict(best)
        assert own.keys() == best.keys(), (own, best)
        # What is nearly impossible is known to few digits.
        logs = [abs(math.log(own[name]) - math.log(best[name])) for name in own if best[name] > 1e-6]
        error = max([error, *logs])
    print(json.dumps({"images": len(lines), "other": other, "error": error}))


main()
