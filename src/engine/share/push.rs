//! `push`: artifacts of the cache into the remote. All files first, then manifests, then indices;
//! files that are there are left alone, so that an interrupted push goes on where it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Result, bail};
use seedpipe_base::{Refusal, hinted};
use serde::Serialize;

use crate::base::cancel;
use crate::base::digest::Digest;
use crate::cache::artifact::Artifact;
use crate::cache::manifest::Manifest;
use crate::cache::processes::lease::Lease;
use crate::cache::remote::{
    CONTENT_DIGITS, INDEX_LIMIT, Index, Remote, SharedRemote, Trouble, artifact_folder, blob_key,
    index_key, manifest_key,
};
use crate::cache::store::Lookup;
use crate::kind::observer::{Observer, Progress};
use crate::pipeline::plan;
use crate::run::engine::{Engine, RunOptions};
use crate::share::hashed_file::{Blob, HashedFile};
use crate::share::offer::{self, in_parallel};
use seedpipe_base::suggestion;

/// The progress of a push goes under this name.
const PUSH: &str = "push";

/// What to push.
#[derive(Debug, Clone, Default)]
pub struct PushOptions {
    /// Names of stages, each with what it needs; none: all that are cached.
    pub targets: Vec<String>,
    /// Every artifact of the cache, whatever pipeline made it.
    pub all: bool,
}

/// What is to be pushed.
struct PushSelection {
    /// Names and artifacts, every stage after what it needs.
    artifacts: Vec<(String, Artifact)>,
    /// What is damaged in the cache.
    faults: Vec<String>,
}

/// What several threads count.
#[derive(Default)]
struct Counts {
    files: usize,
    bytes: u64,
    files_there: usize,
    bytes_there: u64,
    /// Files that aren't what their manifest says: what was found.
    damaged: BTreeMap<Digest, String>,
}

impl Engine {
    /// Writes artifacts into the remote.
    ///
    /// Fails when the remote can't be reached or written, and, after everything else is there, when
    /// files in the cache are damaged: their artifacts are not pushed.
    pub fn push(&self, options: &PushOptions, observer: &dyn Observer) -> Result<PushReport> {
        let start = Instant::now();
        let shared = self.expect_remote()?;
        if !shared.remote.is_writable() {
            let message = format!(
                "remote `{}`: expected one that can be written, got a read-only one",
                shared.remote.name()
            );
            bail!(
                Refusal::failure(message)
                    .hint("push to a folder, s3://, gs:// or az://, and serve that over HTTP")
            );
        }
        let mut report = PushReport::default();
        self.store.prepare()?;
        let mut lease = Lease::begin(&self.store).map_err(|error| self.store.unwritable(&error))?;
        let PushSelection { artifacts, faults } = self.to_push(options, &mut lease, &mut report)?;
        self.push_artifacts(shared, &artifacts, observer, &mut report)?;
        refuse(faults)?;
        report.seconds = start.elapsed().as_secs_f64();
        Ok(report)
    }

    /// After a stage was executed, when the remote is written back to. What fails is told and stops
    /// nothing.
    pub(crate) fn write_back(&self, stage: &str, artifact: &Artifact, observer: &dyn Observer) {
        let Some(shared) = self
            .shared_remote
            .as_ref()
            .filter(|shared| shared.write_back && shared.is_up())
        else {
            return;
        };
        let mut report = PushReport::default();
        let artifacts = [(stage.to_owned(), artifact.clone())];
        if let Err(error) = self.push_artifacts(shared, &artifacts, observer, &mut report) {
            observer.warning(
                Some(stage),
                &format!("it is in the cache, but not in the remote: {error:#}"),
            );
        }
    }

