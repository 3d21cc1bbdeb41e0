"""Our hashing of files against b3sum's, on the same files, in turn.

Both hash with BLAKE3 and all cores; ours is `cargo run -p seedpipe-engine --example hash`, which calls what ingest and verify call.
"""

import argparse
import os
import random
import tempfile
from pathlib import Path

from timing import default_target, in_turn


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--b3sum", default="b3sum")
    parser.add_argument("--target", type=Path, default=default_target())
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--small", type=int, default=50_000, help="number of small files")
    parser.add_argument("--large-mb", type=int, default=2_000)
    arguments = parser.parse_args()
    ours = str((arguments.target / "debug/examples/hash").resolve())
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        folder = Path(folder)
        random.seed(0)
        small = write_small(folder / "small", arguments.small)
        large = [str(write_large(folder / "large.bin", arguments.large_mb))]
        check(arguments.b3sum, ours, small[:100] + large)
        for name, files in [("small", small), ("large", large)]:
            size = sum(os.path.getsize(path) for path in files)
            print(f"{len(files):,} {name} file(s), {size / 1e6:,.0f} MB")
            # 50,000 paths don't fit into arguments everywhere: both read them from a list.
            listed = folder / f"{name}.txt"
            listed.write_text("\n".join(files) + "\n")
            taken = in_turn(
                {
                    "b3sum": (["sh", "-c", f"xargs -d '\\n' -n 1000000 '{arguments.b3sum}' --no-names < '{listed}'"], None),
                    "seedpipe": (["sh", "-c", f"xargs -d '\\n' -n 1000000 '{ours}' < '{listed}'"], None),
                },
                arguments.repeat,
            )
            print(f"  seedpipe at {taken['b3sum'] / taken['seedpipe']:.2f} of b3sum's speed (goal: 0.90)")


def write_small(folder, count):
    """Files of 0.5 to 20 kB, as thumbnails are, 1,000 a folder."""
    paths = []
    noise = random.randbytes(1 << 20)
    for number in range(count):
        parent = folder / f"{number // 1000:04}"
        parent.mkdir(parents=True, exist_ok=True)
        path = parent / f"{number:07}.bin"
        start = random.randrange(len(noise) - 20_000)
        path.write_bytes(noise[start : start + random.randrange(500, 20_000)] + number.to_bytes(8, "little"))
        paths.append(str(path))
    return paths


def write_large(path, megabytes):
    with open(path, "wb") as file:
        for _ in range(megabytes):
            file.write(random.randbytes(1_000_000))
    return path


def check(b3sum, ours, files):
    """Both say the same."""
    import subprocess

    theirs = subprocess.run([b3sum, "--no-names", *files], capture_output=True, text=True, check=True).stdout
    mine = subprocess.run([ours, *files], capture_output=True, text=True, check=True).stdout
    if theirs != mine:
        raise SystemExit("b3sum and seedpipe give different digests")


if __name__ == "__main__":
    main()
