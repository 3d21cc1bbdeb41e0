//! `verify --rerun`: makes stages again from the plan's recipes and the cached inputs, in a scratch
//! store that is removed afterwards, and compares what comes out with what is stored, stage by
//! stage and output by output.
//!
//! Within one numerics class content must be equal to the bit; across classes it must lie within
//! the declared tolerances. A stored artifact's class is what its manifest claims, and in no digest:
//! so a claim decides by what a difference is judged, never whether it is, and what it excused is
//! counted apart. Where a class is unknown, or `exact` is asked for, nothing excuses a difference.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result};
use seedpipe_base::{Comparison, Refusal, Tolerance, hinted};
use serde::Serialize;

use crate::base::cancel::Cancelled;
use crate::base::digest::Digest;
use crate::cache::artifact::Artifact;
use crate::cache::processes::lease::Lease;
use crate::cache::recipe::Recipe;
use crate::cache::scratch::ScratchStore;
use crate::kind::context::{Input, SampledRows};
use crate::kind::observer::{Event, Observer};
use crate::kind::report::{Outcome, StageReport};
use crate::kind::stage::Judging;
use crate::pipeline::pipeline_lock::headline;
use crate::pipeline::plan;
use crate::run::engine::{Engine, RunOptions};
use crate::run::execute::Made;
use crate::run::session::Session;

/// What to make again, and how.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RerunOptions {
    /// Names of stages; none: all. Nothing else is made again.
    pub targets: Vec<String>,
    /// Per cent of the rows, more than 0, for the stages that can make some rows alone.
    pub sample: Option<f64>,
    /// Instead of the pipeline's own `device`.
    pub device: Option<String>,
    /// No numerics class excuses a difference.
    pub exact: bool,
}

impl Engine {
    /// Makes stages again and compares. Leaves the stored artifacts, pipeline.lock and the last
    /// runs as they are.
    ///
    /// Fails before anything runs when something was asked that is not there, or the cache can't be
    /// written, and with [`Cancelled`] when it is interrupted. What a stage's rerun finds is in the
    /// report.
    pub fn rerun(&self, options: &RerunOptions, observer: &dyn Observer) -> Result<RerunReport> {
        let start = Instant::now();
        if options
            .sample
            .is_some_and(|percent| !(percent > 0.0 && percent <= 100.0))
        {
            let error = Refusal::new("expected a sample of more than 0 and at most 100 per cent")
                .place(self.place());
            return Err(error
                .hint("leave `--sample` out to rerun everything")
                .into());
        }
        let targets = self.targets(&run_options(options))?;
        let needed = plan::wanted(&self.project.needs(), targets.iter().copied());
        let sources = self.sources_of(&needed)?;
        self.store.prepare()?;
        let lease = Lease::begin(&self.store).map_err(|error| self.store.unwritable(&error))?;
        let device = options.device.as_deref();
        let device = device.unwrap_or_else(|| self.project.device());
        let mut session = Session::new(observer, device, sources, lease);
        session.sample = options.sample;
        let mut recipes = BTreeMap::new();
        let mut faults = BTreeMap::new();
        for index in self.in_order(&needed) {
            let node = &self.project.stages()[index];
            let missing = node
                .needs
                .iter()
                .find(|need| !session.artifacts.has(**need));
            if let Some(&missing) = missing {
                let missing = &self.project.stages()[missing].name;
                faults.insert(
                    index,
                    format!("expected `{missing}` in the cache, got nothing there"),
                );
                continue;
            }
            let (recipe, found) = self.look_up(&session, index)?;
            recipes.insert(index, recipe);
            match found.artifact {
                Some(artifact) => session.artifacts.insert(index, artifact),
                None if found.faults.is_empty() => {
                    faults.insert(
                        index,
                        "expected it in the cache, got nothing there".to_owned(),
                    );
                }
                None => {
                    faults.insert(index, format!("damaged: {}", found.faults.join("; ")));
                }
            }
        }
        let mut stages = Vec::new();
        for index in self.in_order(&targets) {
            let node = &self.project.stages()[index];
            let absent = session.sources[&index].absent.first();
            let absence =
                absent.map(|source| self.absence(node, source, "the stage is to run again"));
            let fault = faults
                .remove(&index)
                .map(|fault| hinted(fault, "run it first: `seedpipe run`"));
            stages.push(match fault.or(absence.map(|refusal| refusal.to_string())) {
                Some(fault) => RerunStage {
                    fault: Some(fault),
                    ..self.blank(index)
                },
                None => self.rerun_stage(&mut session, index, &recipes[&index], options.exact)?,
            });
        }
        let mut counts = BTreeMap::new();
        for stage in &stages {
            *counts.entry(stage.verdict).or_default() += 1;
        }
        Ok(RerunReport {
            counts,
            stages,
            seconds: start.elapsed().as_secs_f64(),
            sample: options.sample,
        })
    }

