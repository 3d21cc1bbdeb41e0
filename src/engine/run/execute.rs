//! A run: for each wanted stage in order, its recipe from the actual upstream contents → cached? →
//! else lock, shards, publish. That recipes hold contents gives the early cut-off: equal content
//! leaves everything below cached.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use seedpipe_base::Refusal;

use crate::base::clock;
use crate::cache::artifact::Artifact;
use crate::cache::draft::Draft;
use crate::cache::manifest::{FORMAT, Manifest, OutputRecord, Telemetry, content_of};
use crate::cache::processes::locks::{Holder, Lock};
use crate::cache::recipe::Recipe;
use crate::cache::source::Snapshot;
use crate::cache::stat_cache::StatCache;
use crate::cache::store::{Lookup, Store};
use crate::kind::context::{SampledRows, StageContext, State};
use crate::kind::earlier::Search;
use crate::kind::job::{Job, JobInput};
use crate::kind::observer::{Event, Observer};
use crate::kind::registry::{Kind, WorkFunction};
use crate::kind::report::{ContentDifference, Outcome, RunReport, StageReport};
use crate::kind::sample::Sample;
use crate::kind::share::Share;
use crate::kind::stage::Demanded;
use crate::pipeline::pipeline_lock::{PipelineLock, headline, path_for};
use crate::pipeline::plan;
use crate::run::engine::{Engine, OnlyPlans, RunOptions};
use crate::run::executor::{Executor, Task};
use crate::run::schedule::Ran;
use crate::run::session::Session;
use crate::run::status::contents_warning;

/// What a stage's work gave.
pub(crate) struct Made {
    pub artifact: Artifact,
    /// Of a sampled rerun.
    pub sampled: SampledRows,
    /// What the stage told of its work.
    pub telemetry: BTreeMap<String, f64>,
}

/// Who does a stage's work.
enum Doer<'a> {
    Here(WorkFunction),
    Others(&'a dyn Executor),
}

/// A finished stage.
struct Finished {
    artifact: Artifact,
    outcome: Outcome,
    differs: Option<ContentDifference>,
    telemetry: BTreeMap<String, f64>,
}

impl Engine {
    /// Runs the wanted stages and writes pipeline.lock. Stops at the first stage that fails, which
    /// is in the report.
    ///
    /// Fails before anything runs when something was asked that is not there, a source is missing,
    /// or the cache can't be written, or with `locked` when the plan isn't pipeline.lock's; with
    /// [`OnlyPlans`] when it comes to a stage whose work this program doesn't have; and afterwards
    /// when pipeline.lock can't be written.
    pub fn run(&self, options: &RunOptions, observer: &dyn Observer) -> Result<RunReport> {
        let start = Instant::now();
        let targets = self.targets(options)?;
        let needed = plan::wanted(&self.project.needs(), targets.iter().copied());
        let wanted = if options.only { &targets } else { &needed };
        // Before the cache is touched: a missing source leaves nothing behind.
        let sources = self.sources_of(&needed)?;
        let lock = match options.locked {
            true => Some(self.locked_plan(&needed, &sources, options.targets.is_empty())?),
            // One that can't be read is told of when it is written anew.
            false => PipelineLock::read(&path_for(self.project.path())).unwrap_or_default(),
        };
        self.expect_sources_of(wanted, &sources, |index| {
            options.force && targets.contains(&index)
        })?;
        self.store.prepare()?;
        let lease = self.begin_lease()?;
        let device = options.device.as_deref();
        let device = device.unwrap_or_else(|| self.project.device());
        let mut session = Session::new(observer, device, sources, lease);
        if options.force {
            session.forced.clone_from(&targets);
        }
        (session.lock, session.locked) = (lock, options.locked);
        (session.may_reuse, session.delegates) = (true, true);
        if options.only {
            self.take_cached(&session, &needed, wanted)?;
        }
        let Ran {
            stages,
            not_reached,
        } = self.run_in_order(&session, &self.in_order(wanted))?;
        Ok(RunReport {
            not_reached,
            lock_file: self.write_lock(&session)?,
            stages,
            seconds: start.elapsed().as_secs_f64(),
        })
    }

