//! How far a run is: its stages in the order of the plan, and how far each is. The live screen
//! draws it, the progress file holds it, `status --watch` reads it there.

use std::collections::{BTreeMap, HashMap};

use seedpipe_engine::{Engine, Event, Outcome, StageReport, StageState, StageStatus, clock};
use serde::{Deserialize, Serialize};

use super::outcome;
use super::work::Work;
use crate::progress::beside::{self, Ahead};
use crate::terminal::figures;

/// Of the progress file's and `status --watch --json`'s schema.
pub const VERSION: u32 = 1;

/// The plan's reason of a stage that depends on others.
const WAITS_FOR: &str = "waits for the content of ";

/// Seconds from which on foretold ones say how fast the machine is, and are worth a word.
const SPEAKING: f64 = 5.0;
/// Seconds after which a work's rate is its own.
const SETTLED: f64 = 5.0;

/// How a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    Running,
    Succeeded,
    Failed,
    /// Stopped by the user.
    Stopped,
    /// It ended without a word.
    Died,
}

/// How a stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Waiting,
    Running,
    Cached,
    Fetched,
    Done,
    Failed,
    /// By the user.
    Stopped,
    /// The run ended before its turn.
    Skipped,
}

impl State {
    pub fn word(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Running => "running",
            State::Cached => "cached",
            State::Fetched => "fetched",
            State::Done => "done",
            State::Failed => "failed",
            State::Stopped => "stopped",
            State::Skipped => "skipped",
        }
    }
}

