//! Hashes every file of artifacts again and names all that is not as its manifest says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;
use std::{fmt, io};

use anyhow::Result;
use fs_err as fs;
use rayon::prelude::*;
use seedpipe_base::{hinted, text};
use serde::Serialize;

use crate::base::digest::Digest;
use crate::base::untrusted;
use crate::cache::manifest::{Manifest, PartRecord};
use crate::cache::store::{Entry, MANIFEST};
use crate::check::repair::Repaired;
use crate::kind::observer::{Observer, Progress};
use crate::lockfile::present::LockedArtifacts;
use crate::pipeline::pipeline_lock::{PipelineLock, path_for};
use crate::run::engine::Engine;

/// Which artifacts to verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VerifyScope {
    /// What the pipeline's plan, its lock and its last runs refer to.
    #[default]
    Pipeline,
    /// Everything in the cache.
    Cache,
}

/// What was verified and what was wrong.
#[derive(Debug, Clone, Serialize)]
pub struct VerifyReport {
    pub artifacts: Vec<VerifiedArtifact>,
    pub files: usize,
    pub bytes: u64,
    pub seconds: f64,
    /// How pipeline.lock stands to the cache; `None` where there is no lock.
    pub lock: Option<LockedArtifacts>,
    /// What `repair` did, by artifact.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repaired: Vec<Repaired>,
}

/// One artifact and its faults.
#[derive(Debug, Clone, Serialize)]
pub struct VerifiedArtifact {
    /// Stages of the pipeline that have it, or had it last; empty for other pipelines'.
    pub stages: Vec<String>,
    /// Empty when its manifest can't be read and no stage is known.
    pub kind: String,
    pub fingerprint: Digest,
    /// First 16 digits of the content digest: the folder's name.
    pub content: String,
    pub directory: PathBuf,
    /// Files hashed, the manifest among them.
    pub files: usize,
    pub faults: Vec<FileFault>,
}

/// A file that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileFault {
    /// Inside the artifact's folder: `views/v00000.parquet`, `manifest.json`.
    pub file: String,
    pub expected: String,
    pub found: String,
}

impl VerifyReport {
    /// Whether nothing is damaged, and the lock says of what is here what it is.
    pub fn is_good(&self) -> bool {
        self.faults().next().is_none() && self.contradictions().is_empty()
    }

    /// Whether all that pipeline.lock names is here.
    pub fn is_complete(&self) -> bool {
        self.absent().is_empty()
    }

    fn absent(&self) -> &[String] {
        self.lock.as_ref().map_or(&[], |lock| &lock.absent)
    }

    pub(crate) fn contradictions(&self) -> &[String] {
        self.lock.as_ref().map_or(&[], |lock| &lock.contradictions)
    }

    /// Every fault with its artifact.
    pub fn faults(&self) -> impl Iterator<Item = (&VerifiedArtifact, &FileFault)> {
        self.artifacts
            .iter()
            .flat_map(|artifact| artifact.faults.iter().map(move |fault| (artifact, fault)))
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (artifact, fault) in self.faults() {
            writeln!(
                formatter,
                "{} {}/{}: `{}`: expected {}, found {}",
                name_of(artifact),
                artifact.fingerprint.short(),
                artifact.content,
                fault.file,
                fault.expected,
                fault.found
            )?;
        }
        for contradiction in self.contradictions() {
            writeln!(formatter, "{contradiction}")?;
        }
        let faults = self.faults().count() + self.contradictions().len();
        let verdict = match faults {
            0 if self.artifacts.is_empty() => "nothing to verify".to_owned(),
            0 => "all good".to_owned(),
            _ => hinted(
                match faults {
                    1 => "1 fault".to_owned(),
                    _ => format!("{faults} faults"),
                },
                "run again: a damaged artifact is never used and made anew",
            ),
        };
        write!(
            formatter,
            "{} artifacts, {} files, {}: {verdict}",
            self.artifacts.len(),
            self.files,
            text::bytes(self.bytes)
        )?;
        // What a repair removed it says itself.
        if let Some(lock) = &self.lock
            && !lock.absent.is_empty()
            && self.repaired.is_empty()
        {
            let absent = format!(
                "\n{} of {} artifacts of pipeline.lock are here; absent: {}",
                lock.stages - lock.absent.len(),
                lock.stages,
                lock.absent.join(", ")
            );
            let remedy = "`seedpipe run` makes them, `seedpipe pull` fetches them";
            formatter.write_str(&hinted(absent, remedy))?;
        }
        self.repaired
            .iter()
            .try_for_each(|repaired| write!(formatter, "\n{repaired}"))
    }
}

