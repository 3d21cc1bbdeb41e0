//! How long the stages of a run will take on this machine: by what alike work took in earlier runs,
//! else by calibrations. What neither tells is said to be unknown.

use std::collections::{BTreeSet, HashMap};
use std::thread::available_parallelism;

use anyhow::Result;
use seedpipe_engine::{Artifact, Engine, Outcome, RunReport, StageNode, StageState, StageStatus};
use seedpipe_stages::workload::{Workload, Workloads};
use serde_json::{Value, json};

use crate::progress::beside::{self, Ahead};
use crate::project::rates::Rates;
use crate::terminal::figures;

/// Where seconds come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// So many runs of alike work.
    Runs(usize),
    Calibration,
    /// What such work usually takes.
    Usual,
}

/// What a stage will take.
#[derive(Clone, Debug, PartialEq)]
pub enum Time {
    Known {
        seconds: f64,
        basis: Basis,
    },
    /// Why, for people.
    Unknown(String),
}

/// A stage of a plan: what it is, what it has, and whether it will stay as it is.
pub struct Planned<'a> {
    pub node: &'a StageNode,
    pub artifact: Option<Artifact>,
    pub is_cached: bool,
}

/// What the stages of a plan will take.
pub struct Times {
    /// By place in the plan; none of a cached stage.
    stages: Vec<(String, Option<Time>)>,
    /// For each, the places of those that it waits for.
    needs: Vec<Vec<usize>>,
    /// Stages that run at once.
    jobs: usize,
    workloads: Vec<(String, Workload)>,
}

impl Times {
    /// Of the stages that a run would run; `None` where the user wants no estimates.
    pub fn of_run(engine: &Engine, stages: &[StageStatus], device: &str) -> Result<Option<Times>> {
        let planned: Result<Vec<Planned>> = stages
            .iter()
            .map(|stage| {
                Ok(Planned {
                    node: engine.project().stage(&stage.stage)?,
                    artifact: stage.artifact.clone(),
                    is_cached: stage.state == StageState::Cached,
                })
            })
            .collect();
        Ok(Self::of(engine, &planned?, device))
    }

    /// Of a plan whose stages may all have to run.
    pub fn of(engine: &Engine, planned: &[Planned], device: &str) -> Option<Times> {
        let mut rates = Rates::of_this_machine()?;
        let find = |name: &str| match planned.iter().find(|stage| stage.node.name == name) {
            Some(stage) => Ok(stage.artifact.clone()),
            None => engine.find(name),
        };
        let workloads = Workloads::new(engine, &find, device);
        let works: Vec<Option<Result<Workload, String>>> = planned
            .iter()
            .map(|stage| (!stage.is_cached).then(|| workloads.of_stage(stage.node)))
            .collect();
        let by_runs = |rates: &Rates, work: &Workload| rates.by_runs(&work.way, work.amount);
        let known = works.iter().flatten().flatten();
        let missing: Vec<&Workload> = known
            .filter(|work| by_runs(&rates, work).is_none())
            .collect();
        rates.calibrate(missing.into_iter().flat_map(Workload::calibrations));
        let cores = available_parallelism().map_or(1, usize::from);
        let stages = planned.iter().zip(&works).map(|(stage, work)| {
            let time = work.as_ref().map(|work| match work {
                Err(why) => Time::Unknown(why.clone()),
                Ok(work) => match by_runs(&rates, work) {
                    Some((seconds, runs)) => Time::Known {
                        seconds,
                        basis: Basis::Runs(runs),
                    },
                    None => match work.seconds(cores, |calibration| rates.cost(calibration)) {
                        Some(seconds) => Time::Known {
                            seconds,
                            basis: match work.calibrations().next() {
                                Some(_) => Basis::Calibration,
                                None => Basis::Usual,
                            },
                        },
                        None => Time::Unknown("until it has run here once".to_owned()),
                    },
                },
            });
            (stage.node.name.clone(), time)
        });
        let stages = stages.collect();
        let named = planned.iter().zip(works);
        let places: HashMap<&str, usize> = (0..)
            .zip(planned)
            .map(|(place, stage)| (stage.node.name.as_str(), place))
            .collect();
        let needs = planned.iter().map(|stage| {
            let inputs = stage.node.inputs.values().flatten();
            let needs = inputs.filter_map(|input| places.get(input.stage.as_str()).copied());
            needs.collect::<BTreeSet<_>>().into_iter().collect()
        });
        Some(Times {
            stages,
            needs: needs.collect(),
            jobs: 1,
            workloads: named
                .filter_map(|(stage, work)| Some((stage.node.name.clone(), work?.ok()?)))
                .collect(),
        })
    }

    /// Of a run that does several stages at once.
    #[must_use]
    pub fn with_jobs(mut self, jobs: usize) -> Times {
        self.jobs = jobs;
        self
    }

    /// Seconds that a stage is expected to take; none where that is unknown.
    pub fn of_stage(&self, name: &str) -> Option<f64> {
        match self.time(name)? {
            Time::Known { seconds, .. } => Some(*seconds),
            Time::Unknown(_) => None,
        }
    }