    fn to_push(
        &self,
        options: &PushOptions,
        lease: &mut Lease,
        report: &mut PushReport,
    ) -> Result<PushSelection> {
        let run = RunOptions {
            targets: options.targets.clone(),
            ..RunOptions::default()
        };
        let targets = self.targets(&run)?;
        let needed = plan::wanted(&self.project.needs(), targets.iter().copied());
        let resolved = self.resolve(&needed)?;
        let mut artifacts: Vec<(String, Artifact)> = Vec::new();
        let mut faults = Vec::new();
        for index in self.in_order(&needed) {
            let node = &self.project.stages()[index];
            let fingerprint = resolved[&index].fingerprint;
            let found = match fingerprint {
                Some(fingerprint) => {
                    lease.use_while(fingerprint, || Ok(self.store.find(fingerprint)?))?
                }
                None => Lookup::default(),
            };
            let named = found.faults.iter();
            faults.extend(named.map(|fault| format!("stage `{}`: {fault}", node.name)));
            match found.artifact {
                Some(artifact) => artifacts.push((node.name.clone(), artifact)),
                None if options.targets.contains(&node.name) && faults.is_empty() => {
                    return Err(Refusal::new("expected it in the cache, got nothing there")
                        .place(self.place())
                        .stage(&node.name)
                        .hint(format!("run `{}` first", node.name))
                        .into());
                }
                None => report.not_cached.push(node.name.clone()),
            }
        }
        if options.all {
            let mut known: BTreeSet<(Digest, Digest)> = artifacts
                .iter()
                .map(|(_, artifact)| (artifact.fingerprint, artifact.content))
                .collect();
            for fingerprint in self.store.fingerprints()? {
                let found = lease.use_while(fingerprint, || Ok(self.store.find(fingerprint)?))?;
                faults.extend(found.faults);
                let all = found.others.into_iter().chain(found.artifact);
                for artifact in all.filter(|artifact| known.insert((fingerprint, artifact.content)))
                {
                    artifacts.push((artifact.manifest.recipe.kind.clone(), artifact));
                }
            }
        }
        faults.sort();
        faults.dedup();
        Ok(PushSelection { artifacts, faults })
    }

    fn push_artifacts(
        &self,
        shared: &SharedRemote,
        artifacts: &[(String, Artifact)],
        observer: &dyn Observer,
        report: &mut PushReport,
    ) -> Result<()> {
        let remote = shared.remote.as_ref();
        let counts = push_files(remote, artifacts, observer).map_err(Trouble::into_error)?;
        (report.files, report.bytes) = (counts.files, counts.bytes);
        (report.files_there, report.bytes_there) = (counts.files_there, counts.bytes_there);
        let is_whole = |artifact: &Artifact| {
            artifact
                .files()
                .all(|(_, part)| !counts.damaged.contains_key(&part.blake3))
        };
        let whole: Vec<&(String, Artifact)> = artifacts
            .iter()
            .filter(|(_, artifact)| is_whole(artifact))
            .collect();
        let conflicts = Mutex::new(Vec::new());
        in_parallel(&whole, |(name, artifact)| {
            push_manifest(remote, artifact).map_err(Trouble::Unreachable)?;
            let found = push_index(remote, name, artifact).map_err(Trouble::Unreachable)?;
            conflicts
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(found);
            Ok(())
        })
        .map_err(Trouble::into_error)?;
        report.artifacts = whole
            .iter()
            .map(|(name, artifact)| PushedArtifact {
                name: name.clone(),
                fingerprint: artifact.fingerprint,
                content: artifact.content,
                files: artifact.files().count(),
                bytes: artifact.bytes(),
            })
            .collect();
        report.conflicts = conflicts
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        report
            .conflicts
            .sort_by(|left, right| (&left.name, left.there).cmp(&(&right.name, right.there)));
        for conflict in &report.conflicts {
            observer.warning(Some(&conflict.name), &conflict.to_string());
        }
        refuse_damaged(artifacts, &counts.damaged)
    }
}

/// Names every artifact that was not pushed because of its files.
fn refuse_damaged(
    artifacts: &[(String, Artifact)],
    damaged: &BTreeMap<Digest, String>,
) -> Result<()> {
    let faults = artifacts.iter().flat_map(|(name, artifact)| {
        artifact.files().filter_map(move |(slot, part)| {
            let found = damaged.get(&part.blake3)?;
            Some(format!("stage `{name}`: `{slot}/{}`: {found}", part.name))
        })
    });
    refuse(faults.collect())
}

