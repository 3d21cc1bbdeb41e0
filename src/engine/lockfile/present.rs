//! Which of the artifacts that pipeline.lock names are in the cache, and whether the lock says of
//! them what they say themselves.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

use crate::cache::artifact::Artifact;
use crate::cache::recipe::{differences, flatten};
use crate::cache::store::Entry;
use crate::pipeline::pipeline_lock::{LockedStage, PipelineLock, headline, path_for};
use crate::run::engine::Engine;

/// How pipeline.lock stands to the cache. What is not there can't be verified.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LockedArtifacts {
    /// Stages of the lock.
    pub stages: usize,
    /// Those whose artifact is not here, in the order of the plan.
    pub absent: Vec<String>,
    /// Where the lock says of an artifact what it doesn't say itself.
    pub contradictions: Vec<String>,
}

impl Engine {
    /// `None` where there is no lock. Lengths of files are looked at, bytes are not: of what is
    /// damaged nothing is said here.
    pub(crate) fn locked_artifacts(&self) -> Result<Option<LockedArtifacts>> {
        let Some(lock) = PipelineLock::read(&path_for(self.project.path()))? else {
            return Ok(None);
        };
        let mut held = LockedArtifacts {
            stages: lock.stages.len(),
            ..LockedArtifacts::default()
        };
        for (stage, locked) in &lock.stages {
            let content = locked.content.prefix(16);
            let entries = self.store.entries(locked.fingerprint)?.into_iter();
            let mut entries = entries.filter(|entry| entry.directory.ends_with(&content));
            match entries.next().map(|Entry { state, .. }| state) {
                None => held.absent.push(stage.clone()),
                Some(Err(_)) => {}
                Some(Ok(artifact)) => {
                    let changes = differences(&recorded(locked), &said(&artifact));
                    let told = changes.iter().map(|change| {
                        format!("pipeline.lock: stage `{stage}`: {change} in the cache")
                    });
                    held.contradictions.extend(told);
                }
            }
        }
        Ok(Some(held))
    }
}

/// What a lock records that follows from fingerprint and content.
fn recorded(locked: &LockedStage) -> BTreeMap<String, Value> {
    let mut facts = locked.facts.clone();
    facts.retain(|key, _| !key.starts_with("inputs.")); // by names of stages
    facts.extend([
        ("content".to_owned(), locked.content.to_string().into()),
        ("kind".to_owned(), locked.kind.as_str().into()),
        ("seed".to_owned(), locked.seed.into()),
        ("version".to_owned(), locked.version.into()),
    ]);
    facts
}

/// The same of an artifact.
fn said(artifact: &Artifact) -> BTreeMap<String, Value> {
    let recipe = &artifact.manifest.recipe;
    let mut facts = BTreeMap::from([
        ("content".to_owned(), artifact.content.to_string().into()),
        ("kind".to_owned(), recipe.kind.as_str().into()),
        ("seed".to_owned(), recipe.seed.into()),
        ("version".to_owned(), recipe.version.into()),
    ]);
    for (key, value) in flatten(&recipe.params) {
        facts.insert(format!("params.{key}"), value);
    }
    for (path, digest) in &recipe.sources {
        facts.insert(format!("sources.{path}"), digest.to_string().into());
    }
    for (output, record) in &artifact.manifest.outputs {
        facts.insert(format!("rows.{output}"), record.rows.into());
    }
    for (name, value) in headline(artifact) {
        facts.insert(format!("metrics.{name}"), value.into());
    }
    facts
}