    fn time(&self, name: &str) -> Option<&Time> {
        let found = self.stages.iter().find(|(stage, _)| stage == name);
        found.and_then(|(_, time)| time.as_ref())
    }

    /// Seconds until all stages are done that are known, and the names of the others.
    pub fn whole(&self) -> (f64, Vec<&str>) {
        let unknown = self.stages.iter();
        let unknown = unknown.filter(|(_, time)| matches!(time, Some(Time::Unknown(_))));
        let ahead = self.stages.iter().zip(&self.needs);
        let ahead: Vec<Ahead> = ahead
            .map(|((_, time), needs)| Ahead {
                needs: needs.clone(),
                seconds: match time {
                    Some(Time::Known { seconds, .. }) => *seconds,
                    _ => 0.0,
                },
            })
            .collect();
        (
            beside::seconds(&ahead, self.jobs),
            unknown.map(|(stage, _)| stage.as_str()).collect(),
        )
    }

    /// `about 14 min`, and what it is without.
    pub fn in_all(&self) -> String {
        let (seconds, unknown) = self.whole();
        let names: Vec<String> = unknown.iter().map(|name| format!("`{name}`")).collect();
        match (names.is_empty(), seconds > 0.0) {
            (true, _) => figures::about(seconds),
            (false, true) => format!(
                "{}, beside {}, whose time is unknown",
                figures::about(seconds),
                names.join(", ")
            ),
            (false, false) => "unknown".to_owned(),
        }
    }

    /// A line for each stage that may run, and one for all of them.
    pub fn lines(&self) -> String {
        let mut text = String::new();
        for (stage, time) in &self.stages {
            let Some(time) = time else { continue };
            text += &format!("{stage}: {}\n", line(time));
        }
        if !text.is_empty() {
            text += &format!("time in all: {}\n", self.in_all());
        }
        text
    }

    /// The stages that take most of the time, the longest first: `teacher 8 min, student 3 min`.
    pub fn longest(&self) -> String {
        let (whole, _) = self.whole();
        let named = self
            .stages
            .iter()
            .filter_map(|(stage, _)| Some((stage, self.of_stage(stage)?)));
        let mut long: Vec<(&String, f64)> = named
            .filter(|(_, seconds)| *seconds > 0.1 * whole)
            .collect();
        long.sort_by(|a, b| b.1.total_cmp(&a.1));
        let long = long.iter().map(|(stage, seconds)| {
            format!(
                "{stage} {}",
                figures::about(*seconds).trim_start_matches("about ")
            )
        });
        long.collect::<Vec<_>>().join(", ")
    }

    /// A stage's for machines, with the whole run's: null for a stage that is cached.
    pub fn as_json(&self, stage: &str) -> Value {
        let (whole, unknown) = self.whole();
        let rounded = |seconds: f64| (seconds * 10.0).round() / 10.0;
        let whole = unknown.is_empty().then(|| rounded(whole));
        match self.time(stage) {
            None => Value::Null,
            Some(Time::Unknown(why)) => {
                json!({"seconds": null, "from": null, "why": why, "run_seconds": whole})
            }
            Some(Time::Known { seconds, basis }) => {
                let (from, runs) = match basis {
                    Basis::Runs(runs) => ("runs", Some(runs)),
                    Basis::Calibration => ("calibration", None),
                    Basis::Usual => ("usual", None),
                };
                json!({"seconds": rounded(*seconds), "from": from, "runs": runs, "run_seconds": whole})
            }
        }
    }

    /// Keeps how long the stages took that a run made, for the next estimate.
    ///
    /// - `was_resumed`: stages that did only a part of their work
    pub fn keep(self, report: &RunReport, was_resumed: impl Fn(&str) -> bool) {
        // Other runs have kept theirs since this one was planned.
        let Some(mut rates) = Rates::of_this_machine() else {
            return;
        };
        for (name, work) in self.workloads {
            let found = report.stages.iter().find(|stage| stage.stage == name);
            let Some(stage) = found.filter(|stage| stage.outcome == Outcome::Executed) else {
                continue;
            };
            let told = |key: &str| stage.telemetry.get(key).copied();
            let is_whole = !was_resumed(&name) && told("reused_rows").unwrap_or(0.0) == 0.0;
            if is_whole {
                rates.keep_run(work.way, work.amount, stage.seconds);
            }
        }
        rates.write();
    }
}

fn line(time: &Time) -> String {
    match time {
        Time::Unknown(why) => format!("takes a time that is unknown: {why}"),
        Time::Known { seconds, basis } => {
            let from = match basis {
                Basis::Runs(runs) => format!(
                    "from {} on this machine",
                    figures::counted(*runs as u64, "earlier run")
                ),
                Basis::Calibration => "from a calibration of this machine".to_owned(),
                Basis::Usual => "as is usual".to_owned(),
            };
            format!("takes {}, {from}", figures::about(*seconds))
        }
    }
}
