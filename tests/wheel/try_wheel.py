#!/usr/bin/env python3
"""Builds the wheel, installs it into fresh virtual environments, and runs the digits pipeline there with their PyTorch.

    try_wheel.py [--profile dev] [--torch-from SITE_PACKAGES]

Needs what `cargo build` needs (LIBTORCH or `make setup`), and the package registry for maturin and PyTorch 2.11.0. PyTorch is installed without
its CUDA packages (3 GB): its CPU half needs two of them. Builds go where CARGO_TARGET_DIR says; environments into `wheel-trial/` there, where
maturin's and PyTorch's are kept for the next time. `--torch-from` takes the PyTorch of another environment in place of an own one.

What must hold:
- both programs start from any folder with no variable set, and load the environment's PyTorch, not that of the build;
- the digits pipeline runs to its report, and again from the cache;
- an environment that reaches its PyTorch by another path (a `.pth` file) works too;
- without PyTorch, or with another version, the message says what to install.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import venv

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
MATURIN = "maturin==1.16.0"
# PyTorch, and what its CPU half is linked against.
TORCH = ["torch==2.11.0", "nvidia-cuda-runtime==13.0.96", "nvidia-cuda-cupti==13.0.85"]

PIPELINE = """\
stages:
  images: {kind: ingest, params: {source: digits.parquet, label_column: label, split_column: split, take: {train: 200, test: 50}}}
  views: {kind: augment, inputs: {images: images}, params: {recipe: custom, size: 16, views_per_image: 2}}
  teacher:
    kind: pretrain
    inputs: {images: images, views: views}
    params: {network: {name: cifar_resnet8, width: 0.5}, queue: 128, training: {epochs: 1, batch: 32}}
  targets: {kind: encode, inputs: {images: images, views: views, weights: teacher}}
  student:
    kind: distill
    inputs: {images: images, views: views, targets: targets}
    params: {network: {name: cifar_resnet8, width: 0.25}, queue: 128, training: {epochs: 1, batch: 32}}
  features: {kind: encode, inputs: {images: images, weights: student}}
  knn: {kind: knn, inputs: {images: images, features: features}, params: {k: [5]}}
  report: {kind: report, inputs: {metrics: [student.metrics, knn.metrics]}}