    /// Whether a stage to be made again needs libtorch.
    pub fn rerun_needs_tensors(&self, options: &RerunOptions) -> Result<bool> {
        let targets = self.targets(&run_options(options))?;
        let mut kinds = targets
            .iter()
            .map(|&index| self.registry.known(&self.project.stages()[index].kind));
        Ok(kinds.any(|kind| kind.tensors()))
    }

    fn blank(&self, index: usize) -> RerunStage {
        let node = &self.project.stages()[index];
        RerunStage {
            stage: node.name.clone(),
            kind: node.kind.clone(),
            verdict: Verdict::Missing,
            fingerprint: None,
            content: None,
            numerics: String::new(),
            numerics_now: String::new(),
            rows: 0,
            rows_stored: 0,
            seconds: 0.0,
            created: None,
            outputs: BTreeMap::new(),
            fault: None,
        }
    }

    fn rerun_stage(
        &self,
        session: &mut Session,
        index: usize,
        recipe: &Recipe,
        exact: bool,
    ) -> Result<RerunStage> {
        let start = Instant::now();
        let stored = &*session.artifacts.of(index);
        let manifest = &stored.manifest;
        let mut report = RerunStage {
            fingerprint: Some(stored.fingerprint),
            content: Some(stored.content),
            numerics: manifest.telemetry.numerics.clone(),
            rows_stored: manifest.outputs.values().map(|output| output.rows).sum(),
            created: Some(manifest.created.clone()),
            ..self.blank(index)
        };
        if let Some(fault) = self.falsehood(stored, recipe)? {
            report.verdict = Verdict::False;
            report.fault = Some(fault);
            return Ok(report);
        }
        let scratch = ScratchStore::new(&self.store)?;
        let made = self.execute(&scratch.store, session, index, recipe, "");
        self.report_finished(session, index, &made, start.elapsed().as_secs_f64());
        let inputs = self.inputs(session, &self.project.stages()[index]);
        let compared = made.and_then(|made| {
            self.compare_stage(stored, &made, &inputs, exact, &mut report)?;
            self.allow_for_rounding(session, index, recipe, &made.artifact, &mut report)
        });
        match compared {
            Ok(()) => {}
            Err(error) if error.is::<Cancelled>() => return Err(error),
            Err(error) => {
                report.verdict = Verdict::Failed;
                report.fault = Some(format!("{error:#}"));
            }
        }
        report.seconds = start.elapsed().as_secs_f64();
        Ok(report)
    }

    /// In what a stored artifact contradicts its own name, its manifest or its files.
    fn falsehood(&self, stored: &Artifact, recipe: &Recipe) -> Result<Option<String>> {
        let manifest = &stored.manifest;
        if manifest.recipe.fingerprint() != stored.fingerprint {
            let changes = manifest.recipe.changes_since(recipe);
            let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
            return Ok(Some(format!(
                "expected the recipe of fingerprint {}, got another one in its manifest: {}",
                stored.fingerprint.short(),
                changes.join(", ")
            )));
        }
        if let Err(error) = manifest.check() {
            return Ok(Some(error.to_string()));
        }
        let names = self.registry.known(&recipe.kind).headline();
        for (slot, record) in &manifest.outputs {
            let parts = stored.parts(slot);
            let fault = match self.contradiction(record, &parts, names) {
                Ok(None) => continue,
                Ok(Some((expected, found))) => {
                    format!("expected {expected}, got {found} in its files")
                }
                Err(error) => format!("{error:#}"),
            };
            return Ok(Some(format!("output `{slot}`: {fault}")));
        }
        Ok(None)
    }

