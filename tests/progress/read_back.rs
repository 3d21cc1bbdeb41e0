//! Curves as TensorBoard reads them: by the Python that `SEEDPIPE_TENSORBOARD_PYTHON` names, or
//! `.peers/bin/python`, where one has it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::requirements::missing;
use crate::sandbox::REPOSITORY;

/// Tag → (step, value).
pub type Curves = BTreeMap<String, Vec<(u64, f64)>>;

const VARIABLE: &str = "SEEDPIPE_TENSORBOARD_PYTHON";

/// Run → curves, of all event files below a folder; none, told of, where there is no TensorBoard.
pub fn curves(folder: &Path) -> Option<BTreeMap<String, Curves>> {
    let python = python()?;
    let output = Command::new(&python)
        .arg(format!("{REPOSITORY}/tests/progress/read_curves.py"))
        .arg(folder)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", python.display());
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn python() -> Option<PathBuf> {
    let named = std::env::var_os(VARIABLE).map(PathBuf::from);
    let python = named.unwrap_or_else(|| Path::new(REPOSITORY).join(".peers/bin/python"));
    let found = Command::new(&python)
        .args(["-c", "import tensorboard"])
        .output();
    match found {
        Ok(output) if output.status.success() => Some(python),
        _ => {
            missing(
                "a Python with TensorBoard, in .peers or named by SEEDPIPE_TENSORBOARD_PYTHON",
                "SEEDPIPE_TENSORBOARD_PYTHON=\"$(tests/progress/install_tensorboard.sh)\"",
            );
            None
        }
    }
}
