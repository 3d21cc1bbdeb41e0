//! One run's state: what it found and made so far, what stages get from it, and what it leaves on
//! record.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::Result;

use crate::base::digest::Digest;
use crate::cache::artifact::Artifact;
use crate::cache::processes::history::{LastInput, LastRun};
use crate::cache::processes::lease::{self, Lease};
use crate::cache::processes::locks::Guard;
use crate::cache::recipe::Recipe;
use crate::cache::source::tree_digest;
use crate::cache::stat_cache::{Record, StatCache};
use crate::cache::store::Lookup;
use crate::kind::context::{Ancestor, Input};
use crate::kind::observer::Observer;
use crate::pipeline::pipeline_lock::{LockedStage, PipelineLock, path_for};
use crate::pipeline::project::StageNode;
use crate::run::engine::Engine;
use crate::run::given::Given;
use crate::run::sources::Sources;

/// One run's state.
pub(crate) struct Session<'a> {
    pub observer: &'a dyn Observer,
    pub device: String,
    pub forced: BTreeSet<usize>,
    /// Of every stage, looked at before anything ran.
    pub sources: BTreeMap<usize, Sources>,
    /// What stages gave, so far.
    pub artifacts: Given,
    pub lease: Lease,
    /// pipeline.lock as it was when the run began, when it could be read.
    pub lock: Option<PipelineLock>,
    /// The run must give what the lock says, and doesn't write it.
    pub locked: bool,
    /// Whether the user knows that the lock is of another numerics class.
    pub told_of_class: AtomicBool,
    /// Per cent of the work that stages which can sample are to do; only in reruns.
    pub sample: Option<f64>,
    /// Whether stages may take rows from earlier results of the store.
    pub may_reuse: bool,
    /// Whether others may do the work of its stages.
    pub delegates: bool,
    /// A rerun that is to show how far one rounding leads.
    pub nudged: bool,
}

impl<'a> Session<'a> {
    /// Of a run that has found and made nothing yet, is held to no lock, and computes everything
    /// that it needs.
    pub fn new(
        observer: &'a dyn Observer,
        device: &str,
        sources: BTreeMap<usize, Sources>,
        lease: Lease,
    ) -> Self {
        Session {
            observer,
            device: device.to_owned(),
            forced: BTreeSet::new(),
            sources,
            artifacts: Given::default(),
            lease,
            lock: None,
            locked: false,
            told_of_class: AtomicBool::new(false),
            sample: None,
            may_reuse: false,
            delegates: false,
            nudged: false,
        }
    }
}

impl Engine {
    /// Takes everything that is needed and not wanted from the cache.
    pub(crate) fn take_cached(
        &self,
        session: &Session,
        needed: &BTreeSet<usize>,
        wanted: &BTreeSet<usize>,
    ) -> Result<()> {
        for index in self.in_order(needed) {
            let node = &self.project.stages()[index];
            let is_known = node.needs.iter().all(|need| session.artifacts.has(*need));
            if wanted.contains(&index) || !is_known {
                continue;
            }
            let (_, found) = self.look_up(session, index)?;
            if let Some(artifact) = found.artifact {
                session.artifacts.insert(index, artifact);
            }
        }
        // A stage above a wanted one that needs another wanted one is not known yet; that is as
        // good as not cached.
        Ok(self.check_only(wanted, |index| session.artifacts.has(index))?)
    }

    /// The stage's recipe and what the store has for it, protected from `gc` until the run ends.
    pub(crate) fn look_up(&self, session: &Session, index: usize) -> Result<(Recipe, Lookup)> {
        let recipe = self.recipe(index, session.sources[&index].digests.clone(), |other| {
            session.artifacts.get(other)
        });
        let fingerprint = recipe.fingerprint();
        let found = session
            .lease
            .use_while(fingerprint, || Ok(self.store.find(fingerprint)?))?;
        Ok((recipe, found))
    }

    pub(crate) fn inputs(
        &self,
        session: &Session,
        node: &StageNode,
    ) -> BTreeMap<String, Vec<Input>> {
        let slots = node.inputs.iter().map(|(slot, connections)| {
            let inputs = connections.iter().map(|connection| {
                let artifact = session.artifacts.of(connection.index);
                Input {
                    stage: connection.stage.clone(),
                    output: connection.output.clone(),
                    kind: connection.kind.clone(),
                    content: artifact.manifest.outputs[&connection.output].content,
                    parts: artifact.parts(&connection.output),
                    recipe: artifact.manifest.recipe.clone(),
                }
            });
            (slot.clone(), inputs.collect())
        });
        slots.collect()
    }

