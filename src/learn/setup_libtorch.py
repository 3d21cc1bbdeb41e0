#!/usr/bin/env python3
"""Puts libtorch 2.11.0 into a folder, from the PyPI wheels, without pip-installing PyTorch.

A CPU needs a few of PyTorch's own libraries and two small CUDA ones that those are linked against; the 3 GB of CUDA
packages are fetched only with `--cuda`. Idempotent: a complete folder is left as it is.

    setup_libtorch.py DESTINATION [--cuda] [--arch x86_64|aarch64]

`--arch`: the processors to run on, by default this machine's; for others a cross compiler must be installed.
"""

import argparse
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile

TORCH = "2.11.0"
CPU_WHEELS = ["nvidia-cuda-runtime==13.0.96", "nvidia-cuda-cupti==13.0.85"]
LIBRARIES = {"libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libcudart.so.13", "libcupti.so.13"}
# libtorch_cpu.so and all of the wheels that it is linked against.
CPU_LIBRARIES = {
    "x86_64": LIBRARIES,
    # In MKL's place: Arm's compute library for oneDNN, NVIDIA's BLAS and LAPACK.
    "aarch64": LIBRARIES
    | {"libarm_compute.so", "libarm_compute_graph.so", "libnvpl_blas_core.so.0", "libnvpl_blas_lp64_gomp.so.0"}
    | {"libnvpl_lapack_core.so.0", "libnvpl_lapack_lp64_gomp.so.0"},
}


def fail(message: str) -> None:
    sys.exit(f"error: {message}")


def download(requirements: list[str], folder: pathlib.Path, architecture: str, dependencies: bool) -> list[pathlib.Path]:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    for minor in range(28, 16, -1):  # pip takes no newer tag as including the older ones
        command += ["--platform", f"manylinux_2_{minor}_{architecture}"]
    command += ["--platform", f"manylinux2014_{architecture}", "--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"]
    command += ["--abi", "abi3", "--abi", "none", "--dest", str(folder)]
    if not dependencies:
        command.append("--no-deps")
    if subprocess.run(command + requirements).returncode != 0:
        fail(f"pip could not download {' '.join(requirements)}\nhint: check `{sys.executable} -m pip --version` and the network, or set LIBTORCH to a libtorch {TORCH} of your own")
    return sorted(folder.glob("*.whl"))


def unpack(wheels: list[pathlib.Path], destination: pathlib.Path, libraries: set[str], cuda: bool) -> None:
    (destination / "lib").mkdir(parents=True)
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                if entry.is_dir():
                    continue
                path = pathlib.PurePosixPath(entry.filename)
                name = path.name
                if path.parts[:2] == ("torch", "include"):
                    target = destination.joinpath(*path.parts[1:])
                elif name in libraries or (cuda and ".so" in name and "lib" in path.parts and path.parts[0] in ("torch", "nvidia")):
                    if name in ("libtorch_python.so", "libtorch.so"):
                        continue
                    target = destination / "lib" / name
                else:
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, open(target, "wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)


def arguments() -> argparse.Namespace:
    own = {"arm64": "aarch64", "amd64": "x86_64"}.get(platform.machine().lower(), platform.machine())
    parser = argparse.ArgumentParser(usage="setup_libtorch.py DESTINATION [--cuda] [--arch x86_64|aarch64]")
    parser.add_argument("destination", type=pathlib.Path)
    parser.add_argument("--cuda", action="store_true")
    parser.add_argument("--arch", default=own)
    told = parser.parse_args()
    if told.arch not in CPU_LIBRARIES:
        fail(f"PyPI has no PyTorch {TORCH} for Linux on `{told.arch}`, only for {' and '.join(CPU_LIBRARIES)}\nhint: set LIBTORCH to a libtorch {TORCH} of your own")
    told.compiler = "cc" if told.arch == own else f"{told.arch}-linux-gnu-gcc"
    return told


def main() -> None:
    told = arguments()
    libraries = CPU_LIBRARIES[told.arch]
    # Folders from before there were two kinds of processors say nothing of theirs.
    of_processor = "" if told.arch == "x86_64" else f" {told.arch}"
    flavour = f"{TORCH} {'cuda' if told.cuda else 'cpu'}{of_processor}"
    stamp = told.destination / "complete"
    have = stamp.read_text().strip() if stamp.exists() else ""
    if have in (flavour, f"{TORCH} cuda{of_processor}"):
        return
    if shutil.which(told.compiler) is None:
        package = "g++" if told.compiler == "cc" else f"g++-{told.arch.replace('_', '-')}-linux-gnu"
        fail(f"`{told.compiler}` is missing\nhint: install a C and C++ compiler for {told.arch} (Debian: apt-get install {package})")
    print(f"setup: libtorch {flavour} → {told.destination}", file=sys.stderr)
    aside = told.destination.with_name(told.destination.name + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        wheels = [f"torch=={TORCH}"] + ([] if told.cuda else CPU_WHEELS)
        unpack(download(wheels, pathlib.Path(folder), told.arch, dependencies=told.cuda), aside, libraries, told.cuda)
    missing = libraries - {path.name for path in (aside / "lib").iterdir()}
    if missing:
        fail(f"the wheels held no {', '.join(sorted(missing))}")
    # torch-sys names libtorch.so on the linker's command line; in the wheel it is a shell around libtorch_cpu.so.
    linked = subprocess.run([told.compiler, "-shared", "-o", str(aside / "lib" / "libtorch.so"), "-x", "c", "/dev/null"])
    if linked.returncode != 0:
        fail(f"`{told.compiler}` could not link a shared library")
    (aside / "build-version").write_text(TORCH + "\n")
    (aside / "complete").write_text(flavour + "\n")
    shutil.rmtree(told.destination, ignore_errors=True)
    aside.rename(told.destination)


if __name__ == "__main__":
    main()
