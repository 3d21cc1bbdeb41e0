//! The Python environment that this program is installed into, as a wheel's is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use seedpipe_engine::child;

/// The interpreter's names, beside the programs of its environment.
const PYTHONS: [&str; 2] = ["python3", "python"];

/// For a Python on a slow disk.
const PATIENCE: Duration = Duration::from_secs(60);

/// Prints where PyTorch lies, without loading it; what lies in the current folder doesn't count.
const SCRIPT: &str = "
import importlib.util, sys
sys.path[:] = [entry for entry in sys.path if entry]
found = importlib.util.find_spec('torch')
if found:
    for folder in found.submodule_search_locations:
        print(folder)
";

/// The folder of PyTorch's libraries as the environment's Python knows it: wherever its paths lead.
///
/// - `programs`: the environment's `bin`
/// - returns `None` where there is no Python, or it knows no PyTorch
pub fn ask_for_torch(programs: &Path) -> Option<PathBuf> {
    let python = PYTHONS
        .map(|name| programs.join(name))
        .into_iter()
        .find(|python| python.exists())?;
    let output = child::output(Command::new(python).args(["-c", SCRIPT]), PATIENCE)
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(Path::new(text.lines().next()?).join("lib"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn programs(python: Option<&str>) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        if let Some(script) = python {
            let path = folder.path().join("python3");
            fs_err::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    }

    #[test]
    fn the_environments_python_is_believed() {
        let folder = programs(Some("echo /site/torch"));
        assert_eq!(
            ask_for_torch(folder.path()),
            Some(PathBuf::from("/site/torch/lib"))
        );
    }

    #[test]
    fn no_python_no_torch_and_a_python_that_fails_give_none() {
        for python in [None, Some("true"), Some("echo /site/torch; exit 1")] {
            assert_eq!(ask_for_torch(programs(python).path()), None, "{python:?}");
        }
    }
}