    pub(crate) fn stage(&self, session: &Session, index: usize) -> StageReport {
        let start = Instant::now();
        let node = &self.project.stages()[index];
        let mut report = StageReport {
            stage: node.name.clone(),
            kind: node.kind.clone(),
            outcome: Outcome::Failed,
            fingerprint: None,
            content: None,
            seconds: 0.0,
            rows: BTreeMap::new(),
            headline: BTreeMap::new(),
            telemetry: BTreeMap::new(),
            error: None,
            differs: None,
        };
        let finished = self.look_up(session, index).and_then(|(recipe, found)| {
            report.fingerprint = Some(recipe.fingerprint());
            let finished = self.cached_or_executed(session, index, &recipe, found)?;
            self.agree_with_lock(session, index, &finished.artifact)?;
            self.keep_history(session, node, &finished.artifact)?;
            Ok(finished)
        });
        match finished {
            Ok(Finished {
                artifact,
                outcome,
                differs,
                telemetry,
            }) => {
                report.outcome = outcome;
                report.content = Some(artifact.content);
                let outputs = artifact.manifest.outputs.iter();
                report.rows = outputs
                    .map(|(output, record)| (output.clone(), record.rows))
                    .collect();
                report.headline = headline(&artifact);
                report.telemetry = telemetry;
                report.differs = differs;
                session.artifacts.insert(index, artifact);
            }
            Err(error) => report.error = Some(with_remedy(error)),
        }
        report.seconds = start.elapsed().as_secs_f64();
        report
    }

    fn cached_or_executed(
        &self,
        session: &Session,
        index: usize,
        recipe: &Recipe,
        found: Lookup,
    ) -> Result<Finished> {
        let node = &self.project.stages()[index];
        let warn = |message: &str| session.observer.warning(Some(&node.name), message);
        let is_forced = session.forced.contains(&index);
        if let (Some(artifact), false) = (&found.artifact, is_forced) {
            if let Some(message) = contents_warning(artifact, &found.others) {
                warn(&message);
            }
            let shared = self.shared_remote.as_ref();
            let was_fetched = shared.is_some_and(|shared| shared.was_fetched(artifact.fingerprint));
            return Ok(Finished {
                artifact: artifact.clone(),
                outcome: match was_fetched {
                    true => Outcome::Fetched,
                    false => Outcome::Cached,
                },
                differs: None,
                telemetry: BTreeMap::new(),
            });
        }
        let faults = found.faults;
        for fault in &faults {
            warn(&format!("damaged and not used: {fault}; it is made again"));
        }
        let fingerprint = recipe.fingerprint();
        let path = self.store.locks().join(format!("{fingerprint}.lock"));
        let (stage, observer) = (node.name.as_str(), session.observer);
        let waiting = |holder: &Holder| observer.event(&Event::StageWaiting { stage, holder });
        let _lock = Lock::take(&path, &Holder::here(stage), waiting)?;
        // Whoever held the lock may have made it.
        let found = self.store.find(fingerprint)?;
        if let (Some(artifact), false) = (&found.artifact, is_forced) {
            return Ok(Finished {
                artifact: artifact.clone(),
                outcome: Outcome::Cached,
                differs: None,
                telemetry: BTreeMap::new(),
            });
        }
        if !is_forced && let Some(artifact) = self.read_through(session, &node.name, recipe)? {
            return Ok(Finished {
                artifact,
                outcome: Outcome::Fetched,
                differs: None,
                telemetry: BTreeMap::new(),
            });
        }
        self.expect_here(session, index, fingerprint)?;
        let reasons = match is_forced {
            true => vec!["forced".to_owned()],
            false => self.reasons_to_run(index, recipe, &faults),
        };
        let Made {
            artifact,
            telemetry,
            ..
        } = self.execute(&self.store, session, index, recipe, &reasons.join("; "))?;
        self.write_back(&node.name, &artifact, session.observer);
        let differs = found.artifact.and_then(|old| difference(&old, &artifact));
        if let Some(differs) = &differs {
            warn(&differs.to_string());
        }
        Ok(Finished {
            artifact,
            outcome: Outcome::Executed,
            differs,
            telemetry,
        })
    }