    fn compare_stage(
        &self,
        stored: &Artifact,
        made: &Made,
        inputs: &BTreeMap<String, Vec<Input>>,
        exact: bool,
        report: &mut RerunStage,
    ) -> Result<()> {
        let again = &made.artifact;
        report
            .numerics_now
            .clone_from(&again.manifest.telemetry.numerics);
        let is_other_class = !exact
            && report.numerics != report.numerics_now
            && !report.numerics.is_empty()
            && !report.numerics_now.is_empty();
        report.verdict = Verdict::Equal;
        for (slot, record) in &stored.manifest.outputs {
            let tolerance = is_other_class.then(|| self.tolerance(&record.kind));
            let comparison = self
                .compare_output(stored, again, slot, &made.sampled, inputs, tolerance)
                .with_context(|| format!("output `{slot}`"))?;
            let verdict = if comparison.equal {
                Verdict::Equal
            } else if is_other_class && comparison.within {
                Verdict::Within
            } else {
                Verdict::Differs
            };
            report.verdict = report.verdict.max(verdict);
            report.rows += comparison.rows;
            let output = RerunOutput {
                kind: record.kind.clone(),
                verdict,
                tolerance,
                comparison,
            };
            report.outputs.insert(slot.clone(), output);
        }
        Ok(())
    }

    /// In a long training one rounding leads far. So a network of another class that sees images
    /// less alike than by the default tolerance is held against what this machine does: the stage is
    /// made once more with its numbers moved by one rounding, and the stored network may be twice as
    /// far from the one made again as that one is. Bounds that pipeline.yaml declares stand as they
    /// are.
    fn allow_for_rounding(
        &self,
        session: &mut Session,
        index: usize,
        recipe: &Recipe,
        again: &Artifact,
        report: &mut RerunStage,
    ) -> Result<()> {
        let is_open = |output: &RerunOutput| {
            output.comparison.seen_alike.is_some()
                && output.tolerance.is_some()
                && self.project.tolerance(&output.kind).is_none()
        };
        let mut differing = report
            .outputs
            .values()
            .filter(|output| !output.verdict.is_good());
        if report.verdict != Verdict::Differs || !differing.all(is_open) {
            return Ok(());
        }
        let start = Instant::now();
        let scratch = ScratchStore::new(&self.store)?;
        session.nudged = true;
        let made = self.execute(&scratch.store, session, index, recipe, "after one rounding");
        session.nudged = false;
        self.report_finished(session, index, &made, start.elapsed().as_secs_f64());
        let nudged = made?.artifact;
        let inputs = self.inputs(session, &self.project.stages()[index]);
        for (slot, output) in &mut report.outputs {
            if output.verdict.is_good() {
                continue;
            }
            let no_rows = SampledRows::new();
            let tolerance = output.tolerance;
            let rounding =
                self.compare_output(again, &nudged, slot, &no_rows, &inputs, tolerance)?;
            output.comparison.rounding_alike = rounding.seen_alike;
            if is_as_near(output.comparison.seen_alike, rounding.seen_alike) {
                output.comparison.within = true;
                output.verdict = Verdict::Within;
            }
        }
        let verdicts = report.outputs.values().map(|output| output.verdict);
        report.verdict = verdicts.max().unwrap_or(Verdict::Equal);
        Ok(())
    }

    fn compare_output(
        &self,
        stored: &Artifact,
        again: &Artifact,
        slot: &str,
        sampled: &SampledRows,
        inputs: &BTreeMap<String, Vec<Input>>,
        tolerance: Option<Tolerance>,
    ) -> Result<Comparison> {
        let (before, now) = (
            &stored.manifest.outputs[slot],
            &again.manifest.outputs[slot],
        );
        // Its files were held against its record already.
        if before.content == now.content {
            return Ok(Comparison {
                equal: true,
                within: true,
                rows: now.rows,
                ..Comparison::default()
            });
        }
        let judging = Judging {
            tolerance: tolerance.unwrap_or_default(),
            headline: self.registry.known(&stored.manifest.recipe.kind).headline(),
            inputs,
        };
        self.codec.compare(
            &before.kind,
            &stored.parts(slot),
            sampled.get(slot).map(Vec::as_slice),
            &again.parts(slot),
            &judging,
        )
    }