fn one() -> usize {
    1
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunProgress {
    pub v: u32,
    /// The pipeline's file, absolute.
    pub pipeline: String,
    pub pid: u32,
    pub host: String,
    /// RFC 3339, UTC.
    pub started: String,
    /// Since then.
    pub seconds: f64,
    pub state: RunState,
    /// Until it is over, as far as that is known: see [`RunProgress::left`].
    #[serde(default)]
    pub seconds_left: Option<f64>,
    /// Stages that run at once, at most.
    #[serde(default = "one")]
    pub jobs: usize,
    pub stages: Vec<StageProgress>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageProgress {
    pub stage: String,
    pub kind: String,
    /// Stages of the plan that it takes something from.
    pub needs: Vec<String>,
    pub state: State,
    /// Why it runs, waits, or was left out.
    pub why: String,
    /// First 12 digits, once it is known.
    pub fingerprint: Option<String>,
    /// What came of it, or what it failed of.
    pub result: String,
    /// That it has worked, or works since.
    pub seconds: Option<f64>,
    pub work: Option<Work>,
    /// Seconds that it was foretold to take; none: unknown.
    #[serde(default)]
    pub expected: Option<f64>,
    #[serde(skip)]
    pub began: f64,
    /// Whether it went on with what an earlier run had begun.
    #[serde(skip)]
    pub was_resumed: bool,
}

impl RunProgress {
    /// Before anything has run.
    pub fn of(engine: &Engine, plan: &[StageStatus]) -> Self {
        let names: Vec<&str> = plan.iter().map(|stage| stage.stage.as_str()).collect();
        let stages = plan.iter().map(|status| {
            let node = engine.project().stage(&status.stage);
            let inputs = node.iter().flat_map(|node| node.inputs.values().flatten());
            let mut needs: Vec<String> = Vec::new();
            for input in inputs {
                let is_known = needs.contains(&input.stage);
                if !is_known && names.contains(&input.stage.as_str()) {
                    needs.push(input.stage.clone());
                }
            }
            // Whether a stage is still cached shows when the run comes to it.
            let why = match status.state {
                StageState::Cached => String::new(),
                _ => status.reasons.join("; "),
            };
            StageProgress {
                stage: status.stage.clone(),
                kind: status.kind.clone(),
                needs,
                state: State::Waiting,
                why,
                fingerprint: status.fingerprint.map(|digest| digest.short()),
                result: String::new(),
                seconds: None,
                work: None,
                expected: match status.state {
                    StageState::Cached => Some(0.0),
                    _ => None,
                },
                began: 0.0,
                was_resumed: false,
            }
        });
        let path = engine.project().path();
        let path = fs_err::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        RunProgress {
            pipeline: path.display().to_string(),
            stages: stages.collect(),
            ..RunProgress::empty()
        }
    }

    /// Foretells how long stages take that may run.
    pub fn expect(&mut self, seconds: impl Fn(&str) -> Option<f64>) {
        for stage in &mut self.stages {
            stage.expected = stage.expected.or_else(|| seconds(&stage.stage));
        }
    }

    /// Of a command that works on stages without a plan.
    pub fn empty() -> Self {
        let host = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        RunProgress {
            v: VERSION,
            pipeline: String::new(),
            pid: std::process::id(),
            host,
            started: clock::now(),
            seconds: 0.0,
            state: RunState::Running,
            seconds_left: None,
            jobs: 1,
            stages: Vec::new(),
        }
    }

    /// The stage, put behind the others when it is not known.
    pub fn stage(&mut self, name: &str) -> &mut StageProgress {
        let index = match self.stages.iter().position(|stage| stage.stage == name) {
            Some(index) => index,
            None => {
                self.stages.push(StageProgress {
                    stage: name.to_owned(),
                    kind: String::new(),
                    needs: Vec::new(),
                    state: State::Waiting,
                    why: String::new(),
                    fingerprint: None,
                    result: String::new(),
                    seconds: None,
                    work: None,
                    expected: None,
                    began: 0.0,
                    was_resumed: false,
                });
                self.stages.len() - 1
            }
        };
        &mut self.stages[index]
    }

    /// The stage's work, which begins with it when it has not begun: a fetch, a push.
    fn work(&mut self, stage: &str, now: f64) -> &mut Work {
        let stage = self.stage(stage);
        if stage.state == State::Waiting {
            (stage.state, stage.began) = (State::Running, now);
        }
        stage.work.get_or_insert_default()
    }

    /// - `now`: seconds since the run began
    /// - `is_verbose`: whether results hold digests and intervals too
    pub fn event(&mut self, event: &Event, now: f64, is_verbose: bool) {
        match *event {
            Event::StageStarted {
                stage,
                kind,
                fingerprint,
                why,
            } => self.stage(stage).start(kind, fingerprint.short(), why, now),
            Event::StageWaiting { stage, holder } => {
                self.stage(stage).why =
                    format!("waits for {holder}, which makes the same artifact");
            }
            Event::StageFinished(report) => {
                self.stage(&report.stage).finish(report, is_verbose);
                self.settle();
            }
            Event::WorkStarted {
                stage,
                label,
                unit,
                total,
                done,
            } => {
                self.stage(stage).was_resumed |= done > 0;
                let label = if label == stage { "" } else { label };
                self.work(stage, now).begin(label, unit, total, done, now);
            }
            Event::WorkAdvanced { stage, count } => self.work(stage, now).advance(count, now),
            Event::WorkNote { stage, note } => note.clone_into(&mut self.work(stage, now).note),
            Event::WorkWaited {
                stage,
                what,
                waited,
            } => self.work(stage, now).wait(what, waited),
            Event::WorkFinished { stage } => self.finish_work(stage),
            Event::Metrics { stage, measured } => {
                let work = self.work(stage, now);
                work.measured(&measured);
                work.refresh(now);
            }
            Event::StageResumed { stage, .. } => self.stage(stage).was_resumed = true,
            Event::StepsStarted { .. } | Event::Warning { .. } => {}
        }
    }

    /// What is no stage of a run is gone when its work is.
    fn finish_work(&mut self, name: &str) {
        let has_plan = !self.pipeline.is_empty();
        let stage = self.stage(name);
        if !stage.kind.is_empty() {
            stage.work = Some(Work::default());
        } else if !has_plan {
            (stage.state, stage.work) = (State::Waiting, None);
        } else {
            self.stages.retain(|stage| stage.stage != name);
        }
    }

    /// Seconds until the run is over: what was foretold of its stages, corrected by how long those
    /// that are done or well begun take in truth. None where nothing was foretold.
    fn foresee(&self) -> Option<f64> {
        let (mut foretold, mut measured) = (0.0, 0.0);
        for stage in &self.stages {
            let (Some(expected), Some(seconds)) = (stage.expected, stage.seconds) else {
                continue;
            };
            let whole = match stage.state {
                State::Done => Some(seconds),
                State::Running => stage.rest().map(|rest| seconds + rest),
                _ => None,
            };
            if let Some(whole) = whole.filter(|_| !stage.was_resumed) {
                (foretold, measured) = (foretold + expected, measured + whole);
            }
        }
        let correction = match foretold >= SPEAKING {
            true => (measured / foretold).clamp(0.2, 5.0),
            false => 1.0,
        };
        let rest = |stage: &StageProgress| {
            let expected = stage.expected.map(|expected| expected * correction);
            match stage.state {
                State::Waiting => expected,
                State::Running => stage
                    .rest()
                    .or_else(|| Some((expected? - stage.seconds.unwrap_or(0.0)).max(0.0))),
                _ => None,
            }
        };
        let rests: Vec<Option<f64>> = self.stages.iter().map(rest).collect();
        rests.iter().flatten().next()?;
        let places: HashMap<&str, usize> = (0..)
            .zip(&self.stages)
            .map(|(place, stage)| (stage.stage.as_str(), place))
            .collect();
        let ahead: Vec<Ahead> = self
            .stages
            .iter()
            .zip(rests)
            .map(|(stage, rest)| Ahead {
                needs: stage
                    .needs
                    .iter()
                    .filter_map(|need| places.get(need.as_str()).copied())
                    .collect(),
                seconds: rest.unwrap_or(0.0),
            })
            .collect();
        Some(beside::seconds(&ahead, self.jobs))
    }

    /// `whole run: about 12 min left`, when that is worth a word.
    pub fn left(&self) -> Option<String> {
        let seconds = self.seconds_left.filter(|seconds| *seconds >= SPEAKING)?;
        let is_open =
            |stage: &&StageProgress| matches!(stage.state, State::Waiting | State::Running);
        let open: Vec<&StageProgress> = self.stages.iter().filter(is_open).collect();
        let unknown = open
            .iter()
            .filter(|stage| stage.expected.is_none() && stage.rest().is_none());
        let beside = match unknown.count() {
            0 => String::new(),
            count => format!(
                ", beside {} of unknown length",
                figures::counted(count as u64, "stage")
            ),
        };
        let about = figures::about(seconds);
        (open.len() > 1).then(|| format!("whole run: {about} left{beside}"))
    }

    /// A stage is done: those that wait for it wait for fewer.
    fn settle(&mut self) {
        let is_open =
            |stage: &StageProgress| matches!(stage.state, State::Waiting | State::Running);
        let open = self.stages.iter().filter(|stage| is_open(stage));
        let open: Vec<String> = open.map(|stage| stage.stage.clone()).collect();
        let waiting = self.stages.iter_mut();
        let waits = |stage: &&mut StageProgress| {
            stage.state == State::Waiting && stage.why.starts_with(WAITS_FOR)
        };
        for stage in waiting.filter(waits) {
            let needs = stage.needs.iter().filter(|need| open.contains(need));
            let needs: Vec<String> = needs.map(|need| format!("`{need}`")).collect();
            stage.why = match needs.is_empty() {
                true => "waits its turn".to_owned(),
                false => format!("{WAITS_FOR}{}", needs.join(", ")),
            };
        }
    }

    pub fn running(&self) -> impl Iterator<Item = &StageProgress> {
        self.stages
            .iter()
            .filter(|stage| stage.state == State::Running)
    }

    pub fn count(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for stage in &self.stages {
            *counts.entry(stage.state.word()).or_default() += 1;
        }
        counts
    }

    pub fn refresh(&mut self, now: f64) {
        self.seconds = now;
        for stage in &mut self.stages {
            if stage.state == State::Running {
                stage.seconds = Some(now - stage.began);
                if let Some(work) = &mut stage.work {
                    work.refresh(now);
                }
            }
        }
        self.seconds_left = self.foresee();
    }

    /// The run is over: stages that had no turn are marked so.
    pub fn end(&mut self, state: RunState) {
        if self.state != RunState::Running {
            return;
        }
        self.state = state;
        self.seconds_left = None;
        let of = |wanted: &[State]| {
            let found = self.stages.iter().find(|it| wanted.contains(&it.state));
            found.map(|stage| stage.stage.clone())
        };
        let failed = of(&[State::Failed]);
        for stage in &mut self.stages {
            match stage.state {
                State::Waiting => {
                    stage.state = State::Skipped;
                    stage.why = match &failed {
                        Some(failed) => format!("since `{failed}` failed"),
                        None => "not reached".to_owned(),
                    };
                }
                State::Running => stage.state = State::Stopped,
                _ => {}
            }
        }
    }
}

impl StageProgress {
    pub fn start(&mut self, kind: &str, fingerprint: String, why: &str, now: f64) {
        self.kind = kind.to_owned();
        self.why = why.to_owned();
        self.state = State::Running;
        self.fingerprint = Some(fingerprint);
        (self.began, self.seconds) = (now, Some(0.0));
        self.work = Some(Work::default());
    }

    /// Seconds of work that is left, once enough is done to tell; by the rate since it began, which
    /// looks at the accuracy don't move as they do that of the last seconds.
    fn rest(&self) -> Option<f64> {
        let (work, seconds) = (self.work.as_ref()?, self.seconds?);
        let done = work.done.saturating_sub(work.resumed);
        // What has a label is one of several works of the stage.
        let tells = work.label.is_empty() && work.total > 0 && seconds >= SETTLED && done > 0;
        let left = work.total.saturating_sub(work.done) as f64;
        tells.then(|| left * seconds / done as f64)
    }

    /// Units a second, and the share of waiting.
    pub fn rates(&self) -> (f64, Option<f64>) {
        let work = self.work.as_ref();
        work.map_or((0.0, None), |work| (work.per_second, work.waiting_share))
    }

    fn finish(&mut self, report: &StageReport, is_verbose: bool) {
        self.kind = report.kind.clone();
        self.state = match report.outcome {
            Outcome::Cached => State::Cached,
            Outcome::Fetched => State::Fetched,
            Outcome::Executed => State::Done,
            Outcome::Failed if outcome::is_cancelled(report) => State::Stopped,
            Outcome::Failed => State::Failed,
        };
        if matches!(self.state, State::Cached | State::Fetched) {
            self.why.clear(); // it waited, and need not have
        }
        self.fingerprint = report.fingerprint.map(|digest| digest.short());
        self.seconds = (report.outcome != Outcome::Cached).then_some(report.seconds);
        self.work = None;
        self.result = match &report.error {
            Some(error) if self.state == State::Failed => {
                let text = format!("{error:#}");
                let name = format!("stage `{}`: ", self.stage);
                let first = text.lines().next().unwrap_or_default();
                first.strip_prefix(&name).unwrap_or(first).to_owned()
            }
            _ if is_verbose => outcome::details(report, true).join(", "),
            _ => outcome::in_short(report).join(", "),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three stages that were foretold 10, 20 and 30 seconds.
    fn foretold() -> RunProgress {
        let mut progress = RunProgress::empty();
        for (name, seconds) in [("one", 10.0), ("two", 20.0), ("three", 30.0)] {
            progress.stage(name).expected = Some(seconds);
        }
        progress
    }

    fn left(progress: &mut RunProgress, now: f64) -> f64 {
        progress.refresh(now);
        progress.seconds_left.unwrap()
    }

    #[test]
    fn what_was_foretold_is_corrected_by_what_is_measured() {
        let mut progress = foretold();
        assert_eq!(left(&mut progress, 0.0), 60.0);
        progress
            .stage("one")
            .start("distill", String::new(), "", 0.0);
        assert_eq!(left(&mut progress, 4.0), 56.0);
        // It took twice as long.
        let one = progress.stage("one");
        (one.state, one.seconds) = (State::Done, Some(20.0));
        assert_eq!(left(&mut progress, 20.0), 100.0);
        // The next one's own rate says 60 seconds in all, of which 50 are left: three times as long
        // as was foretold, and both together 80 for 30.
        progress
            .stage("two")
            .start("distill", String::new(), "", 20.0);
        let work = progress.stage("two").work.as_mut().unwrap();
        work.begin("", "images", 600, 0, 20.0);
        work.advance(100, 30.0);
        let seconds = left(&mut progress, 30.0);
        assert!((seconds - (50.0 + 80.0)).abs() < 1e-6, "{seconds}");
        assert_eq!(progress.left().unwrap(), "whole run: about 2 min left");
    }

    #[test]
    fn what_is_unknown_is_said_to_be() {
        let mut progress = foretold();
        progress.stage("two").expected = None;
        assert_eq!(left(&mut progress, 0.0), 40.0);
        assert_eq!(
            progress.left().unwrap(),
            "whole run: about 40 s left, beside 1 stage of unknown length"
        );
        for name in ["one", "three"] {
            progress.stage(name).expected = None;
        }
        progress.refresh(0.0);
        assert_eq!((progress.seconds_left, progress.left()), (None, None));
    }
}