    /// Runs the stage's work in a draft of `store` and publishes there. What a failure leaves is
    /// kept when it is worth it.
    ///
    /// - `why`: the reasons, for people
    pub(crate) fn execute(
        &self,
        store: &Store,
        session: &Session,
        index: usize,
        recipe: &Recipe,
        why: &str,
    ) -> Result<Made> {
        let start = Instant::now();
        let node = &self.project.stages()[index];
        let kind = self.registry.known(&node.kind);
        let doer = match (
            self.delegate(session, kind),
            self.registry.work(kind.name()),
        ) {
            (Some(executor), _) => Doer::Others(executor),
            (None, Some(work)) => Doer::Here(work),
            (None, None) => {
                let kind = kind.name().to_owned();
                return Err(OnlyPlans { kind }.into());
            }
        };
        session.observer.event(&Event::StageStarted {
            stage: &node.name,
            kind: kind.name(),
            fingerprint: recipe.fingerprint(),
            why,
        });
        let is_forced = session.forced.contains(&index);
        let slots: Vec<&str> = kind.outputs().iter().map(|slot| slot.name).collect();
        let numerics = (self.numerics)(kind, &session.device)?;
        let draft = Draft::open(store, recipe, &node.name, is_forced, &numerics, &slots)?;
        if let Some(other) = &draft.left_by {
            let message = format!(
                "begins anew: its unfinished work was done in another numerics class, `{other}`, and stays there; this is `{numerics}`"
            );
            session.observer.warning(Some(&node.name), &message);
        }
        let mut state = State {
            draft,
            sharded: false,
            sampled: SampledRows::new(),
        };
        let worked = match doer {
            Doer::Others(executor) => {
                self.work_elsewhere(session, index, recipe, executor, &mut state.draft)
            }
            Doer::Here(work) => {
                let worked;
                (worked, state) = self.work_here(store, session, index, recipe, work, state);
                worked
            }
        };
        let State { draft, sampled, .. } = state;
        let demanded = match worked {
            Ok(demanded) => demanded,
            Err(error) => {
                if !draft.is_worth_keeping() {
                    draft
                        .remove(store)
                        .context("failed to remove what a failed stage left")?;
                }
                return Err(error);
            }
        };
        if let Err(error) = self.check_sources(session, index) {
            draft.remove(store)?;
            return Err(error);
        }
        let telemetry = Telemetry {
            seconds: start.elapsed().as_secs_f64(),
            device: session.device.clone(),
            numerics,
            versions: self.versions.clone(),
            values: draft.telemetry.clone(),
        };
        let values = telemetry.values.clone();
        let outputs = self.outputs(kind, &draft)?;
        if let Err(refusal) = check_rows(&demanded, &sampled, &outputs) {
            // Its shards are finished and wrong: kept, they would be taken again.
            draft.remove(store)?;
            return Err(refusal.into());
        }
        let artifact = publish(store, recipe, outputs, &draft, telemetry)?;
        Ok(Made {
            artifact,
            sampled,
            telemetry: values,
        })
    }

    /// Who does a kind's work instead of this process.
    fn delegate(&self, session: &Session, kind: &Kind) -> Option<&dyn Executor> {
        let executor = self.executor.as_deref();
        executor.filter(|executor| session.delegates && !kind.lineage() && executor.takes(kind))
    }

    /// Does the work in this process.
    fn work_here(
        &self,
        store: &Store,
        session: &Session,
        index: usize,
        recipe: &Recipe,
        work: WorkFunction,
        state: State,
    ) -> (Result<Demanded>, State) {
        let node = &self.project.stages()[index];
        let kind = self.registry.known(&node.kind);
        let is_forced = session.forced.contains(&index);
        let sample = session.sample;
        let context = StageContext {
            stage: &node.name,
            kind,
            seed: node.seed,
            device: &session.device,
            folder: self.project.folder(),
            inputs: self.inputs(session, node),
            lineage: match kind.lineage() {
                true => self.lineage(session, index),
                false => Vec::new(),
            },
            checkpoints: state.draft.checkpoints(),
            content: state.draft.writing(),
            observer: session.observer,
            sample: sample.map(|percent| Sample::new(percent, recipe.fingerprint())),
            nudged: session.nudged,
            search: (!is_forced && session.may_reuse).then_some(Search {
                store: store.clone(),
                lease: &session.lease,
                recipe,
                numerics: state.draft.numerics().to_owned(),
            }),
            share: Share::WHOLE,
            state: Mutex::new(state),
        };
        context.perform(work, &node.params)
    }

    /// Lets others fill the draft.
    fn work_elsewhere(
        &self,
        session: &Session,
        index: usize,
        recipe: &Recipe,
        executor: &dyn Executor,
        draft: &mut Draft,
    ) -> Result<Demanded> {
        let node = &self.project.stages()[index];
        let inputs = node.inputs.iter().map(|(slot, connections)| {
            let inputs = connections.iter().map(|connection| {
                let artifact = session.artifacts.of(connection.index);
                JobInput {
                    stage: connection.stage.clone(),
                    output: connection.output.clone(),
                    fingerprint: artifact.fingerprint,
                    content: artifact.content,
                }
            });
            (slot.clone(), inputs.collect())
        });
        let job = Job {
            params: node.params.clone(),
            device: session.device.clone(),
            folder: std::path::absolute(self.project.folder())?,
            inputs: inputs.collect(),
            may_reuse: !session.forced.contains(&index),
        };
        job.write(draft.directory())?;
        let task = Task {
            stage: &node.name,
            fingerprint: recipe.fingerprint(),
            cache: self.project.cache(),
        };
        let worked = executor.work(task, session.observer);
        // Also where a share failed: what the others finished is kept.
        draft.catch_up()?;
        worked?;
        let demanded = draft.take_in()?.into_iter();
        let kind = self.registry.known(&node.kind);
        let known = demanded.map(|(slot, rows)| {
            let known = kind.outputs().iter().find(|known| known.name == slot);
            let known = known.with_context(|| format!("BUG: no output is called `{slot}`"))?;
            Ok((known.name, rows))
        });
        known.collect()
    }