    /// The observer hears that the work is done.
    fn report_finished(&self, session: &Session, index: usize, made: &Result<Made>, seconds: f64) {
        let node = &self.project.stages()[index];
        let artifact = made.as_ref().ok().map(|made| &made.artifact);
        let outputs = artifact.map(|artifact| artifact.manifest.outputs.iter());
        let report = StageReport {
            stage: node.name.clone(),
            kind: node.kind.clone(),
            outcome: if artifact.is_some() {
                Outcome::Executed
            } else {
                Outcome::Failed
            },
            fingerprint: artifact.map(|artifact| artifact.fingerprint),
            content: artifact.map(|artifact| artifact.content),
            seconds,
            rows: outputs
                .into_iter()
                .flatten()
                .map(|(output, record)| (output.clone(), record.rows))
                .collect(),
            headline: artifact.map(headline).unwrap_or_default(),
            telemetry: BTreeMap::new(),
            error: match made {
                Err(error) if error.is::<Cancelled>() => Some(Cancelled.into()),
                Err(error) => Some(anyhow::anyhow!("{error:#}")),
                Ok(_) => None,
            },
            differs: None,
        };
        session.observer.event(&Event::StageFinished(&report));
    }
}

/// Whether a network is at most twice as far from another one as one rounding leads, and not so far
/// that nothing is alike.
fn is_as_near(alike: Option<f64>, rounding: Option<f64>) -> bool {
    const LEAST: f64 = 0.5;
    let (Some(alike), Some(rounding)) = (alike, rounding) else {
        return false;
    };
    alike >= LEAST && 1.0 - alike <= 2.0 * (1.0 - rounding)
}

fn run_options(options: &RerunOptions) -> RunOptions {
    RunOptions {
        targets: options.targets.clone(),
        device: options.device.clone(),
        ..RunOptions::default()
    }
}

/// How a stage's rerun ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Equal to the bit.
    Equal,
    /// Of another numerics class, and within the tolerance.
    Within,
    /// Other content than is stored.
    Differs,
    /// The stored artifact is not what it says that it is.
    False,
    /// It, or something that it needs, is not in the cache.
    Missing,
    /// The work failed.
    Failed,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Equal => "equal",
            Verdict::Within => "within",
            Verdict::Differs => "differs",
            Verdict::False => "false",
            Verdict::Missing => "missing",
            Verdict::Failed => "failed",
        }
    }

    pub fn is_good(self) -> bool {
        matches!(self, Verdict::Equal | Verdict::Within)
    }
}

/// What reruns gave.
#[derive(Debug, Clone, Serialize)]
pub struct RerunReport {
    /// How many stages ended so.
    pub counts: BTreeMap<Verdict, usize>,
    /// In the order of the plan.
    pub stages: Vec<RerunStage>,
    pub seconds: f64,
    /// Per cent that was asked for.
    pub sample: Option<f64>,
}

/// What one stage's rerun gave.
#[derive(Debug, Clone, Serialize)]
pub struct RerunStage {
    pub stage: String,
    pub kind: String,
    pub verdict: Verdict,
    pub fingerprint: Option<Digest>,
    /// What is stored.
    pub content: Option<Digest>,
    /// The numerics class that made what is stored, and the one of this rerun; empty: unknown.
    pub numerics: String,
    pub numerics_now: String,
    /// Rows that were made again, of all outputs, and how many there are.
    pub rows: u64,
    pub rows_stored: u64,
    /// Wall time of the rerun and the comparison.
    pub seconds: f64,
    /// When what is stored was made; RFC 3339, UTC.
    pub created: Option<String>,
    pub outputs: BTreeMap<String, RerunOutput>,
    /// Why there is nothing to compare.
    pub fault: Option<String>,
}

/// One output compared.
#[derive(Debug, Clone, Serialize)]
pub struct RerunOutput {
    /// The artifact kind.
    pub kind: String,
    pub verdict: Verdict,
    /// What was allowed; `None` within one numerics class: nothing.
    pub tolerance: Option<Tolerance>,
    pub comparison: Comparison,
}

impl RerunStage {
    /// Whether a part alone was compared.
    pub fn is_sampled(&self) -> bool {
        self.verdict.is_good() && self.rows < self.rows_stored
    }
}

impl RerunReport {
    pub fn is_good(&self) -> bool {
        self.stages.iter().all(|stage| stage.verdict.is_good())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_may_be_twice_as_far_as_one_rounding_leads() {
        // The default pipeline's teacher in two classes, and one of another learning rate.
        assert!(is_as_near(Some(0.89), Some(0.90)));
        assert!(is_as_near(Some(0.81), Some(0.90)));
        assert!(!is_as_near(Some(0.79), Some(0.90)));
        assert!(!is_as_near(Some(0.94), Some(0.98)));
        assert!(!is_as_near(Some(0.40), Some(0.30)));
        assert!(!is_as_near(Some(f64::NAN), Some(0.90)));
        assert!(!is_as_near(Some(0.99), None));
    }
}
