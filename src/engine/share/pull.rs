//! `pull`: what the pipeline's stages are, brought from the remote; and a run's look at the remote
//! before it executes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use crate::base::digest::Digest;
use crate::cache::artifact::Artifact;
use crate::cache::processes::lease::Lease;
use crate::cache::processes::locks::{Holder, Lock};
use crate::cache::recipe::Recipe;
use crate::cache::remote::{SharedRemote, Trouble};
use crate::kind::observer::{Event, Observer};
use crate::kind::report::{Outcome, StageReport};
use crate::pipeline::pipeline_lock::headline;
use crate::pipeline::plan;
use crate::run::engine::{Engine, RunOptions};
use crate::run::session::Session;
use crate::share::fetch::Fetched;
use crate::share::offer;

/// What became of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PullOutcome {
    /// It was in the cache, whole.
    Local,
    Fetched,
    /// The remote has nothing of its recipe.
    Absent,
    /// Its recipe isn't known: a stage that it needs is absent.
    Unknown,
}

/// One stage of a pull.
#[derive(Debug, Clone, Serialize)]
pub struct PulledStage {
    pub stage: String,
    pub kind: String,
    pub outcome: PullOutcome,
    pub fingerprint: Option<Digest>,
    pub content: Option<Digest>,
    pub files: usize,
    /// Of all its files.
    pub bytes: u64,
}

/// What a pull did.
#[derive(Debug, Clone, Serialize)]
pub struct PullReport {
    /// In the order of the plan.
    pub stages: Vec<PulledStage>,
    /// Bytes that came over the line.
    pub bytes: u64,
    pub seconds: f64,
}

impl PullReport {
    pub fn count(&self, outcome: &PullOutcome) -> usize {
        self.stages
            .iter()
            .filter(|stage| stage.outcome == *outcome)
            .count()
    }
}

/// What the observer hears of a stage.
fn stage_report(stage: &PulledStage, artifact: &Artifact, seconds: f64) -> StageReport {
    StageReport {
        stage: stage.stage.clone(),
        kind: stage.kind.clone(),
        outcome: match stage.outcome {
            PullOutcome::Fetched => Outcome::Fetched,
            _ => Outcome::Cached,
        },
        fingerprint: stage.fingerprint,
        content: stage.content,
        seconds,
        rows: artifact
            .manifest
            .outputs
            .iter()
            .map(|(output, record)| (output.clone(), record.rows))
            .collect(),
        headline: headline(artifact),
        telemetry: BTreeMap::new(),
        error: None,
        differs: None,
    }
}

impl Engine {
    /// Fetches the named stages (none: all) and what they need.
    ///
    /// Fails at the first object that isn't what it says, and when the remote can't be reached;
    /// what was fetched before stays.
    pub fn pull(&self, targets: &[String], observer: &dyn Observer) -> Result<PullReport> {
        let start = Instant::now();
        let shared = self.expect_remote()?;
        let options = RunOptions {
            targets: targets.to_vec(),
            ..RunOptions::default()
        };
        let (session, needed) = self.look_session(&options, observer)?;
        let mut report = PullReport {
            stages: Vec::new(),
            bytes: 0,
            seconds: 0.0,
        };
        for index in self.in_order(&needed) {
            let begun = Instant::now();
            let node = &self.project.stages()[index];
            let mut stage = PulledStage {
                stage: node.name.clone(),
                kind: node.kind.clone(),
                outcome: PullOutcome::Unknown,
                fingerprint: None,
                content: None,
                files: 0,
                bytes: 0,
            };
            if node.needs.iter().all(|need| session.artifacts.has(*need)) {
                let (recipe, found) = self.look_up(&session, index)?;
                stage.fingerprint = Some(recipe.fingerprint());
                let whole = found.artifact.filter(Artifact::is_intact);
                let artifact = match whole {
                    Some(artifact) => {
                        stage.outcome = PullOutcome::Local;
                        Some(artifact)
                    }
                    None => {
                        let fetched = self.fetch_locked(shared, &node.name, &recipe, observer);
                        let fetched = fetched.map_err(Trouble::into_error)?;
                        stage.outcome = match &fetched {
                            Some(_) => PullOutcome::Fetched,
                            None => PullOutcome::Absent,
                        };
                        report.bytes += fetched.as_ref().map_or(0, |fetched| fetched.bytes);
                        fetched.map(|fetched| fetched.artifact)
                    }
                };
                if let Some(artifact) = artifact {
                    stage.content = Some(artifact.content);
                    (stage.files, stage.bytes) = (artifact.files().count(), artifact.bytes());
                    self.keep_history(&session, node, &artifact)?;
                    let finished = stage_report(&stage, &artifact, begun.elapsed().as_secs_f64());
                    observer.event(&Event::StageFinished(&finished));
                    session.artifacts.insert(index, artifact);
                }
            }
            report.stages.push(stage);
        }
        report.seconds = start.elapsed().as_secs_f64();
        Ok(report)
    }