/// What is expected of a file that no manifest names.
pub(crate) const NO_SUCH_FILE: &str = "no such file";

/// A file to hash.
struct Check {
    artifact: usize,
    file: String,
    path: PathBuf,
    part: PartRecord,
}

impl Engine {
    /// Hashes every file of the artifacts in scope. Read-only, but for the seals of damaged
    /// artifacts: a run would believe them where a disk changed a file without its stat. Reports
    /// its progress as stage `verify`.
    pub fn verify(&self, scope: VerifyScope, observer: &dyn Observer) -> Result<VerifyReport> {
        let start = Instant::now();
        let known = self.known_fingerprints()?;
        let fingerprints: Vec<Digest> = match scope {
            VerifyScope::Pipeline => known.keys().copied().collect(),
            VerifyScope::Cache => self.store.fingerprints()?,
        };
        let mut artifacts = Vec::new();
        let mut checks = Vec::new();
        for fingerprint in fingerprints {
            let stages = known.get(&fingerprint).cloned().unwrap_or_default();
            for Entry { directory, .. } in self.store.entries(fingerprint)? {
                let (artifact, parts) = self.manifest_check(fingerprint, &stages, directory)?;
                checks.extend(checks_of(artifacts.len(), &artifact, parts));
                artifacts.push(artifact);
            }
        }
        let progress = Progress::new("verify", observer);
        progress.begin("verifying", "files", checks.len() as u64, 0);
        let faults: Vec<Option<FileFault>> = checks
            .par_iter()
            .map(|check| {
                let fault = file_fault(check);
                progress.advance(1);
                fault
            })
            .collect();
        progress.finish();
        for (check, fault) in checks.iter().zip(faults) {
            artifacts[check.artifact].faults.extend(fault);
        }
        // What `gc` or a repair removed meanwhile is not damaged: it is not there any more.
        artifacts.retain(|artifact| artifact.faults.is_empty() || artifact.directory.exists());
        for damaged in artifacts
            .iter()
            .filter(|artifact| !artifact.faults.is_empty())
        {
            let seals = self.store.seals();
            if let Err(error) = seals.remove(&damaged.fingerprint, &damaged.content) {
                observer.warning(None, &format!("{error}: a run may use a damaged artifact"));
            }
        }
        Ok(VerifyReport {
            files: artifacts.iter().map(|artifact| artifact.files).sum(),
            bytes: checks
                .iter()
                .fold(0, |sum: u64, check| sum.saturating_add(check.part.bytes)),
            artifacts,
            seconds: start.elapsed().as_secs_f64(),
            lock: self.locked_artifacts()?,
            repaired: Vec::new(),
        })
    }

    /// What is wrong with one artifact now.
    pub(crate) fn faults_of(&self, artifact: &VerifiedArtifact) -> Result<Vec<FileFault>> {
        let (artifact, parts) = self.manifest_check(
            artifact.fingerprint,
            &BTreeSet::new(),
            artifact.directory.clone(),
        )?;
        let checks = checks_of(0, &artifact, parts);
        let mut faults = artifact.faults;
        faults.extend(checks.iter().filter_map(file_fault));
        Ok(faults)
    }

    /// Reads and checks a manifest and looks for files that it doesn't name; gives the files that
    /// it does.
    fn manifest_check(
        &self,
        fingerprint: Digest,
        stages: &BTreeSet<String>,
        directory: PathBuf,
    ) -> Result<(VerifiedArtifact, Vec<(String, PartRecord)>)> {
        let content = directory
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let kind = stages
            .iter()
            .find_map(|stage| Some(self.project.stage(stage).ok()?.kind.clone()));
        let mut artifact = VerifiedArtifact {
            stages: stages.iter().cloned().collect(),
            kind: kind.unwrap_or_default(),
            fingerprint,
            content,
            directory,
            files: 1,
            faults: Vec::new(),
        };
        let mut parts = Vec::new();
        match read_manifest(&artifact) {
            Ok(manifest) => {
                artifact.kind.clone_from(&manifest.recipe.kind);
                for (slot, output) in manifest.outputs {
                    parts.extend(output.parts.into_iter().map(|part| (slot.clone(), part)));
                }
                artifact.files += parts.len();
                let named: BTreeSet<PathBuf> = parts
                    .iter()
                    .map(|(slot, part)| artifact.directory.join(slot).join(&part.name))
                    .collect();
                for path in files_below(&artifact.directory)? {
                    if !named.contains(&path) && path != artifact.directory.join(MANIFEST) {
                        let file = path
                            .strip_prefix(&artifact.directory)
                            .unwrap_or(&path)
                            .display()
                            .to_string();
                        artifact.faults.push(FileFault {
                            file,
                            expected: NO_SUCH_FILE.into(),
                            found: "a file".into(),
                        });
                    }
                }
            }
            Err(fault) => artifact.faults.push(fault),
        }
        Ok((artifact, parts))
    }

