//! Refuses a missing libtorch early, and writes its folder into the rpath of binaries and tests, so
//! that they run with no environment variable; for a wheel (feature `wheel`) the folders in which
//! Python environments keep PyTorch. Stamps both binaries with a digest of the sources, so that two
//! builds never mix.
//!
//! `LIBTORCH` comes from the environment or from `.cargo/config.toml`, as for torch-sys.

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{self, Path, PathBuf};

#[path = "src/program/torch/elf.rs"]
mod elf;

/// What decides a build; folders are read whole.
const SOURCES: [&str; 4] = ["Cargo.toml", "Cargo.lock", "src", "stages"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let libtorch = PathBuf::from(env::var_os("LIBTORCH").unwrap_or_default());
    let library = libtorch.join("lib");
    println!(
        "cargo:rerun-if-changed={}",
        library.join("libtorch_cpu.so").display()
    );
    if !library.join("libtorch_cpu.so").exists() {
        panic!(
            "no `libtorch_cpu.so` in `{}`\nhint: run `make setup`, or set LIBTORCH to a libtorch 2.11.0 of your own",
            library.display()
        );
    }
    check_machine(&library.join("libtorch_cpu.so"));
    leave_libtorch_out_of("seedpipe");
    let libtorch = path::absolute(&libtorch).expect("LIBTORCH is a path");
    let rpath = if env::var_os("CARGO_FEATURE_WHEEL").is_some() {
        python_environments()
    } else {
        vec![libtorch.join("lib").display().to_string()]
    };
    // Of all targets: unit tests of the library load libtorch too.
    for folder in &rpath {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
    println!("cargo:rustc-env=SEEDPIPE_RPATH={}", rpath.join(":"));
    println!(
        "cargo:rustc-env=SEEDPIPE_BUILD_STAMP={:016x}",
        stamp(&libtorch)
    );
}

/// Refuses a libtorch for another family of processors, of which the linker would only say that it
/// is skipped.
fn check_machine(library: &Path) {
    println!("cargo:rerun-if-changed=src/program/torch/elf.rs");
    let target = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    if let Some(got) = readable(library, elf::mismatch(library, &target)) {
        panic!(
            "`{}`: expected a shared library for {target}, got {got}\nhint: set LIBTORCH to a libtorch 2.11.0 for {target}; `make setup` fetches this machine's",
            library.display()
        );
    }
}

/// Keeps the C++ half of the bindings away from the linker for one binary. Its static initialisers
/// would hold libtorch in a binary that never calls it; without them the linker drops the library,
/// and code that does call it is a link error. Only where rustc's own linker is known to be used;
/// elsewhere the binary loads libtorch and starts a little later.
fn leave_libtorch_out_of(binary: &str) {
    if env::var("TARGET").is_ok_and(|target| target == "x86_64-unknown-linux-gnu") {
        for library in ["libtorch_sys-*.rlib", "libseedpipe_libtorch_shim.a"] {
            println!("cargo:rustc-link-arg-bin={binary}=-Wl,--remap-inputs=*/{library}=/dev/null");
        }
    }
}

/// Where the environment of a program in its `bin` keeps PyTorch: virtual ones, conda's and
/// `pip install --user`, Fedora's, Debian's; for all Pythons that there is a PyTorch 2.11 for.
fn python_environments() -> Vec<String> {
    const PYTHONS: [&str; 5] = ["3.10", "3.11", "3.12", "3.13", "3.14"];
    const LAYOUTS: [(&str, &str); 3] = [
        ("lib", "site-packages"),
        ("lib64", "site-packages"),
        ("lib", "dist-packages"),
    ];
    let of_layout = |(lib, packages)| {
        PYTHONS.map(|python| format!("$ORIGIN/../{lib}/python{python}/{packages}/torch/lib"))
    };
    LAYOUTS.into_iter().flat_map(of_layout).collect()
}

/// Digest of the sources, the compiler's options and libtorch's place.
fn stamp(libtorch: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    (
        libtorch,
        env::var("TARGET").ok(),
        env::var("PROFILE").ok(),
        env::var("OPT_LEVEL").ok(),
        env::var_os("CARGO_FEATURE_WHEEL"),
    )
        .hash(&mut hasher);
    for source in SOURCES {
        println!("cargo:rerun-if-changed={source}");
        hash_source(Path::new(source), &mut hasher);
    }
    hasher.finish()
}

fn hash_source(path: &Path, hasher: &mut DefaultHasher) {
    if path.is_dir() {
        let entries = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut entries: Vec<PathBuf> = readable(path, entries)
            .into_iter()
            .map(|entry| entry.path())
            .collect();
        entries.sort();
        for entry in entries {
            hash_source(&entry, hasher);
        }
    } else {
        (path, readable(path, fs::read(path))).hash(hasher);
    }
}

fn readable<T>(path: &Path, result: std::io::Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("`{}` can't be read: {error}", path.display()))
}
