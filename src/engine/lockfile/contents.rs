//! One recipe, two contents: what was made here against what somebody else says that a fingerprint gave: pipeline.lock, or
//! another store.
//!
//! Within one numerics class equal recipes must give equal content; across classes floating point may differ. Where a class is
//! not known (artifacts and locks of older versions) nothing excuses the difference, and it is told as such.

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use crate::base::digest::Digest;
use crate::cache::artifact::Artifact;
use crate::pipeline::pipeline_lock::{PipelineLock, path_for};
use crate::run::engine::Engine;

/// What somebody says that a fingerprint gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenContent {
    pub fingerprint: Digest,
    pub content: Digest,
    /// The numerics class that gave it; empty: unknown.
    pub numerics: String,
    /// Who says so, for messages: `pipeline.lock`.
    pub place: String,
}

/// How an artifact stands to what was seen elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agreement {
    /// Equal content, or another recipe, of which nothing can be said.
    Fine,
    /// Other content of the same recipe, made in another numerics class.
    OtherClass,
    /// Other content of the same recipe, which nothing excuses.
    Conflict(TwoContents),
}

/// One fingerprint with two contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct TwoContents {
    pub fingerprint: Digest,
    pub here: Digest,
    pub there: Digest,
    /// Who says that it gave [`Self::there`].
    pub place: String,
    /// The numerics classes; empty: unknown.
    pub numerics_here: String,
    pub numerics_there: String,
}

impl fmt::Display for TwoContents {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "one recipe, two contents: fingerprint {} gave {} here and {} in `{}`, ",
            self.fingerprint.short(),
            self.here.short(),
            self.there.short(),
            self.place
        )?;
        let known = |class: &str| match class {
            "" => "an unknown class".to_owned(),
            class => format!("`{class}`"),
        };
        if self.numerics_here == self.numerics_there && !self.numerics_here.is_empty() {
            write!(
                formatter,
                "both in the numerics class `{}`",
                self.numerics_here
            )?;
        } else {
            write!(
                formatter,
                "in the numerics classes {} and {}",
                known(&self.numerics_here),
                known(&self.numerics_there)
            )?;
        }
        write!(
            formatter,
            ": its result cannot be made again\nhint: `seedpipe verify --rerun` says which of them this machine gives; fix what makes it vary, or declare it in the params"
        )
    }
}

impl Artifact {
    /// How this artifact stands to what was seen elsewhere.
    pub fn agreement(&self, seen: &SeenContent) -> Agreement {
        if self.fingerprint != seen.fingerprint || self.content == seen.content {
            return Agreement::Fine;
        }
        let here = &self.manifest.telemetry.numerics;
        if !here.is_empty() && !seen.numerics.is_empty() && *here != seen.numerics {
            return Agreement::OtherClass;
        }
        Agreement::Conflict(TwoContents {
            fingerprint: self.fingerprint,
            here: self.content,
            there: seen.content,
            place: seen.place.clone(),
            numerics_here: here.clone(),
            numerics_there: seen.numerics.clone(),
        })
    }
}

impl Engine {
    /// What in the local store, and in pipeline.lock, contradicts what was seen elsewhere, such as in a remote. Read-only.
    ///
    /// Each conflict's `here` is the local content. An unreadable pipeline.lock counts for nothing here; `run` tells of it.
    pub fn content_conflicts(&self, seen: &SeenContent) -> Result<Vec<TwoContents>> {
        let mut conflicts = Vec::new();
        let found = self.store.find(seen.fingerprint)?;
        for artifact in found.artifact.iter().chain(&found.others) {
            if let Agreement::Conflict(conflict) = artifact.agreement(seen) {
                conflicts.push(conflict);
            }
        }
        let path = path_for(self.project.path());
        let lock = PipelineLock::read(&path).ok().flatten().unwrap_or_default();
        for locked in lock.stages.iter().map(|(_, locked)| locked) {
            let is_contrary =
                locked.fingerprint == seen.fingerprint && locked.content != seen.content;
            let is_same_class = locked.numerics == seen.numerics
                || locked.numerics.is_empty()
                || seen.numerics.is_empty();
            if is_contrary && is_same_class {
                conflicts.push(TwoContents {
                    fingerprint: seen.fingerprint,
                    here: locked.content,
                    there: seen.content,
                    place: seen.place.clone(),
                    numerics_here: locked.numerics.clone(),
                    numerics_there: seen.numerics.clone(),
                });
            }
        }
        conflicts.dedup();
        Ok(conflicts)
    }
}
