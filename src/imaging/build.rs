//! Compiles the shim over libjpeg-turbo, and says so when libjpeg-turbo was built without its
//! assembly.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=shim");
    let mut build = cc::Build::new();
    // mozjpeg-sys builds libjpeg-turbo and tells where its headers are.
    let include = std::env::var_os("DEP_JPEG_INCLUDE").unwrap_or_default();
    build.includes(std::env::split_paths(&include));
    build.file("shim/jpeg.c").compile("seedpipe_jpeg_shim");

    let architecture = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let assembled = matches!(architecture.as_str(), "x86" | "x86_64");
    if assembled && Command::new("nasm").arg("-v").output().is_err() {
        println!(
            "cargo:warning=`nasm` is missing, so JPEG files are decoded without SIMD, several times slower; build by `make`, which \
             fetches it, or install it, after `cargo clean -p mozjpeg-sys -p seedpipe-imaging`"
        );
    }
}
