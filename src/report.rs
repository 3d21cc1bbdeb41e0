//! Writes the page of a `report` stage out of the cache to where its `path` param says, beside pipeline.yaml.

use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result};
use seedpipe_artifact::FilesReader;
use seedpipe_engine::{Artifact, Project, StageNode};

use crate::usage::UsageError;

const KIND: &str = "report";
const OUTPUT: &str = "report";
/// Name of the page inside the artifact.
const PAGE: &str = "report.html";
const DEFAULT_PATH: &str = "report.html";

/// Whether this stage makes a page.
pub fn is_report(stage: &StageNode) -> bool {
    stage.kind == KIND
}

/// Where a report stage's page goes.
pub fn path(project: &Project, stage: &StageNode) -> PathBuf {
    let path = stage.params.get("path").and_then(|path| path.as_str()).unwrap_or(DEFAULT_PATH);
    project.folder().join(path)
}

/// Refuses two report stages that would write one file.
///
/// # Errors
/// [`UsageError`] naming both.
pub fn check_paths(project: &Project) -> Result<()> {
    let reports: Vec<&StageNode> = project.stages().iter().filter(|stage| is_report(stage)).collect();
    for (position, stage) in reports.iter().enumerate() {
        let path = path(project, stage);
        if let Some(earlier) = reports[..position].iter().find(|earlier| self::path(project, earlier) == path) {
            return Err(UsageError::new(
                format!(
                    "{}: stage `{}`: key `params.path`: expected a file of its own, got `{}`, which stage `{}` writes",
                    project.path().display(),
                    stage.name,
                    path.display(),
                    earlier.name
                ),
                format!("set `path` of `{}` to another name", stage.name),
            )
            .into());
        }
    }
    Ok(())
}

/// Writes the page, in one step, when the file differs from it.
///
/// # Errors
/// When the artifact holds no page, or the file can't be written.
pub fn write(artifact: &Artifact, path: &Path) -> Result<()> {
    let files = FilesReader::open(&artifact.parts(OUTPUT))?.read_all()?;
    let page = files
        .into_iter()
        .find(|file| file.name == PAGE)
        .with_context(|| format!("`{}` holds no `{PAGE}`", artifact.directory.display()))?;
    if path.is_file() && fs_err::read(path)? == page.bytes {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    if !folder.as_os_str().is_empty() {
        fs_err::create_dir_all(folder)?;
    }
    let draft = folder.join(format!(".{PAGE}.{}.part", process::id()));
    fs_err::write(&draft, &page.bytes)?;
    fs_err::rename(&draft, path).inspect_err(|_| {
        // The draft is of no use; what failed is told by the error itself.
        let _ = fs_err::remove_file(&draft);
    })?;
    Ok(())
}
