//! The last run of each stage by name:
//! `<cache>/v1/history/<digest of the pipeline's path>/<stage>.json`. This is what `explain`
//! compares with, and what tells `gc` which artifacts a pipeline had last.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::base::canonical::canonical_text;
use crate::base::digest::Digest;
use crate::base::{durable, untrusted};
use crate::cache::processes::lease;
use crate::cache::processes::locks::Guard;
use crate::cache::recipe::Recipe;
use crate::cache::source::{self, FileChange};
use crate::cache::stat_cache::Record;
use crate::cache::store::{Store, folders_in};

/// Holds the path of the pipeline that a folder belongs to.
const PIPELINE: &str = "pipeline.path";
/// More than any system allows.
const LONGEST_PATH: u64 = 64 << 10;

/// A stage's last run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LastRun {
    pub stage: String,
    pub fingerprint: Digest,
    pub content: Digest,
    pub recipe: Recipe,
    /// Slot → what was connected.
    pub inputs: BTreeMap<String, Vec<LastInput>>,
}

/// What was connected to an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastInput {
    pub stage: String,
    pub output: String,
    pub content: Digest,
}

/// One pipeline's last runs.
#[derive(Debug)]
pub(crate) struct History {
    folder: PathBuf,
    pipeline: PathBuf,
    gate: PathBuf,
}

impl History {
    /// Touches nothing.
    pub fn new(store: &Store, pipeline: &Path) -> Result<History> {
        let pipeline = std::path::absolute(pipeline)?;
        let name = Digest::of(pipeline.as_os_str().as_bytes()).prefix(16);
        Ok(History {
            folder: store.history().join(name),
            pipeline,
            gate: lease::gate(store),
        })
    }

    /// The last run of a stage; `None` when there was none or its record can't be read.
    pub fn last(&self, stage: &str) -> Option<LastRun> {
        read(&self.path(stage))
    }

    /// Keeps a run, unless it is the one that is kept already.
    pub fn keep(&self, run: &LastRun) -> Result<()> {
        let pipeline = self.folder.join(PIPELINE);
        if !pipeline.exists() {
            // `gc` removes folders that name no pipeline: it must not see this one before it does.
            let _gate = Guard::shared(&self.gate)?;
            durable::write_if_changed(&pipeline, self.pipeline.as_os_str().as_bytes())?;
        }
        let value = serde_json::to_value(run).expect("BUG: a run's record is JSON");
        durable::write_if_changed(&self.path(&run.stage), canonical_text(&value).as_bytes())?;
        Ok(())
    }

    /// Whether it is kept which files a source had when it had that digest.
    pub(crate) fn has_listing(&self, source: &str, digest: Digest) -> bool {
        source::is_kept(&self.folder, source, digest)
    }

    /// Keeps which files a folder source had.
    pub(crate) fn keep_listing(
        &self,
        source: &str,
        digest: Digest,
        records: &[Record],
    ) -> Result<()> {
        source::keep(&self.folder, source, digest, records)
    }

    /// What differs between a folder source as a run here last saw it, when it had that digest, and
    /// these files.
    pub(crate) fn file_changes(
        &self,
        source: &str,
        old: Digest,
        records: &[Record],
    ) -> Vec<FileChange> {
        source::read(&self.folder, source, old).map_or_else(Vec::new, |listing| {
            source::changes(source, &listing, records)
        })
    }

    /// All last runs of the pipeline, sorted by stage.
    pub fn all(&self) -> Result<Vec<LastRun>> {
        runs_in(&self.folder)
    }

    fn path(&self, stage: &str) -> PathBuf {
        self.folder.join(format!("{}.json", file_stem(stage)))
    }
}

/// A stage's name as part of a file's: plain letters stay, others become `%` and two hexadecimal
/// digits, and what would be too long ends in `~` and a digest. Different names have different
/// files.
fn file_stem(stage: &str) -> String {
    const LONGEST: usize = 160;
    let mut stem = String::new();
    for byte in stage.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            stem.push(char::from(byte));
        } else {
            stem.push_str(&format!("%{byte:02x}"));
        }
    }
    if stem.len() > LONGEST {
        stem.truncate(LONGEST - 33);
        stem.push('~');
        stem.push_str(&Digest::of(stage.as_bytes()).prefix(32));
    }
    stem
}

/// A pipeline that used this cache.
#[derive(Debug)]
pub(crate) struct KnownPipeline {
    pub folder: PathBuf,
    /// `None` when the record is damaged.
    pub path: Option<PathBuf>,
    pub runs: Vec<LastRun>,
}

/// Every pipeline that used the cache.
pub(crate) fn pipelines(store: &Store) -> Result<Vec<KnownPipeline>> {
    let folders = folders_in(&store.history())?;
    let known = folders.into_iter().map(|folder| {
        let path = match untrusted::read(&folder.join(PIPELINE), LONGEST_PATH) {
            Ok(bytes) => Some(PathBuf::from(std::ffi::OsStr::from_bytes(&bytes))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        Ok(KnownPipeline {
            path,
            runs: runs_in(&folder)?,
            folder,
        })
    });
    known.collect()
}

fn runs_in(folder: &Path) -> Result<Vec<LastRun>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut runs = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            runs.extend(read(&path));
        }
    }
    runs.sort_by(|left: &LastRun, right| left.stage.cmp(&right.stage));
    Ok(runs)
}

/// A record that doesn't read is none: it only serves explanations.
fn read(path: &Path) -> Option<LastRun> {
    let text = untrusted::read_text(path, untrusted::MAXIMAL_RECORD);
    serde_json::from_str(&text.ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::manifest::tests::example;

    #[test]
    fn every_name_has_a_file_of_its_own_inside_the_folder() {
        let long = "x".repeat(300);
        let names = [
            "student",
            "student[width=2,lr=0.3]",
            "student[width=2,lr=0_3]",
            "student%5bwidth",
            "a/b",
            "../a",
            "",
            &long,
            &long[1..],
        ];
        let stems: std::collections::BTreeSet<String> = names.map(file_stem).into();
        assert_eq!(stems.len(), names.len());
        for stem in &stems {
            assert!(stem.len() <= 160 && !stem.contains(['/', '.']), "{stem}");
        }
        assert_eq!(file_stem("student[lr=0.3]"), "student%5blr%3d0%2e3%5d");
    }

    #[test]
    fn the_last_run_is_kept_by_pipeline_and_stage() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        store.prepare().unwrap();
        let pipeline = folder.path().join("pipeline.yaml");
        let history = History::new(&store, &pipeline).unwrap();
        assert_eq!(history.last("views"), None);
        let manifest = example();
        let run = LastRun {
            stage: "views".into(),
            fingerprint: manifest.fingerprint,
            content: manifest.content,
            recipe: manifest.recipe,
            inputs: BTreeMap::new(),
        };
        history.keep(&run).unwrap();
        assert_eq!(history.last("views"), Some(run.clone()));
        assert_eq!(
            History::new(&store, &folder.path().join("other.yaml"))
                .unwrap()
                .last("views"),
            None
        );
        let known = pipelines(&store).unwrap();
        assert_eq!(known[0].path, Some(pipeline));
        assert_eq!(known[0].runs, [run]);
    }
}
