//! What a run would do, stage by stage, without doing it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::Result;
use seedpipe_base::{Refusal, hinted};
use serde::Serialize;

use crate::base::digest::Digest;
use crate::cache::artifact::Artifact;
use crate::cache::left::Left;
use crate::cache::recipe::Recipe;
use crate::pipeline::plan;
use crate::run::engine::{Engine, RunOptions};
use crate::run::resolve::Resolved;
use seedpipe_base::suggestion;

/// What a run would do with a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StageState {
    Cached,
    WillRun,
    /// Whether it runs shows when these stages, directly connected, have run: equal content leaves
    /// it cached.
    MayRun {
        depends_on: Vec<String>,
    },
}

impl fmt::Display for StageState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StageState::Cached => write!(formatter, "cached"),
            StageState::WillRun => write!(formatter, "will run"),
            StageState::MayRun { depends_on } => {
                write!(
                    formatter,
                    "may run, depends on {}",
                    suggestion::list(depends_on)
                )
            }
        }
    }
}

/// A stage as it stands.
#[derive(Debug, Clone)]
pub struct StageStatus {
    pub stage: String,
    pub kind: String,
    /// Whether its work needs libtorch.
    pub tensors: bool,
    pub state: StageState,
    /// Why, for people.
    pub reasons: Vec<String>,
    pub fingerprint: Option<Digest>,
    /// The current artifact, when it is there.
    pub artifact: Option<Artifact>,
    /// What is wrong with a source of it: it can't run.
    pub source_fault: Option<String>,
    /// Sources that are not here, and taken as pipeline.lock records them.
    pub absent_sources: Vec<String>,
    /// What an interrupted run left of it, unless it is cached.
    pub left: Option<Left>,
}

impl Engine {
    /// All stages, in the order of the plan.
    pub fn status(&self) -> Result<Vec<StageStatus>> {
        self.dry_run(&RunOptions::default())
    }

    /// The wanted stages, in the order of the plan.
    pub fn dry_run(&self, options: &RunOptions) -> Result<Vec<StageStatus>> {
        let targets = self.targets(options)?;
        let needed = plan::wanted(&self.project.needs(), targets.iter().copied());
        let mut resolved = self.resolve(&needed)?;
        let wanted = if options.only { &targets } else { &needed };
        if options.only {
            self.check_only(wanted, |index| resolved[&index].found.artifact.is_some())?;
        }
        let states = self.states(wanted, &resolved, |index| {
            options.force && targets.contains(&index)
        });
        let device = options.device.as_deref().unwrap_or(self.project.device());
        let statuses = self.in_order(wanted).into_iter().map(|index| {
            let node = &self.project.stages()[index];
            let stage = resolved
                .remove(&index)
                .expect("BUG: every wanted stage is resolved");
            let forced = options.force && targets.contains(&index);
            let left = match (&states[&index], stage.fingerprint) {
                (StageState::Cached, _) | (_, None) => None,
                (_, Some(fingerprint)) => self.left(index, fingerprint, device, forced)?,
            };
            let mut reasons = self.reasons(index, &states[&index], &stage, forced);
            reasons.extend(left.as_ref().map(ToString::to_string));
            Ok(StageStatus {
                stage: node.name.clone(),
                kind: node.kind.clone(),
                tensors: self.registry.known(&node.kind).tensors(),
                reasons,
                state: states[&index].clone(),
                fingerprint: stage.fingerprint,
                artifact: stage.found.artifact,
                source_fault: stage.source_fault,
                absent_sources: stage.sources.absent,
                left,
            })
        });
        statuses.collect()
    }

    /// Whether the run would, or might, run a stage that needs libtorch.
    pub fn needs_tensors(&self, options: &RunOptions) -> Result<bool> {
        let statuses = self.dry_run(options)?;
        Ok(statuses
            .iter()
            .any(|stage| stage.tensors && stage.state != StageState::Cached))
    }

    /// With `--only`, everything that the wanted stages need and that doesn't run must be cached.
    pub(crate) fn check_only(
        &self,
        wanted: &BTreeSet<usize>,
        is_cached: impl Fn(usize) -> bool,
    ) -> Result<(), Refusal> {
        for &index in wanted {
            let node = &self.project.stages()[index];
            for (slot, connections) in &node.inputs {
                let missing = connections.iter().find(|connection| {
                    !wanted.contains(&connection.index) && !is_cached(connection.index)
                });
                if let Some(missing) = missing {
                    let message = format!(
                        "expected `{}` in the cache, got nothing there",
                        missing.stage
                    );
                    return Err(Refusal::new(message)
                        .place(self.place())
                        .stage(&node.name)
                        .key(format!("inputs.{slot}"))
                        .hint(format!(
                            "run `{}` first, or leave `--only` out",
                            missing.stage
                        )));
                }
            }
        }
        Ok(())
    }

