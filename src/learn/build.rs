//! Compiles the shim over libtorch's C++ and writes libtorch's folder into the tests' rpath.
//!
//! `LIBTORCH` comes from the environment or from `.cargo/config.toml`, as for torch-sys.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=torch/shim");
    let libtorch = PathBuf::from(env::var_os("LIBTORCH").unwrap_or_default());
    let include = libtorch.join("include");
    if !include.join("ATen/autocast_mode.h").exists() {
        panic!(
            "no libtorch headers in `{}`\nhint: run `make setup`, or set LIBTORCH to a libtorch 2.11.0 of your own",
            include.display()
        );
    }
    println!(
        "cargo:rustc-link-arg=-Wl,-rpath,{}",
        libtorch.join("lib").display()
    );
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .opt_level(2)
        .warnings(false)
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .file("torch/shim/gradients.cpp")
        .file("torch/shim/libtorch.cpp")
        .file("torch/shim/memory.cpp")
        .file("torch/shim/packed.cpp")
        .file("torch/shim/torchscript.cpp")
        // Kept out of the rlib: the light binary leaves it out of its link, see the root package's
        // build script.
        .link_lib_modifier("-bundle")
        .compile("seedpipe_libtorch_shim");
    println!("cargo:rustc-link-lib=dylib=dl");
}