    /// Shards that were computed while a source changed are not what the recipe says.
    fn check_sources(&self, session: &Session, index: usize) -> Result<()> {
        let snapshot = Snapshot::new(StatCache::required(&self.store.stat_cache()));
        let node = &self.project.stages()[index];
        for (path, before) in &session.sources[&index].digests {
            if self.source_digest(node, path, &snapshot)? != *before {
                let message = format!(
                    "source `{path}`: expected it at rest, got other content than when the run began; nothing is published"
                );
                bail!(Refusal::failure(message).hint("run again when nobody writes to it"));
            }
        }
        Ok(())
    }

    /// What the work wrote.
    fn outputs(&self, kind: &Kind, draft: &Draft) -> Result<BTreeMap<String, OutputRecord>> {
        let mut outputs = BTreeMap::new();
        for slot in kind.outputs() {
            let parts = draft.parts(slot.name);
            if parts.is_empty() {
                bail!(
                    "BUG: kind `{}` wrote no part of its output `{}`",
                    kind.name(),
                    slot.name
                );
            }
            let folder = draft.content().join(slot.name);
            let paths: Vec<PathBuf> = parts.iter().map(|part| folder.join(&part.name)).collect();
            let content = self
                .codec
                .digest(slot.kind, &paths)
                .with_context(|| format!("output `{}`", slot.name))?;
            let headline = self
                .codec
                .headline(slot.kind, &paths, kind.headline())
                .with_context(|| format!("output `{}`", slot.name))?;
            let record = OutputRecord {
                kind: slot.kind.to_owned(),
                content: content.digest,
                rows: content.rows,
                headline,
                parts,
            };
            outputs.insert(slot.name.to_owned(), record);
        }
        Ok(outputs)
    }
}

/// Refuses outputs with other rows than the inputs demand; of a sampled rerun those that it made.
fn check_rows(
    demanded: &Demanded,
    sampled: &SampledRows,
    outputs: &BTreeMap<String, OutputRecord>,
) -> Result<(), Refusal> {
    for (slot, rows) in demanded {
        let expected = match sampled.get(*slot) {
            Some(ranges) => ranges.iter().map(|range| range.end - range.start).sum(),
            None => *rows,
        };
        let got = outputs.get(*slot).map_or(0, |output| output.rows);
        if got != expected {
            return Err(Refusal::failure(format!(
                "output `{slot}`: expected {expected} rows, as the inputs demand, got {got}; nothing is published"
            ))
            .hint("this is a mistake in the stage's kind, not in your pipeline: please report it"));
        }
    }
    Ok(())
}

fn publish(
    store: &Store,
    recipe: &Recipe,
    outputs: BTreeMap<String, OutputRecord>,
    draft: &Draft,
    telemetry: Telemetry,
) -> Result<Artifact> {
    let manifest = Manifest {
        format: FORMAT,
        fingerprint: recipe.fingerprint(),
        content: content_of(&outputs),
        created: clock::now(),
        sequence: 0,
        recipe: recipe.clone(),
        outputs,
        telemetry,
    };
    let artifact = store.publish(&draft.content(), manifest)?;
    // Also what was left of it in other classes: nobody needs that now.
    for draft in store.drafts_of(artifact.fingerprint)? {
        store.discard(&draft)?;
    }
    Ok(artifact)
}

/// What differs between two artifacts of one recipe.
fn difference(old: &Artifact, new: &Artifact) -> Option<ContentDifference> {
    if old.content == new.content {
        return None;
    }
    let outputs = new.manifest.outputs.iter();
    let differing = outputs.filter(|(output, record)| {
        old.manifest
            .outputs
            .get(*output)
            .map(|record| record.content)
            != Some(record.content)
    });
    Some(ContentDifference {
        fingerprint: new.fingerprint,
        old: old.content,
        new: new.content,
        outputs: differing.map(|(output, _)| output.clone()).collect(),
    })
}

/// Adds the remedy to faults of the machine, which stages cannot know.
pub(crate) fn with_remedy(error: anyhow::Error) -> anyhow::Error {
    let kinds: Vec<io::ErrorKind> = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .map(io::Error::kind)
        .collect();
    let hint = if kinds.contains(&io::ErrorKind::StorageFull)
        || kinds.contains(&io::ErrorKind::QuotaExceeded)
    {
        "free space, for example by `seedpipe gc`, and run again: finished shards are kept"
    } else if kinds.contains(&io::ErrorKind::ReadOnlyFilesystem) {
        "name a cache that can be written by `cache:` in pipeline.yaml or SEEDPIPE_CACHE"
    } else {
        return error;
    };
    Refusal::failure(format!("{error:#}")).hint(hint).into()
}