    /// The state of every wanted stage. Stages that are resolved but not wanted don't run.
    pub(crate) fn states(
        &self,
        wanted: &BTreeSet<usize>,
        resolved: &BTreeMap<usize, Resolved>,
        is_forced: impl Fn(usize) -> bool,
    ) -> BTreeMap<usize, StageState> {
        let mut states: BTreeMap<usize, StageState> = BTreeMap::new();
        for index in self.in_order(wanted) {
            let node = &self.project.stages()[index];
            let mut depends_on: Vec<String> = Vec::new();
            for connection in node.inputs.values().flatten() {
                let settled = states
                    .get(&connection.index)
                    .is_none_or(|state| *state == StageState::Cached);
                if !settled && !depends_on.contains(&connection.stage) {
                    depends_on.push(connection.stage.clone());
                }
            }
            let state = if is_forced(index) || resolved[&index].source_fault.is_some() {
                StageState::WillRun
            } else if !depends_on.is_empty() {
                StageState::MayRun { depends_on }
            } else if resolved[&index].found.artifact.is_some() {
                StageState::Cached
            } else {
                StageState::WillRun
            };
            states.insert(index, state);
        }
        states
    }

    /// Why a stage is in its state.
    pub(crate) fn reasons(
        &self,
        index: usize,
        state: &StageState,
        stage: &Resolved,
        forced: bool,
    ) -> Vec<String> {
        if forced {
            return vec!["forced".to_owned()];
        }
        if let Some(fault) = &stage.source_fault {
            return vec![fault.clone()];
        }
        match state {
            StageState::Cached => {
                let artifact = stage
                    .found
                    .artifact
                    .as_ref()
                    .expect("BUG: a cached stage has an artifact");
                let mut reasons = vec![format!("made {}", artifact.manifest.created)];
                reasons.extend(contents_warning(artifact, &stage.found.others));
                reasons
            }
            StageState::MayRun { depends_on } => {
                vec![format!(
                    "waits for the content of {}",
                    suggestion::list(depends_on)
                )]
            }
            StageState::WillRun => {
                let recipe = stage
                    .recipe
                    .as_ref()
                    .expect("BUG: a stage that will run has its inputs");
                self.reasons_to_run(index, recipe, &stage.found.faults)
            }
        }
    }

    /// Why a stage with this recipe runs that is neither forced nor cached.
    ///
    /// - `faults`: of what the store has under its fingerprint
    pub(crate) fn reasons_to_run(
        &self,
        index: usize,
        recipe: &Recipe,
        faults: &[String],
    ) -> Vec<String> {
        let last = self.history.last(&self.project.stages()[index].name);
        let changes = last.map(|last| recipe.changes_since(&last.recipe));
        let mut reasons = match changes {
            None => vec!["never run".to_owned()],
            Some(changes) if changes.is_empty() && faults.is_empty() => {
                vec!["its artifact is not in the cache".to_owned()]
            }
            Some(changes) => changes.iter().map(ToString::to_string).collect(),
        };
        reasons.extend(faults.iter().map(|fault| format!("damaged: {fault}")));
        reasons
    }
}

/// The loud warning when one fingerprint has several contents that no numerics class excuses.
pub(crate) fn contents_warning(used: &Artifact, others: &[Artifact]) -> Option<String> {
    let class = |artifact: &Artifact| artifact.manifest.telemetry.numerics.clone();
    let is_excused = |other: &&Artifact| {
        let (used, other) = (class(used), class(other));
        !used.is_empty() && !other.is_empty() && used != other
    };
    let others: Vec<&Artifact> = others.iter().filter(|other| !is_excused(other)).collect();
    if others.is_empty() {
        return None;
    }
    let others: Vec<String> = others
        .iter()
        .map(|other| {
            format!(
                "{} (made {})",
                other.content.short(),
                other.manifest.created
            )
        })
        .collect();
    let text = format!(
        "one recipe, {} contents: fingerprint {} gave {} (made {}, used) and {}: its result cannot be made again",
        others.len() + 1,
        used.fingerprint.short(),
        used.content.short(),
        used.manifest.created,
        others.join(", ")
    );
    let hint = "fix what makes it vary, or declare it in the params; `gc` removes contents that nothing refers to";
    Some(hinted(text, hint))
}
