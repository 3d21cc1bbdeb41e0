//! Another lock to hold the pipeline against: a file, or pipeline.lock as a git revision has it.

use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use seedpipe_engine::{PipelineLock, Project};

use crate::usage::UsageError;

/// The lock that `reference` names, and how to call it.
///
/// # Errors
/// [`UsageError`] when there is no such file, git doesn't know the revision or isn't there; another error when the text is no lock.
pub fn read(reference: &str, project: &Project) -> Result<(PipelineLock, String)> {
    let path = Path::new(reference);
    if path.is_file() {
        let lock = PipelineLock::read(path)?
            .with_context(|| format!("`{reference}` went away while it was read"))?;
        return Ok((lock, reference.to_owned()));
    }
    let name = project.lock_file();
    let name = name.file_name().unwrap_or_default().to_string_lossy();
    let place = format!("{reference}:{name}");
    Ok((
        PipelineLock::parse(&place, &show(reference, &name, project)?)?,
        place,
    ))
}

/// `git show REVISION:./pipeline.lock`.
fn show(revision: &str, name: &str, project: &Project) -> Result<String> {
    let refused = |got: &str| {
        let message = format!(
            "expected a lock file, or a git revision that has `{name}`, got `{revision}`: {got}"
        );
        let hint = "name a file, or a revision such as `HEAD~1` in a repository where the lock is committed";
        UsageError::new(message, hint)
    };
    if revision.is_empty() || revision.starts_with('-') {
        return Err(refused("this names neither").into());
    }
    let folder = match project.folder() {
        folder if folder.as_os_str().is_empty() => Path::new("."),
        folder => folder,
    };
    let shown = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["show", "--end-of-options", &format!("{revision}:./{name}")])
        .output();
    let shown = match shown {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(refused("no such file, and git is not installed").into());
        }
        shown => shown.context("git can't be started")?,
    };
    if !shown.status.success() {
        let told = String::from_utf8_lossy(&shown.stderr);
        let told = told.lines().next().unwrap_or("git failed");
        return Err(refused(&format!("no such file, and git says: {told}")).into());
    }
    String::from_utf8(shown.stdout)
        .with_context(|| format!("`{revision}`: its `{name}` is no UTF-8"))
}
