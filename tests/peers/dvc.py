"""`seedpipe` against DVC where both have nothing to do: an unchanged source of many files, and a pipeline whose stages are all cached.

- `seedpipe status` against `dvc status`, one stage that reads 200,000 small PNG files;
- `seedpipe run` against `dvc repro`, 100 stages below one source.
"""

import argparse
import base64
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from timing import default_target, in_turn

REPOSITORY = Path(__file__).resolve().parents[2]
# A grey pixel; a comment chunk after it makes each file another one.
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dvc", default="dvc")
    parser.add_argument("--target", type=Path, default=default_target())
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--stages", type=int, default=100)
    arguments = parser.parse_args()
    dvc = shutil.which(arguments.dvc)
    if dvc is None:
        raise SystemExit(f"{arguments.dvc}: no such program; see README.md")
    seedpipe = str((arguments.target / "debug/seedpipe").resolve())
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        status(Path(folder) / "status", seedpipe, dvc, arguments)
        repro(Path(folder) / "repro", seedpipe, dvc, arguments)


def status(folder, seedpipe, dvc, arguments):
    """One source, one stage that has read it, in both."""
    images = folder / "images"
    for number in range(arguments.files):
        parent = images / f"{number // 1000:04}"
        if number % 1000 == 0:
            parent.mkdir(parents=True)
        (parent / f"{number:07}.png").write_bytes(PIXEL + number.to_bytes(8, "little"))
    (folder / "pipeline.yaml").write_text("stages:\n  images: {kind: ingest, params: {source: images}}\n")
    begin_dvc(folder, dvc)
    (folder / "dvc.yaml").write_text(
        "stages:\n  images:\n    cmd: echo done > result.txt\n    deps: [images]\n    outs: [result.txt]\n"
    )
    print(f"{arguments.files:,} unchanged files")
    run(["sh", "-c", "sleep 3"], folder)  # files of the last 2 seconds are not trusted by any stat cache worth the name
    run([dvc, "repro", "--quiet"], folder)
    run([seedpipe, "run", "--quiet"], folder)
    run([seedpipe, "status"], folder)
    taken = in_turn({"dvc status": ([dvc, "status"], folder), "seedpipe status": ([seedpipe, "status"], folder)}, arguments.repeat)
    print(f"  seedpipe {taken['dvc status'] / taken['seedpipe status']:.1f} times faster (goal: 10)")
    shutil.rmtree(folder)


def repro(folder, seedpipe, dvc, arguments):
    """Stages that all read one source's result; here views of digits with other seeds, there copies of a small file."""
    folder.mkdir(parents=True)
    shutil.copy(REPOSITORY / "data/digits.parquet", folder / "digits.parquet")
    ours = [
        "stages:",
        "  images: {kind: ingest, params: {source: digits.parquet, label_column: label, split_column: split, take: {train: 20, test: 10}}}",
    ]
    theirs = ["stages:", "  images:", "    cmd: head -c 100 digits.parquet > images", "    deps: [digits.parquet]", "    outs: [images]"]
    for number in range(1, arguments.stages):
        ours.append(
            f"  views{number}: {{kind: augment, seed: {number}, inputs: {{images: images}}, params: {{recipe: custom, size: 16, views_per_image: 1}}}}"
        )
        theirs += [f"  views{number}:", f"    cmd: cp images views{number}; echo {number} >> views{number}", "    deps: [images]", f"    outs: [views{number}]"]
    (folder / "pipeline.yaml").write_text("\n".join(ours) + "\n")
    begin_dvc(folder, dvc)
    (folder / "dvc.yaml").write_text("\n".join(theirs) + "\n")
    print(f"{arguments.stages} cached stages")
    run([dvc, "repro", "--quiet"], folder)
    run([seedpipe, "run", "--quiet"], folder)
    run(["sh", "-c", "sleep 3"], folder)
    taken = in_turn({"dvc repro": ([dvc, "repro"], folder), "seedpipe run": ([seedpipe, "run"], folder)}, arguments.repeat)
    print(f"  seedpipe {taken['dvc repro'] / taken['seedpipe run']:.1f} times faster (goal: 30)")


def begin_dvc(folder, dvc):
    run([dvc, "init", "--no-scm", "--quiet"], folder)
    run([dvc, "config", "core.analytics", "false"], folder)


def run(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, "DVC_NO_ANALYTICS": "1"})
    if done.returncode != 0:
        raise SystemExit(f"{command} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")


if __name__ == "__main__":
    main()
