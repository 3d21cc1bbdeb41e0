//! How far a run is: its stages in the order of the plan, and how far each is. The live screen
//! draws it, the progress file holds it, `status --watch` reads it there.

use std::collections::BTreeMap;

use seedpipe_engine::{Engine, Event, Outcome, StageReport, StageState, StageStatus, clock};
use serde::{Deserialize, Serialize};

use super::outcome;
use super::work::Work;

/// Of the progress file's and `status --watch --json`'s schema.
pub const VERSION: u32 = 1;

/// The plan's reason of a stage that depends on others.
const WAITS_FOR: &str = "waits for the content of ";

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
    #[serde(skip)]
    pub began: f64,
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
                began: 0.0,
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
                    began: 0.0,
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
            Event::WorkFinished { stage } => self.stage(stage).finish_work(),
            Event::Metrics { stage, measured } => {
                let work = self.work(stage, now);
                work.measured(&measured);
                work.refresh(now);
            }
            Event::StageResumed { .. } | Event::StepsStarted { .. } | Event::Warning { .. } => {}
        }
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
    }

    /// The run is over: stages that had no turn are marked so.
    pub fn end(&mut self, state: RunState) {
        if self.state != RunState::Running {
            return;
        }
        self.state = state;
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

    /// Units a second, and the share of waiting.
    pub fn rates(&self) -> (f64, Option<f64>) {
        let work = self.work.as_ref();
        work.map_or((0.0, None), |work| (work.per_second, work.waiting_share))
    }

    fn finish_work(&mut self) {
        if self.kind.is_empty() {
            // No stage of a run: there is nothing after it.
            (self.state, self.work) = (State::Waiting, None);
        } else {
            self.work = Some(Work::default());
        }
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
