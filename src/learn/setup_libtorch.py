#!/usr/bin/env python3
"""Puts libtorch 2.11.0 into a folder, from the PyPI wheels, without pip-installing PyTorch.

A CPU needs two of PyTorch's own libraries and two small CUDA ones that those are linked against; the 3 GB of CUDA
packages are fetched only with `--cuda`. Idempotent: a complete folder is left as it is.

    setup_libtorch.py DESTINATION [--cuda]
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

TORCH = "2.11.0"
# What libtorch_cpu.so of this wheel is linked against.
CPU_WHEELS = ["nvidia-cuda-runtime==13.0.96", "nvidia-cuda-cupti==13.0.85"]
CPU_LIBRARIES = {"libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libcudart.so.13", "libcupti.so.13"}


def fail(message: str) -> None:
    sys.exit(f"error: {message}")


def download(requirements: list[str], folder: pathlib.Path, dependencies: bool) -> list[pathlib.Path]:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    for minor in range(28, 16, -1):  # pip takes no newer tag as including the older ones
        command += ["--platform", f"manylinux_2_{minor}_x86_64"]
    command += ["--platform", "manylinux2014_x86_64", "--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"]
    command += ["--abi", "abi3", "--abi", "none", "--dest", str(folder)]
    if not dependencies:
        command.append("--no-deps")
    if subprocess.run(command + requirements).returncode != 0:
        fail(f"pip could not download {' '.join(requirements)}\nhint: check `{sys.executable} -m pip --version` and the network, or set LIBTORCH to a libtorch {TORCH} of your own")
    return sorted(folder.glob("*.whl"))


def unpack(wheels: list[pathlib.Path], destination: pathlib.Path, cuda: bool) -> None:
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
                elif name in CPU_LIBRARIES or (cuda and ".so" in name and "lib" in path.parts and path.parts[0] in ("torch", "nvidia")):
                    if name in ("libtorch_python.so", "libtorch.so"):
                        continue
                    target = destination / "lib" / name
                else:
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, open(target, "wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)


def main() -> None:
    arguments = [argument for argument in sys.argv[1:] if argument != "--cuda"]
    cuda = "--cuda" in sys.argv[1:]
    if len(arguments) != 1:
        fail(__doc__)
    destination = pathlib.Path(arguments[0])
    flavour = f"{TORCH} {'cuda' if cuda else 'cpu'}"
    stamp = destination / "complete"
    have = stamp.read_text().strip() if stamp.exists() else ""
    if have == flavour or have == f"{TORCH} cuda":
        return
    print(f"setup: libtorch {flavour} → {destination}", file=sys.stderr)
    aside = destination.with_name(destination.name + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        if cuda:
            wheels = download([f"torch=={TORCH}"], pathlib.Path(folder), dependencies=True)
        else:
            wheels = download([f"torch=={TORCH}"] + CPU_WHEELS, pathlib.Path(folder), dependencies=False)
        unpack(wheels, aside, cuda)
    missing = CPU_LIBRARIES - {path.name for path in (aside / "lib").iterdir()}
    if missing:
        fail(f"the wheels held no {', '.join(sorted(missing))}")
    # torch-sys names libtorch.so on the linker's command line; in the wheel it is a shell around libtorch_cpu.so.
    compiler = subprocess.run(["cc", "-shared", "-o", str(aside / "lib" / "libtorch.so"), "-x", "c", "/dev/null"])
    if compiler.returncode != 0:
        fail("`cc` could not link a shared library\nhint: install a C and C++ compiler (Debian: apt-get install g++)")
    (aside / "build-version").write_text(TORCH + "\n")
    (aside / "complete").write_text(flavour + "\n")
    shutil.rmtree(destination, ignore_errors=True)
    aside.rename(destination)


if __name__ == "__main__":
    main()
