//! A pipeline.lock of another time or place: a file, or the one that git has at a revision.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use seedpipe_base::Refusal;

use crate::base::durable::folder_of;
use crate::base::{child, yaml};
use crate::pipeline::pipeline_lock::{PipelineLock, path_for};

/// For git, which may wait for a network.
const PATIENCE: Duration = Duration::from_secs(60);
/// By which git is told of a repository, whatever folder it is called in.
const OF_ANOTHER_REPOSITORY: [&str; 10] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_GRAFT_FILE",
    "GIT_SHALLOW_FILE",
];

/// The lock that `text` names, and how to call it: an existing file first, else a git revision such
/// as `HEAD~1`, at which the pipeline's own lock file is read.
///
/// # Errors
/// [`Refusal`] when `text` names neither; another error when what it names is no lock.
pub fn lock_at(pipeline: &Path, text: &str) -> Result<(PipelineLock, String)> {
    if Path::new(text).is_file()
        && let Some(lock) = PipelineLock::read(Path::new(text))?
    {
        return Ok((lock, text.to_owned()));
    }
    let unknown = |message: String| {
        Refusal::new(message)
            .place(text)
            .hint("name a pipeline.lock, or a git revision that has one, such as `HEAD~1`")
    };
    if text.is_empty() || text.starts_with('-') || text.contains(':') {
        return Err(unknown("expected a file or a git revision, got neither".to_owned()).into());
    }
    let path = path_for(pipeline);
    let name = path
        .file_name()
        .context("the pipeline's path has no file name")?
        .to_string_lossy()
        .into_owned();
    let object = format!("{text}:./{name}");
    let mut git = Command::new("git");
    git.arg("-C")
        .arg(folder_of(&path))
        .args(["--no-pager", "show", "--no-textconv", &object])
        .env("LC_ALL", "C")
        .env("GIT_TERMINAL_PROMPT", "0");
    // In a hook git says where its own repository is: it need not be the pipeline's.
    for variable in OF_ANOTHER_REPOSITORY {
        git.env_remove(variable);
    }
    let finished = child::output(&mut git, PATIENCE).map_err(|error| {
        unknown(format!(
            "expected a file or a git revision, got no such file, and git can't be asked: {error}"
        ))
    })?;
    let is_small = finished.stdout.len() <= yaml::LOCK.bytes;
    if is_small && !finished.status.success() {
        let said = String::from_utf8_lossy(&finished.stderr);
        let mut lines = said.lines().map(str::trim);
        let remedy = lines.clone().find(|line| line.starts_with("git config "));
        let told = lines.clone().find_map(|line| line.strip_prefix("fatal: "));
        let told = told.or_else(|| lines.next()).unwrap_or_default();
        let refusal = unknown(format!(
            "expected a file or a git revision, got no such file, and git says: {told}"
        ));
        return Err(match remedy {
            Some(remedy) => refusal.hint(format!("if you trust that repository: `{remedy}`")),
            None => refusal,
        }
        .into());
    }
    let Ok(lock) = String::from_utf8(finished.stdout) else {
        bail!("{object}: expected a pipeline.lock, got bytes that are no text");
    };
    let lock = PipelineLock::parse(&object, &lock)?;
    Ok((lock, format!("{text}:{name}")))
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;

    fn git(folder: &Path, arguments: &[&str]) {
        let identity = [
            "-c",
            "user.name=n",
            "-c",
            "user.email=e@x",
            "-c",
            "commit.gpgsign=false",
        ];
        let done = Command::new("git")
            .arg("-C")
            .arg(folder)
            .args(identity)
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    }

    fn lock(seed: u64) -> String {
        let digest = crate::base::digest::Digest::of(b"x");
        format!(
            "format: 1\nstages:\n  a:\n    kind: x\n    version: 1\n    seed: {seed}\n    fingerprint: {digest}\n    content: {digest}\n"
        )
    }

    #[test]
    fn a_lock_is_read_from_a_file_or_from_a_revision() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("below");
        fs::create_dir(&below).unwrap();
        fs::write(below.join("pipeline.yaml"), "stages: {a: {kind: x}}").unwrap();
        let pipeline = below.join("pipeline.yaml");
        let read = |text: &str| lock_at(&pipeline, text);
        fs::write(below.join("pipeline.lock"), lock(1)).unwrap();
        git(folder.path(), &["init", "--quiet"]);
        git(folder.path(), &["add", "."]);
        git(folder.path(), &["commit", "--quiet", "-m", "one"]);
        fs::write(below.join("pipeline.lock"), lock(2)).unwrap();
        let other = folder.path().join("other.lock");
        fs::write(&other, lock(3)).unwrap();
        let seed = |lock: PipelineLock| lock.stage("a").unwrap().seed;
        assert_eq!(seed(read("HEAD").unwrap().0), 1);
        assert_eq!(seed(read(other.to_str().unwrap()).unwrap().0), 3);
        for (text, part) in [
            ("HEAD~7", "and git says: "),
            ("--output=/tmp/x", "got neither"),
            ("HEAD:./pipeline.yaml", "got neither"),
            ("", "got neither"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.is::<Refusal>(), "{text}");
            assert!(error.to_string().contains(part), "{error}");
            assert!(
                error.to_string().contains("\nhint: name a pipeline.lock"),
                "{error}"
            );
        }
        fs::write(&other, "no lock").unwrap();
        assert!(
            read(other.to_str().unwrap())
                .unwrap_err()
                .to_string()
                .contains("expected a pipeline.lock")
        );
    }
}
