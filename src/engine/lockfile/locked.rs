//! `run --locked`: a run is refused unless its plan is the one that pipeline.lock records, and each
//! stage's content is held against the lock's.
//!
//! The plan is compared by each stage's own facts and by the names of its inputs, so that it needs
//! no upstream content, and a lock made on another machine still serves.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::Path;
use std::sync::atomic::Ordering;

use anyhow::{Result, bail};
use seedpipe_base::{Refusal, Tolerance};
use serde::Serialize;
use serde_json::Value;

use crate::base::digest::Digest;
use crate::cache::artifact::Artifact;
use crate::cache::recipe::{Change, differences};
use crate::lockfile::contents::{Agreement, SeenContent, TwoContents};
use crate::pipeline::pipeline_lock::{LockedStage, PipelineLock, figure_name, path_for};
use crate::pipeline::plan;
use crate::pipeline::project::StageNode;
use crate::run::engine::{Engine, RunOptions};
use crate::run::session::Session;
use crate::run::sources::Sources;

/// What a plan and pipeline.lock differ in.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LockMismatch {
    /// The lock's path.
    pub lock: String,
    /// In the order of the plan, then what is only in the lock.
    pub stages: Vec<StageMismatch>,
}

/// What one stage differs in.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageMismatch {
    pub stage: String,
    pub how: Mismatch,
    /// From the lock to the plan; empty for a stage that is only in one of them.
    pub changes: Vec<Change>,
}

/// How a stage differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mismatch {
    /// In both, with other facts.
    Changed,
    /// The pipeline has it, the lock doesn't.
    NotInLock,
    /// The lock has it, the pipeline doesn't.
    OnlyInLock,
}

impl LockMismatch {
    /// All that differs, field by field.
    pub fn refusal(&self) -> Refusal {
        let mut message = "expected the plan that it records, got another one:".to_owned();
        for stage in &self.stages {
            let name = &stage.stage;
            let mut tell = |how: &dyn Display| message += &format!("\n  stage `{name}`: {how}");
            match stage.how {
                Mismatch::NotInLock => tell(&"is not in the lock"),
                Mismatch::OnlyInLock => tell(&"is in the lock, not in the pipeline"),
                Mismatch::Changed => stage.changes.iter().for_each(|change| tell(change)),
            }
        }
        Refusal::new(message).place(&self.lock).hint(
            "take the change back, or run without `--locked` and commit the lock that it writes",
        )
    }
}

/// The facts of a stage that are decided before anything runs, by field.
pub(crate) fn planned_facts(
    node: &StageNode,
    version: u32,
    sources: &BTreeMap<String, Digest>,
) -> BTreeMap<String, Value> {
    let mut facts = node.fields();
    facts.insert("version".to_owned(), version.into());
    for (path, digest) in sources {
        facts.insert(format!("sources.{path}"), digest.to_string().into());
    }
    facts
}

/// The same facts as a lock records them.
pub(crate) fn recorded_facts(locked: &LockedStage) -> BTreeMap<String, Value> {
    let mut facts = locked.fields();
    facts.insert("version".to_owned(), locked.version.into());
    let sources = locked
        .facts
        .iter()
        .filter(|(key, _)| key.starts_with("sources."));
    facts.extend(sources.map(|(key, value)| (key.clone(), value.clone())));
    facts
}

/// The lock that `--locked` needs.
fn expected(path: &Path) -> Result<PipelineLock> {
    Ok(PipelineLock::read(path)?.ok_or_else(|| {
        Refusal::new("expected a lock for `--locked`, got no such file")
            .place(path.display().to_string())
            .hint("run once without `--locked` and commit the lock that it writes")
    })?)
}

impl Engine {
    /// Refuses a project without a lock, for `--locked`.
    pub fn expect_lock(&self) -> Result<()> {
        expected(&path_for(self.project.path())).map(drop)
    }

    /// In what the plan is not pipeline.lock's, which `run` refuses with [`RunOptions::locked`].
    /// Read-only; needs no upstream content.
    ///
    /// Fails with [`Refusal`] when there is no lock or a source is missing.
    pub fn lock_mismatch(&self, options: &RunOptions) -> Result<Option<LockMismatch>> {
        let targets = self.targets(options)?;
        let needed = plan::wanted(&self.project.needs(), targets.iter().copied());
        let sources = self.sources_of(&needed)?;
        let path = path_for(self.project.path());
        let lock = expected(&path)?;
        Ok(self.mismatch(&lock, &path, &needed, &sources, options.targets.is_empty()))
    }

    /// The lock, when the stages' plan is the one that it records.
    ///
    /// - `whole`: the stages are all of the pipeline, so that the lock must not have others
    pub(crate) fn locked_plan(
        &self,
        stages: &BTreeSet<usize>,
        sources: &BTreeMap<usize, Sources>,
        whole: bool,
    ) -> Result<PipelineLock> {
        let path = path_for(self.project.path());
        let lock = expected(&path)?;
        match self.mismatch(&lock, &path, stages, sources, whole) {
            None => Ok(lock),
            Some(mismatch) => bail!(mismatch.refusal()),
        }
    }