    pub(crate) fn lineage(&self, session: &Session, index: usize) -> Vec<Ancestor> {
        let ancestors = self.ancestors(index).into_iter();
        ancestors
            .map(|other| {
                let node = &self.project.stages()[other];
                self.ancestor(node, &session.artifacts.of(other))
            })
            .collect()
    }

    /// A stage with what it made, as a stage below it sees it.
    pub fn ancestor(&self, node: &StageNode, artifact: &Artifact) -> Ancestor {
        let manifest = artifact.manifest.clone();
        Ancestor {
            stage: node.name.clone(),
            kind: self.registry.known(&node.kind).clone(),
            fingerprint: manifest.fingerprint,
            recipe: manifest.recipe,
            inputs: node.inputs.clone(),
            outputs: manifest.outputs,
            telemetry: manifest.telemetry,
            created: manifest.created,
        }
    }

    pub(crate) fn keep_history(
        &self,
        session: &Session,
        node: &StageNode,
        artifact: &Artifact,
    ) -> Result<()> {
        let inputs = node.inputs.iter().map(|(slot, connections)| {
            let inputs = connections.iter().map(|connection| LastInput {
                stage: connection.stage.clone(),
                output: connection.output.clone(),
                content: session.artifacts.of(connection.index).manifest.outputs
                    [&connection.output]
                    .content,
            });
            (slot.clone(), inputs.collect())
        });
        self.history.keep(&LastRun {
            stage: node.name.clone(),
            fingerprint: artifact.fingerprint,
            content: artifact.content,
            recipe: artifact.manifest.recipe.clone(),
            inputs: inputs.collect(),
        })?;
        for (source, digest) in &artifact.manifest.recipe.sources {
            if self.history.has_listing(source, *digest) {
                continue;
            }
            if let Some(records) = self.folder_records(source, *digest) {
                self.history.keep_listing(source, *digest, &records)?;
            }
        }
        Ok(())
    }

    /// The files of a folder source when it has that digest; `None` for a file, and where no record
    /// is kept.
    pub(crate) fn folder_records(&self, source: &str, digest: Digest) -> Option<Vec<Record>> {
        let root = self.project.folder().join(source);
        if !root.is_dir() {
            return None;
        }
        let records = StatCache::optional(&self.store.stat_cache()).load(&root);
        let files = records
            .iter()
            .map(|record| (record.path.as_slice(), &record.digest));
        (tree_digest(files) == digest).then_some(records)
    }

    /// Writes pipeline.lock: what this run has, and for other stages what the lock said before.
    pub(crate) fn write_lock(&self, session: &Session) -> Result<Option<PathBuf>> {
        // What `--set` gave is not what pipeline.yaml says.
        if self.project.overridden() || session.locked || session.artifacts.is_empty() {
            return Ok(None);
        }
        let path = path_for(self.project.path());
        let is_complete = session.artifacts.len() == self.project.stages().len();
        // What another run writes meanwhile is kept.
        let alone = || Guard::exclusive(&lease::gate(&self.store));
        let _alone = (!is_complete).then(alone).transpose()?;
        let old = if is_complete {
            None
        } else {
            self.old_lock(session, &path)
        }
        .unwrap_or_default();
        let mut lock = PipelineLock::default();
        for &index in self.project.order() {
            let node = &self.project.stages()[index];
            let locked = match session.artifacts.get(index) {
                Some(artifact) => Some(LockedStage::of(node, &artifact)),
                None => old.stage(&node.name).cloned(),
            };
            lock.stages
                .extend(locked.map(|locked| (node.name.clone(), locked)));
        }
        lock.write(&path)?;
        Ok(Some(path))
    }

    fn old_lock(&self, session: &Session, path: &Path) -> Option<PipelineLock> {
        PipelineLock::read(path).unwrap_or_else(|error| {
            session
                .observer
                .warning(None, &format!("{error:#}; it is written anew"));
            None
        })
    }
}
