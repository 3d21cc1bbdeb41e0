//! The way from `seedpipe` to `seedpipe-torch`, which has the stages that need libtorch: same arguments, same process.
//!
//! Both carry the stamp of the sources that they were built from, so that two builds never mix.

use std::convert::Infallible;
use std::env;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use crate::{Tensors, libtorch};

const NAME: &str = "seedpipe-torch";

/// Digest of the sources, made by the build script.
const STAMP: &str = env!("SEEDPIPE_BUILD_STAMP");

/// Hands the caller's stamp to the sibling.
const STAMP_VARIABLE: &str = "SEEDPIPE_BUILD_STAMP";

/// In `seedpipe-torch`: refuses a `seedpipe` of another build.
///
/// # Errors
/// When this program was started by a `seedpipe` with another stamp.
pub fn check_caller(tensors: Tensors) -> Result<()> {
    let Some(caller) = env::var_os(STAMP_VARIABLE).filter(|_| tensors == Tensors::Here) else {
        return Ok(());
    };
    if caller != STAMP {
        bail!(
            "`seedpipe` and `{NAME}` are of different builds: expected build {STAMP}, got {}\nhint: run `cargo build`, which makes both",
            caller.display()
        );
    }
    Ok(())
}

/// In `seedpipe`: becomes `seedpipe-torch` with the same arguments. Returns only on failure.
///
/// # Errors
/// When the sibling or its libtorch is missing, or it can't be started.
pub fn become_tensor_program() -> Result<Infallible> {
    let program = env::current_exe()
        .and_then(fs_err::canonicalize)
        .context("this program's own path can't be read")?;
    let sibling = program.parent().unwrap_or(Path::new("/")).join(NAME);
    if !sibling.is_file() {
        bail!(
            "`{}` is missing: it runs the stages that need libtorch\nhint: run `cargo build`, which makes both programs; when they are installed, both belong in one folder",
            sibling.display()
        );
    }
    libtorch::check()?;
    let error = Command::new(&sibling)
        .args(env::args_os().skip(1))
        .env(STAMP_VARIABLE, STAMP)
        .exec();
    Err(anyhow!(error).context(format!("`{}` can't be started", sibling.display())))
}
