#!/usr/bin/env python3
"""Puts the assembler NASM into a folder, for libjpeg-turbo's SIMD: without it JPEG files are decoded several times slower.

Does nothing where `nasm` is in PATH already, or where the processor isn't an x86-64. Else the distribution's own package is
fetched and unpacked as an ordinary user (Debian, Ubuntu and their kin; no root, nothing is installed). PyPI has no NASM: its
`nasm` is another program. Where none can be had a warning says so and the build goes on. Idempotent.

    setup_nasm.py DESTINATION        DESTINATION/bin/nasm
"""

import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile


def works(nasm: str) -> bool:
    try:
        return subprocess.run([nasm, "-v"], capture_output=True).returncode == 0
    except OSError:
        return False


def fetch(folder: pathlib.Path) -> pathlib.Path | None:
    """The package's `nasm`, unpacked below `folder`; None where it can't be had."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return None
    # The package lists of the machine, or, where there are none or old ones, lists of our own.
    state = folder / "state"
    (state / "lists" / "partial").mkdir(parents=True)
    own = ["-o", f"Dir::State={state}", "-o", f"Dir::Cache={folder / 'cache'}", "-o", "Dir::State::status=/var/lib/dpkg/status"]
    own += ["-o", "Debug::NoLocking=true", "-o", "APT::Sandbox::User="]
    packages = folder / "packages"
    packages.mkdir()

    def apt(*arguments: str) -> bool:
        return subprocess.run(["apt-get", "-qq", *arguments], cwd=packages, capture_output=True).returncode == 0

    apt("-o", "APT::Sandbox::User=", "download", "nasm") or (apt(*own, "update") and apt(*own, "download", "nasm"))
    found = sorted(packages.glob("nasm_*.deb"))
    if not found or subprocess.run(["dpkg-deb", "-x", str(found[0]), str(folder / "files")]).returncode != 0:
        return None
    return folder / "files" / "usr" / "bin" / "nasm"


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(f"error: {__doc__}")
    destination = pathlib.Path(sys.argv[1]) / "bin" / "nasm"
    if platform.machine() not in ("x86_64", "AMD64") or works("nasm") or works(str(destination)):
        return
    with tempfile.TemporaryDirectory() as folder:
        nasm = fetch(pathlib.Path(folder))
        if nasm is not None and works(str(nasm)):
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(nasm, destination)
            print(f"setup: nasm, for fast JPEG decoding → {destination}", file=sys.stderr)
            return
    print(
        "warning: `nasm` is missing and can't be fetched here: JPEG files will be decoded several times slower\n"
        "hint: install it (apt, dnf, pacman or zypper: the package is called nasm), then build again",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
