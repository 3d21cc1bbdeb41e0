//! What 8 bits win in speed: images a second of the fp32 and the int8 file in onnxruntime, on this
//! machine.
//!
//! Our own runtime computes no 8 bits, and onnxruntime comes with Python: a script measures both
//! files in turns. It is run by `SEEDPIPE_PYTHON`, else `python3`; where neither has onnxruntime,
//! the user is told how to get it. Seconds go to the terminal alone: into no file and no digest.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use seedpipe_base::hinted;
use seedpipe_engine::{child, unique_name};
use serde::Deserialize;

use crate::terminal::figures;

const SCRIPT: &str = include_str!("onnx_speed.py");
const PYTHON: &str = "SEEDPIPE_PYTHON";
const SECONDS: &str = "3";
/// Loading included, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(600);
/// The script's exit code when a module is missing.
const MISSING: i32 = 3;

/// What the script prints.
#[derive(Deserialize)]
struct SpeedReport {
    onnxruntime: String,
    batch: usize,
    /// Of the fp32 file and the int8 file.
    images_per_second: [f64; 2],
}

/// Images a second.
pub struct Speed {
    pub fp32: f64,
    pub int8: f64,
    /// How it was measured.
    by: String,
}

impl Speed {
    pub fn line(&self) -> String {
        format!(
            "{:.2} times the images a second of fp32: {} instead of {} ({})",
            self.int8 / self.fp32,
            figures::rate(self.int8),
            figures::rate(self.fp32),
            self.by
        )
    }
}

/// The speed, or why there is none, for the user.
pub type MeasuredSpeed = std::result::Result<Speed, String>;

/// Measures both files, which are written to a folder that is removed again.
///
/// # Errors
/// When that folder can't be written. That nothing can be measured is no error.
pub fn measure(fp32: &[u8], int8: &[u8]) -> Result<MeasuredSpeed> {
    let folder = TemporaryFolder::create()?;
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.0.join(name);
        fs_err::write(&path, bytes).map(|()| path)
    };
    let script = write("onnx_speed.py", SCRIPT.as_bytes())?;
    let files = [write("fp32.onnx", fp32)?, write("int8.onnx", int8)?];
    let python = env::var(PYTHON).unwrap_or_else(|_| "python3".to_owned());
    let mut command = Command::new(&python);
    command
        .arg(script)
        .args(files)
        .args(["--json", "--seconds", SECONDS]);
    let output = child::output(&mut command, PATIENCE);
    let unmeasured = |why: &str| {
        hinted(
            format!("the speed was not measured: `{python}` {why}"),
            format!("`pip install onnxruntime`, and name that Python by {PYTHON}"),
        )
    };
    let output = match output {
        Ok(output) => output,
        Err(error) => return Ok(Err(unmeasured(&format!("can't be run: {error}")))),
    };
    if output.status.code() == Some(MISSING) {
        return Ok(Err(unmeasured("has no onnxruntime")));
    }
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.trim().lines().last().unwrap_or("no reason");
        return Ok(Err(unmeasured(&format!("failed: {last}"))));
    }
    let report: SpeedReport = match serde_json::from_slice(&output.stdout) {
        Ok(report) => report,
        Err(_) => return Ok(Err(unmeasured("printed something else than figures"))),
    };
    let [fp32, int8] = report.images_per_second;
    Ok(Ok(Speed {
        fp32,
        int8,
        by: format!(
            "onnxruntime {}, one thread, {} at once",
            report.onnxruntime, report.batch
        ),
    }))
}

/// Removed with all that is in it.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn create() -> Result<Self> {
        let path = env::temp_dir().join(format!("seedpipe-speed-{}", unique_name()));
        create_private(&path)
            .with_context(|| format!("`{}` can't be made", figures::path(&path)))?;
        Ok(Self(path))
    }
}

/// Nobody else may put a module beside the script. Fails when somebody was there first.
fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(path)
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let _ = fs_err::remove_dir_all(&self.0); // a temporary folder that stays does no harm
    }
}