    fn mismatch(
        &self,
        lock: &PipelineLock,
        path: &Path,
        stages: &BTreeSet<usize>,
        sources: &BTreeMap<usize, Sources>,
        whole: bool,
    ) -> Option<LockMismatch> {
        let mut mismatches = Vec::new();
        for index in self.in_order(stages) {
            let node = &self.project.stages()[index];
            let (how, changes) = match lock.stage(&node.name) {
                None => (Mismatch::NotInLock, Vec::new()),
                Some(locked) => {
                    let version = self.registry.known(&node.kind).version();
                    let planned = planned_facts(node, version, &sources[&index].digests);
                    (
                        Mismatch::Changed,
                        differences(&recorded_facts(locked), &planned),
                    )
                }
            };
            if how != Mismatch::Changed || !changes.is_empty() {
                mismatches.push(StageMismatch {
                    stage: node.name.clone(),
                    how,
                    changes,
                });
            }
        }
        let known = |name: &String| self.project.stages().iter().any(|node| node.name == *name);
        let only_in_lock = lock.stages.iter().filter(|(name, _)| whole && !known(name));
        mismatches.extend(only_in_lock.map(|(name, _)| StageMismatch {
            stage: name.clone(),
            how: Mismatch::OnlyInLock,
            changes: Vec::new(),
        }));
        (!mismatches.is_empty()).then(|| LockMismatch {
            lock: path.display().to_string(),
            stages: mismatches,
        })
    }

    /// Holds a stage's content against the lock's: told, or with `--locked` an error, where nothing
    /// excuses the difference.
    pub(crate) fn agree_with_lock(
        &self,
        session: &Session,
        index: usize,
        artifact: &Artifact,
    ) -> Result<()> {
        match &session.lock {
            Some(lock) if session.locked => self.hold_to_lock(session, lock, index, artifact),
            Some(lock) => {
                self.tell_of_lock(session, lock, index, artifact);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn hold_to_lock(
        &self,
        session: &Session,
        lock: &PipelineLock,
        index: usize,
        artifact: &Artifact,
    ) -> Result<()> {
        let name = &self.project.stages()[index].name;
        let Some(locked) = lock.stage(name) else {
            return Ok(());
        };
        match artifact.agreement(&self.seen(locked)) {
            Agreement::Conflict(conflict) => bail!(conflict.refusal()),
            Agreement::OtherClass(contents) => {
                self.excused(name, locked, artifact, &contents)?;
                if !session.told_of_class.swap(true, Ordering::Relaxed) {
                    let message = format!(
                        "content differs from pipeline.lock's, which was made in the numerics class `{}`; here it is `{}`: contents are not held to the lock from here down",
                        locked.numerics, artifact.manifest.telemetry.numerics
                    );
                    session.observer.warning(Some(name), &message);
                }
                return Ok(());
            }
            Agreement::Fine => {}
        }
        // Equal plans on equal inputs have equal fingerprints, whatever the class.
        let differs_above = self.ancestors(index).into_iter().any(|ancestor| {
            let recorded = lock.stage(&self.project.stages()[ancestor].name);
            let above = session.artifacts.get(ancestor);
            above.map(|artifact| (artifact.fingerprint, artifact.content))
                != recorded.map(|locked| (locked.fingerprint, locked.content))
        });
        if artifact.fingerprint != locked.fingerprint && !differs_above {
            let message = format!(
                "pipeline.lock: expected fingerprint {}, got {}, though its facts and its inputs' contents are the lock's",
                locked.fingerprint.short(),
                artifact.fingerprint.short()
            );
            bail!(
                Refusal::failure(message)
                    .hint("the lock was changed by hand or by another version of seedpipe; run without `--locked` to write it anew")
            );
        }
        Ok(())
    }

    /// What another class may give: other contents of kinds that may differ at all, as many rows,
    /// and figures within the tolerance. A class is only claimed.
    fn excused(
        &self,
        stage: &str,
        locked: &LockedStage,
        artifact: &Artifact,
        contents: &TwoContents,
    ) -> Result<()> {
        let outputs = &artifact.manifest.outputs;
        if outputs
            .values()
            .all(|output| self.tolerance(&output.kind) == Tolerance::default())
        {
            bail!(contents.refusal());
        }
        let refuse = |fact: String, there: &dyn Display, here: &dyn Display| {
            Refusal::failure(format!(
                "{fact}: {there} in `{}`, {here} here, which is beyond the tolerance between numerics classes",
                contents.place
            ))
            .stage(stage)
            .hint("`seedpipe verify --rerun` says what this machine gives; `verify.tolerance` in pipeline.yaml says what may differ")
        };
        let recorded = locked.figures();
        for (output, record) in outputs {
            let rows = format!("rows.{output}");
            if let Some(there) = locked
                .facts
                .get(&rows)
                .filter(|there| there.as_u64() != Some(record.rows))
            {
                bail!(refuse(rows, there, &record.rows));
            }
            let tolerance = self.tolerance(&record.kind);
            for (name, here) in &record.headline {
                let fact = figure_name(output, name);
                match recorded.get(&fact) {
                    Some(there) if self.codec.may_be(name, *there, *here, &tolerance) => {}
                    Some(there) => bail!(refuse(format!("metrics.{fact}"), there, here)),
                    None => bail!(refuse(format!("metrics.{fact}"), &"nothing", here)),
                }
            }
        }
        Ok(())
    }

    fn tell_of_lock(
        &self,
        session: &Session,
        lock: &PipelineLock,
        index: usize,
        artifact: &Artifact,
    ) {
        let name = &self.project.stages()[index].name;
        for (_, locked) in &lock.stages {
            if let Agreement::Conflict(conflict) = artifact.agreement(&self.seen(locked)) {
                let message = conflict.refusal().to_string();
                session.observer.warning(Some(name), &message);
                return;
            }
        }
    }

    fn seen(&self, locked: &LockedStage) -> SeenContent {
        SeenContent {
            fingerprint: locked.fingerprint,
            content: locked.content,
            numerics: locked.numerics.clone(),
            place: path_for(self.project.path()).display().to_string(),
        }
    }
}