    /// What the plan, the lock and the last runs refer to, and the stages that do.
    pub(crate) fn known_fingerprints(&self) -> Result<BTreeMap<Digest, BTreeSet<String>>> {
        let mut known: BTreeMap<Digest, BTreeSet<String>> = BTreeMap::new();
        let mut add = |fingerprint, stage: &str| {
            known
                .entry(fingerprint)
                .or_default()
                .insert(stage.to_owned());
        };
        let all = (0..self.project.stages().len()).collect();
        for (index, resolved) in self.resolve(&all)? {
            if let Some(fingerprint) = resolved.fingerprint {
                add(fingerprint, &self.project.stages()[index].name);
            }
        }
        if let Some(lock) = PipelineLock::read(&path_for(self.project.path()))? {
            for (stage, locked) in lock.stages {
                add(locked.fingerprint, &stage);
            }
        }
        for run in self.history.all()? {
            add(run.fingerprint, &run.stage);
        }
        Ok(known)
    }
}

fn checks_of(
    number: usize,
    artifact: &VerifiedArtifact,
    parts: Vec<(String, PartRecord)>,
) -> Vec<Check> {
    let checks = parts.into_iter().map(|(slot, part)| Check {
        artifact: number,
        file: format!("{slot}/{}", part.name),
        path: artifact.directory.join(slot).join(&part.name),
        part,
    });
    checks.collect()
}

fn read_manifest(artifact: &VerifiedArtifact) -> Result<Manifest, FileFault> {
    let fault = |expected: &str, found: String| FileFault {
        file: MANIFEST.to_owned(),
        expected: expected.to_owned(),
        found,
    };
    let text = untrusted::read_text(
        &artifact.directory.join(MANIFEST),
        untrusted::MAXIMAL_RECORD,
    )
    .map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => fault("a manifest", "no such file".to_owned()),
        _ => fault("a manifest", error.to_string()),
    })?;
    let manifest =
        Manifest::decode(&text).map_err(|error| fault("a whole manifest", error.to_string()))?;
    manifest
        .check()
        .map_err(|error| fault("a manifest that agrees with itself", error.to_string()))?;
    if manifest.fingerprint != artifact.fingerprint
        || manifest.content.prefix(16) != artifact.content
    {
        let found = format!(
            "that of {}/{}",
            manifest.fingerprint.short(),
            manifest.content.prefix(16)
        );
        return Err(fault("the manifest of its folder", found));
    }
    Ok(manifest)
}

fn file_fault(check: &Check) -> Option<FileFault> {
    let fault = |expected: String, found: String| {
        Some(FileFault {
            file: check.file.clone(),
            expected,
            found,
        })
    };
    let length = match fs::symlink_metadata(&check.path) {
        Ok(metadata) if !metadata.is_file() => {
            return fault("a file".to_owned(), "a link, or a folder".to_owned());
        }
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return fault(
                format!("{} bytes", check.part.bytes),
                "no such file".to_owned(),
            );
        }
        Err(error) => return fault(format!("{} bytes", check.part.bytes), error.to_string()),
    };
    if length != check.part.bytes {
        return fault(
            format!("{} bytes", check.part.bytes),
            format!("{length} bytes"),
        );
    }
    let expected = format!("BLAKE3 {}", check.part.blake3);
    match Digest::of_file(&check.path) {
        Ok(found) if found == check.part.blake3 => None,
        Ok(found) => fault(expected, format!("BLAKE3 {found}")),
        Err(error) => fault(expected, error.to_string()),
    }
}

/// All files in a folder and in its folders, sorted.
pub(crate) fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            // Gone meanwhile: a run beside removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// What people know the artifact by.
pub(crate) fn name_of(artifact: &VerifiedArtifact) -> String {
    match artifact.stages.as_slice() {
        [] if artifact.kind.is_empty() => "artifact".to_owned(),
        [] => artifact.kind.clone(),
        stages => stages.join(", "),
    }
}