fn refuse(faults: Vec<String>) -> Result<()> {
    if faults.is_empty() {
        return Ok(());
    }
    let message = format!(
        "damaged in the cache, and not pushed: {}",
        faults.join("; ")
    );
    bail!(
        Refusal::failure(message)
            .hint("`seedpipe verify` names all damage; what is damaged is made again by `seedpipe run --force STAGE`")
    )
}

/// Uploads the files that aren't there.
fn push_files(
    remote: &dyn Remote,
    artifacts: &[(String, Artifact)],
    observer: &dyn Observer,
) -> Result<Counts, Trouble> {
    let mut blobs: BTreeMap<Digest, Blob> = BTreeMap::new();
    for (_, artifact) in artifacts {
        for (slot, part) in artifact.files() {
            blobs.entry(part.blake3).or_insert_with(|| Blob {
                path: artifact.directory.join(slot).join(&part.name),
                bytes: part.bytes,
                blake3: part.blake3,
                file: format!("{slot}/{}", part.name),
            });
        }
    }
    let mut blobs: Vec<Blob> = blobs.into_values().collect();
    // The largest first, so that none is left alone in the end.
    blobs.sort_by_key(|blob| (std::cmp::Reverse(blob.bytes), blob.blake3));
    let counts = Mutex::new(Counts::default());
    let counted = || counts.lock().unwrap_or_else(PoisonError::into_inner);
    let progress = Progress::new(PUSH, observer);
    let bytes = blobs.iter().map(|blob| blob.bytes).sum();
    progress.begin("pushing", "bytes", bytes, 0);
    let number = blobs.len();
    let pushed = in_parallel(&blobs, |blob| {
        let key = blob_key(blob.blake3);
        let is_there = remote.length(&key).map_err(Trouble::Unreachable)? == Some(blob.bytes);
        if is_there {
            let mut counts = counted();
            (counts.files_there, counts.bytes_there) =
                (counts.files_there + 1, counts.bytes_there + blob.bytes);
            progress.advance(blob.bytes);
        } else {
            let mut source = HashedFile::open(blob, progress)?;
            let written = remote.write(&key, blob.bytes, &mut source);
            let mut counts = counted();
            match (source.damage, written) {
                (Some(damage), _) => drop(counts.damaged.insert(blob.blake3, damage)),
                (None, Err(_)) if cancel::requested() => {
                    return Err(Trouble::Here(cancel::Cancelled.into()));
                }
                (None, Err(error)) => return Err(Trouble::Unreachable(error)),
                (None, Ok(())) => {
                    (counts.files, counts.bytes) = (counts.files + 1, counts.bytes + blob.bytes)
                }
            }
        }
        let counts = counted();
        let done = counts.files + counts.files_there + counts.damaged.len();
        progress.note(&format!("{done} of {number} files"));
        Ok(())
    });
    progress.finish();
    pushed?;
    Ok(counts.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// The manifest, unless the remote has a whole one of that content.
fn push_manifest(remote: &dyn Remote, artifact: &Artifact) -> Result<()> {
    let content = artifact.content.prefix(CONTENT_DIGITS);
    match offer::manifest(remote, artifact.fingerprint, &content) {
        // Other files can hold the same content; the remote's files may be gone, ours are there.
        Ok(there) if same_files(&there, &artifact.manifest) => return Ok(()),
        Ok(_) | Err(Trouble::Refused(_)) => {}
        Err(trouble) => return Err(trouble.into_error()),
    }
    let text = artifact.manifest.encode();
    let key = manifest_key(artifact.fingerprint, &content);
    remote.write(&key, text.len() as u64, &mut text.as_bytes())
}

fn same_files(left: &Manifest, right: &Manifest) -> bool {
    left.outputs == right.outputs
}

/// Adds the content to its fingerprint's index; gives other contents that the remote has.
fn push_index(remote: &dyn Remote, name: &str, artifact: &Artifact) -> Result<Vec<RemoteConflict>> {
    let own = artifact.content.prefix(CONTENT_DIGITS);
    // Manifests that no index names: of a push that died, or that met another one on a store
    // without conditional writes. A key that may write but not list does without.
    let listed = remote
        .names(&artifact_folder(artifact.fingerprint))
        .unwrap_or_default();
    let mut others = Vec::new();
    remote.change(&index_key(artifact.fingerprint), INDEX_LIMIT, &mut |old| {
        let before = old.as_deref().and_then(|bytes| Index::decode(bytes).ok());
        let is_whole = before.is_some();
        let mut index = before.unwrap_or_else(Index::new);
        let length = index.contents().len();
        for content in listed.iter().filter_map(|name| name.strip_suffix(".json")) {
            if content != own {
                index.add(content);
            }
        }
        index.add(&own);
        others = index
            .contents()
            .iter()
            .filter(|content| **content != own)
            .cloned()
            .collect();
        (!is_whole || index.contents().len() != length).then(|| index.encode())
    })?;
    let conflicts = others.iter().filter_map(|content| {
        let there = offer::manifest(remote, artifact.fingerprint, content).ok()?;
        Some(RemoteConflict {
            name: name.to_owned(),
            fingerprint: artifact.fingerprint,
            here: artifact.content,
            there: there.content,
            made: there.created,
            numerics_here: artifact.manifest.telemetry.numerics.clone(),
            numerics_there: there.telemetry.numerics,
        })
    });
    Ok(conflicts.collect())
}

/// What a push did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PushReport {
    pub artifacts: Vec<PushedArtifact>,
    /// Stages of the pipeline that have nothing in the cache.
    pub not_cached: Vec<String>,
    /// Files that went over the line, and their bytes.
    pub files: usize,
    pub bytes: u64,
    /// Files that were there already, and their bytes.
    pub files_there: usize,
    pub bytes_there: u64,
    pub conflicts: Vec<RemoteConflict>,
    pub seconds: f64,
}

/// An artifact that the remote has now.
#[derive(Debug, Clone, Serialize)]
pub struct PushedArtifact {
    /// Its stage in this pipeline, or its kind.
    pub name: String,
    pub fingerprint: Digest,
    pub content: Digest,
    pub files: usize,
    pub bytes: u64,
}

/// One fingerprint, another content in the remote.
#[derive(Debug, Clone, Serialize)]
pub struct RemoteConflict {
    pub name: String,
    pub fingerprint: Digest,
    pub here: Digest,
    pub there: Digest,
    /// When the remote's was made.
    pub made: String,
    /// The numerics classes; empty: unknown.
    pub numerics_here: String,
    pub numerics_there: String,
}

impl fmt::Display for RemoteConflict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = format!(
            "one recipe, two contents: fingerprint {} is {} here and {} in the remote (made {}); both are kept there, and a pull gets the one that was pushed last",
            self.fingerprint.short(),
            self.here.short(),
            self.there.short(),
            self.made,
        );
        let hint = match self.is_of_another_class() {
            true => format!(
                "they are of two numerics classes, `{}` and `{}`: `seedpipe verify --rerun` compares within tolerance",
                self.numerics_here, self.numerics_there
            ),
            false => "`seedpipe verify --rerun` says which of them this machine gives; fix what makes it vary, or declare it in the params".to_owned(),
        };
        formatter.write_str(&hinted(message, hint))
    }
}

impl RemoteConflict {
    /// Whether two known numerics classes explain the difference.
    fn is_of_another_class(&self) -> bool {
        !self.numerics_here.is_empty()
            && !self.numerics_there.is_empty()
            && self.numerics_here != self.numerics_there
    }
}

impl PushReport {
    /// Which stages of the pipeline the cache doesn't have; `None` when it has all.
    pub fn not_cached_line(&self) -> Option<String> {
        (!self.not_cached.is_empty()).then(|| {
            format!(
                "not in the cache, and not pushed: {}",
                suggestion::list(&self.not_cached)
            )
        })
    }
}