"""


def say(text: str) -> None:
    print(f"wheel: {text}", file=sys.stderr, flush=True)


def check(condition: bool, message: str) -> None:
    if not condition:
        sys.exit(f"error: {message}")


def done(command: list, **options) -> str:
    """Runs a command that must succeed; returns what it printed."""
    result = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    check(result.returncode == 0, f"`{' '.join(map(str, command))}` failed:\n{result.stdout}{result.stderr}")
    return result.stdout


class Environment:
    """A virtual environment, and its programs run as a user does: elsewhere, with no variable set."""

    def __init__(self, folder: pathlib.Path, keep: bool = False):
        self.folder = folder
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            venv.create(folder, with_pip=True)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self.site = folder / "lib" / version / "site-packages"

    def program(self, name: str) -> pathlib.Path:
        return self.folder / "bin" / name

    def install(self, *packages) -> None:
        done([self.program("python"), "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", *packages])

    def run(self, name: str, *arguments, folder: pathlib.Path = pathlib.Path("/")) -> subprocess.CompletedProcess:
        variables = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "RUST_BACKTRACE": "1"}
        command = [str(self.program(name)), *arguments]
        return subprocess.run(command, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def done(self, name: str, *arguments, folder: pathlib.Path = pathlib.Path("/")) -> str:
        result = self.run(name, *arguments, folder=folder)
        check(result.returncode == 0, f"`{name} {' '.join(arguments)}` failed:\n{result.stdout}{result.stderr}")
        return result.stdout


def build(work: pathlib.Path, profile: str) -> pathlib.Path:
    tools = Environment(work / "tools", keep=True)
    if not tools.program("maturin").exists():
        tools.install(MATURIN)
    wheels = work / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    say(f"building with profile {profile}")
    environment = dict(os.environ)
    # As cargo's own configuration has it.
    environment.setdefault("LIBTORCH", str(REPOSITORY / ".libtorch"))
    done([tools.program("maturin"), "build", "--profile", profile, "--out", wheels], cwd=REPOSITORY, env=environment)
    found = sorted(wheels.glob("*.whl"))
    check(len(found) == 1, f"expected one wheel in `{wheels}`, got {found}")
    say(f"{found[0].name}, {found[0].stat().st_size / 1e6:.0f} MB")
    return found[0]


def run_pipeline(environment: Environment, folder: pathlib.Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "pipeline.yaml").write_text(PIPELINE)
    shutil.copy(REPOSITORY / "data/digits.parquet", folder)
    for expected in ("executed", "cached"):
        lines = environment.done("seedpipe", "run", "--json", folder=folder).splitlines()
        outcomes = {line["stage"]: line["outcome"] for line in map(json.loads, lines)}
        check(len(outcomes) == 8 and set(outcomes.values()) == {expected}, f"expected 8 stages {expected}, got {outcomes}")
    check("knn_top1" in environment.done("seedpipe", "metrics", folder=folder), "no figures")


def libtorch_of(environment: Environment) -> str:
    """What `doctor` says of libtorch: it starts `seedpipe-torch`. Other findings may be faults of this machine."""
    findings = json.loads(environment.run("seedpipe", "doctor", "--json").stdout)
    return next(json.dumps(finding) for finding in findings if finding["subject"] == "libtorch")


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--profile", default="dev")
    arguments.add_argument("--torch-from", type=pathlib.Path)
    arguments = arguments.parse_args()
    began = time.monotonic()
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")).resolve()
    work = target / "wheel-trial"
    work.mkdir(parents=True, exist_ok=True)
    wheel = build(work, arguments.profile)
    say(f"built after {time.monotonic() - began:.0f} s")

    # PyTorch is installed once; only our own package is fresh in every trial.
    own = Environment(work / ("torch-elsewhere" if arguments.torch_from else "with-torch"), keep=True)
    if arguments.torch_from:
        torch_site = arguments.torch_from.resolve()
        (own.site / "torch-from.pth").write_text(f"{torch_site}\n")
    else:
        if not (own.site / "torch/lib/libtorch_cpu.so").exists():
            say("installing PyTorch without its CUDA packages")
            own.install(*TORCH)
        torch_site = own.site
    own.install("--force-reinstall", wheel)
    names = "import importlib.metadata as m; print(m.requires('seedpipe'), m.version('seedpipe'))"
    said = done([own.program("python"), "-c", names])
    check("torch==2.11.0" in said, f"the wheel asks for {said}")
    say(f"installed after {time.monotonic() - began:.0f} s")

    for name in ("seedpipe", "seedpipe-torch"):
        if name == "seedpipe" or not arguments.torch_from:
            check(own.done(name, "--version").startswith("seedpipe "), f"`{name} --version`")
    said = libtorch_of(own)
    check(str(torch_site / "torch/lib") in said and "version 2.11.0" in said, f"expected PyTorch in {torch_site}, got {said}")
    if not arguments.torch_from:
        loaded = done(["ldd", own.program("seedpipe-torch")], env={"PATH": "/usr/bin:/bin"})
        lines = [line for line in loaded.splitlines() if "libtorch_cpu" in line]
        check(len(lines) == 1 and str(own.folder) in os.path.realpath(lines[0].split(" => ")[1].split(" (")[0]), f"loads {lines}")
    run_pipeline(own, work / "run")
    say(f"digits run twice with the environment's PyTorch after {time.monotonic() - began:.0f} s")

    other = Environment(work / "by-path")
    other.install(wheel)
    said = libtorch_of(other)
    remedy = f"{other.folder}/bin/python -m pip install torch==2.11.0"
    check("libtorch is missing" in said and remedy in said, f"expected the remedy, got {said}")
    (other.site / "elsewhere.pth").write_text(f"{torch_site}\n")
    run_pipeline(other, work / "run-by-path")
    say("digits run with PyTorch found by the environment's Python")

    shadow = other.site / "torch"
    (shadow / "lib").mkdir(parents=True)
    (shadow / "lib/libtorch_cpu.so").touch()
    (shadow / "__init__.py").touch()
    (shadow / "version.py").write_text("__version__ = '2.5.1+cpu'\n")
    said = libtorch_of(other)
    check("expected version 2.11.0, got 2.5.1+cpu" in said and remedy in said, f"expected a refusal, got {said}")
    say(f"all well after {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
