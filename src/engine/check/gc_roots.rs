//! What `gc` must keep: what the current plan, pipeline.lock, the locks and revisions that are
//! named, and the locks and last runs of all pipelines refer to.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use crate::base::digest::Digest;
use crate::cache::processes::history;
use crate::pipeline::lock_at::lock_at;
use crate::pipeline::pipeline_lock::{PipelineLock, path_for};
use crate::run::engine::Engine;

/// What must stay.
#[derive(Default)]
pub(crate) struct Roots {
    /// Fingerprint → contents that are named; the newest content always stays with its fingerprint.
    pub contents: BTreeMap<Digest, BTreeSet<Digest>>,
    /// What runs use that are alive: every content.
    pub in_use: BTreeSet<Digest>,
    /// Stages of the plan that have no artifact yet: their drafts.
    pub unfinished: BTreeSet<Digest>,
}

impl Roots {
    fn add(&mut self, lock: &PipelineLock) {
        for (_, locked) in &lock.stages {
            self.contents
                .entry(locked.fingerprint)
                .or_default()
                .insert(locked.content);
        }
    }
}

impl Engine {
    /// What the current plan refers to.
    pub(crate) fn planned(&self) -> Result<Roots> {
        let mut roots = Roots::default();
        let all = (0..self.project.stages().len()).collect();
        for resolved in self.resolve(&all)?.into_values() {
            if let Some(fingerprint) = resolved.fingerprint {
                roots.contents.entry(fingerprint).or_default();
                if resolved.found.artifact.is_none() {
                    roots.unfinished.insert(fingerprint);
                }
            }
        }
        Ok(roots)
    }

    /// What these locks and revisions refer to.
    pub(crate) fn add_named(&self, keep: &[String], roots: &mut Roots) -> Result<()> {
        for text in keep {
            roots.add(&lock_at(self.project.path(), text)?.0);
        }
        Ok(())
    }

    /// What the locks and last runs of all pipelines refer to; the last runs of this one don't
    /// count when locks are `named` in their place.
    pub(crate) fn add_recorded(&self, named: bool, roots: &mut Roots) -> Result<()> {
        let here = std::path::absolute(self.project.path())?;
        let mut locks = vec![path_for(self.project.path())];
        for pipeline in history::pipelines(&self.store)? {
            if let Some(path) = pipeline.path.filter(|path| path.exists()) {
                locks.push(path_for(&path));
                let counts = !named || path != here;
                for run in pipeline.runs.into_iter().filter(|_| counts) {
                    roots
                        .contents
                        .entry(run.fingerprint)
                        .or_default()
                        .insert(run.content);
                }
            }
        }
        for path in locks {
            // A lock that can't be read might name anything: better nothing is removed.
            roots.add(&PipelineLock::read(&path)?.unwrap_or_default());
        }
        Ok(())
    }
}