    /// Fetches what a run would otherwise execute, as far as the remote has it, so that what is
    /// left can be asked by [`needs_tensors`](Engine::needs_tensors). Says nothing of a remote that
    /// fails: the run does.
    pub fn fetch_ahead(&self, options: &RunOptions, observer: &dyn Observer) -> Result<()> {
        let Some(shared) = self.shared_remote.as_ref().filter(|shared| shared.is_up()) else {
            return Ok(());
        };
        let (session, needed) = self.look_session(options, observer)?;
        for index in self.in_order(&needed) {
            let node = &self.project.stages()[index];
            let is_known = node.needs.iter().all(|need| session.artifacts.has(*need));
            let is_wanted = !options.only || options.targets.contains(&node.name);
            if session.forced.contains(&index) || !is_known {
                continue;
            }
            let (recipe, found) = self.look_up(&session, index)?;
            let mut artifact = found.artifact;
            if artifact.is_none() && is_wanted {
                match self.fetch_locked(shared, &node.name, &recipe, observer) {
                    Ok(fetched) => artifact = fetched.map(|fetched| fetched.artifact),
                    Err(Trouble::Refused(_)) => {}
                    Err(Trouble::Unreachable(_)) => return Ok(()),
                    Err(Trouble::Here(error)) => return Err(error),
                }
            }
            if let Some(artifact) = artifact {
                session.artifacts.insert(index, artifact);
            }
        }
        Ok(())
    }

    /// Under the lock that the caller holds: what a run may use instead of executing. A remote that
    /// fails or lies is told and does not stop the run.
    pub(crate) fn read_through(
        &self,
        session: &Session,
        stage: &str,
        recipe: &Recipe,
    ) -> Result<Option<Artifact>> {
        let Some(shared) = self.shared_remote.as_ref().filter(|shared| shared.is_up()) else {
            return Ok(None);
        };
        match self.fetch(shared, stage, recipe, session.observer) {
            Ok(fetched) => Ok(fetched.map(|fetched| fetched.artifact)),
            Err(Trouble::Here(error)) => Err(error),
            Err(Trouble::Refused(message)) => {
                let message = format!("{message}; it is refused, and the stage runs here");
                session.observer.warning(Some(stage), &message);
                Ok(None)
            }
            Err(Trouble::Unreachable(error)) => {
                if shared.give_up() {
                    let message = format!("{error:#}; this run goes on without it");
                    session.observer.warning(None, &message);
                }
                Ok(None)
            }
        }
    }

    /// Whether the remote has the artifact of a fingerprint.
    pub fn is_in_remote(&self, fingerprint: Digest) -> Result<bool> {
        let shared = self.expect_remote()?;
        let index =
            offer::index(shared.remote.as_ref(), fingerprint).map_err(Trouble::into_error)?;
        Ok(index.is_some_and(|index| index.newest().is_some()))
    }

    pub(crate) fn fetch_locked(
        &self,
        shared: &SharedRemote,
        stage: &str,
        recipe: &Recipe,
        observer: &dyn Observer,
    ) -> Result<Option<Fetched>, Trouble> {
        let fingerprint = recipe.fingerprint();
        let path = self.store.locks().join(format!("{fingerprint}.lock"));
        let waiting = |holder: &Holder| observer.event(&Event::StageWaiting { stage, holder });
        let _lock = Lock::take(&path, &Holder::here(stage), waiting)?;
        // Whoever held the lock may have made it.
        let found = self.store.find(fingerprint)?;
        if let Some(artifact) = found.artifact.filter(Artifact::is_intact) {
            return Ok(Some(Fetched { artifact, bytes: 0 }));
        }
        self.fetch(shared, stage, recipe, observer)
    }

    /// A session that looks and fetches and never executes; and what is needed, wanted or not.
    fn look_session<'a>(
        &self,
        options: &RunOptions,
        observer: &'a dyn Observer,
    ) -> Result<(Session<'a>, BTreeSet<usize>)> {
        let targets = self.targets(options)?;
        let needed = plan::wanted(&self.project.needs(), targets.iter().copied());
        let sources = self.sources_of(&needed)?;
        self.store.prepare()?;
        let lease = Lease::begin(&self.store).map_err(|error| self.store.unwritable(&error))?;
        let mut session = Session::new(observer, self.project.device(), sources, lease);
        if options.force {
            session.forced = targets;
        }
        Ok((session, needed))
    }
}
