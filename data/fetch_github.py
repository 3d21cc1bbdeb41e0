#!/usr/bin/env python3
"""Fetches what the pipelines in pipelines/ need from GitHub, by git (python3 and git; the repositories' newest state).

    fetch_github.py teachers DESTINATION    resnet56-4bfd9763.th, resnet20-12fca82f.th: Yerlan Idelbayev's ResNets for CIFAR-10 (BSD-2)
    fetch_github.py grocery DESTINATION     {train,val,test}/CLASS/**/*.jpg: 5,421 photographs in 43 classes, the Grocery Store Dataset (MIT)

A third argument is another place of the repository: a folder or an address.
"""

import hashlib
import pathlib
import shutil
import subprocess
import sys
import tempfile

# The names' last part begins the SHA-256.
TEACHERS = {
    "resnet56-4bfd9763.th": "4bfd97631478d6b638d2764fd2baff3edb1d7d82252d54439343b6596b9b5367",
    "resnet20-12fca82f.th": "12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8",
}
PHOTOGRAPHS = {"train": 2640, "val": 296, "test": 2485}


def clone(address: str, paths: list[str], folder: pathlib.Path) -> pathlib.Path:
    repository = folder / "repository"
    for command in (
        ["git", "clone", "--quiet", "--no-checkout", "--depth", "1", "--filter=blob:none", address, str(repository)],
        ["git", "-C", str(repository), "checkout", "--quiet", "HEAD", "--", "LICENSE", *paths],
    ):
        if subprocess.run(command).returncode != 0:
            sys.exit(f"error: git could not take {', '.join(paths)} from {address}")
    return repository


def teachers(repository: pathlib.Path, part: pathlib.Path) -> None:
    for name, digest in TEACHERS.items():
        found = (repository / "pretrained_models" / name).read_bytes()
        if hashlib.sha256(found).hexdigest() != digest:
            sys.exit(f"error: {name}: expected SHA-256 {digest}, got another file")
        (part / name).write_bytes(found)
    shutil.copy(repository / "LICENSE", part / "LICENSE.resnet-cifar10")


def grocery(repository: pathlib.Path, part: pathlib.Path) -> None:
    for split, expected in PHOTOGRAPHS.items():
        count = 0
        # Below a split lie Fruit, Packages and Vegetables, then the 43 coarse classes, and below some of these the fine ones.
        for photograph in sorted((repository / "dataset" / split).glob("*/*/**/*.jpg")):
            target = part.joinpath(split, *photograph.relative_to(repository / "dataset" / split).parts[1:])
            target.parent.mkdir(parents=True, exist_ok=True)
            photograph.replace(target)
            count += 1
        if count != expected:
            sys.exit(f"error: {split}: expected {expected} photographs, got {count}")
    shutil.copy(repository / "LICENSE", part / "LICENSE")


SOURCES = {
    "teachers": ("https://github.com/akamaster/pytorch_resnet_cifar10", [f"pretrained_models/{name}" for name in TEACHERS], teachers),
    "grocery": ("https://github.com/marcusklasson/GroceryStoreDataset", [f"dataset/{split}" for split in PHOTOGRAPHS], grocery),
}


def main() -> None:
    if not 3 <= len(sys.argv) <= 4 or sys.argv[1] not in SOURCES:
        sys.exit("usage: fetch_github.py teachers|grocery DESTINATION [REPOSITORY]")
    address, paths, take = SOURCES[sys.argv[1]]
    target = pathlib.Path(sys.argv[2])
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        repository = clone(sys.argv[3] if len(sys.argv) == 4 else address, paths, pathlib.Path(folder))
        part = pathlib.Path(folder) / "part"
        part.mkdir()
        take(repository, part)
        part.replace(target)
    print(target, file=sys.stderr)


if __name__ == "__main__":
    main()
