//! What happens in a run, as [`Event`]s, and who hears of it: the console in the binary, nobody in
//! tests.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use crate::base::digest::Digest;
use crate::cache::processes::locks::Holder;
use crate::kind::report::StageReport;

/// Something that happens in a run. What `--log-format json` writes as it is can be serialised, as
/// `{NAME: FIELDS}`.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event<'a> {
    /// A stage is not cached and starts to work.
    StageStarted {
        stage: &'a str,
        kind: &'a str,
        fingerprint: Digest,
        /// For people; empty in a rerun.
        why: &'a str,
    },
    /// An interrupted run had finished some of the shards.
    StageResumed {
        stage: &'a str,
        finished_shards: usize,
        shards: usize,
    },
    /// Another process makes the same artifact; after 2 seconds and then every 30.
    StageWaiting { stage: &'a str, holder: &'a Holder },
    /// A stage is done: found in the cache, executed, or failed.
    #[serde(skip)]
    StageFinished(&'a StageReport),
    /// Work of `total` `unit`s begins (0: unknown), of which `done` are done already. `stage` may
    /// also be a name of its own for what is no stage's work: `push`, `verify`.
    #[serde(skip)]
    WorkStarted {
        stage: &'a str,
        label: &'a str,
        unit: &'a str,
        total: u64,
        done: u64,
    },
    /// `count` more units are done.
    #[serde(skip)]
    WorkAdvanced { stage: &'a str, count: u64 },
    /// A short text beside the bar.
    #[serde(skip)]
    WorkNote { stage: &'a str, note: &'a str },
    /// Since the work started it has waited that long for `what`, such as `rendering`, which goes
    /// on beside it.
    #[serde(skip)]
    WorkWaited {
        stage: &'a str,
        what: &'a str,
        waited: Duration,
    },
    #[serde(skip)]
    WorkFinished { stage: &'a str },
    /// Steps after `step` begin, perhaps once more: what an interrupted run measured of later ones
    /// doesn't count.
    #[serde(skip)]
    StepsStarted { stage: &'a str, step: u64 },
    /// Numbers of a stage's work.
    Metrics {
        stage: &'a str,
        #[serde(flatten)]
        measured: Measured<'a>,
    },
    /// Something that the user should know and that stops nothing.
    #[serde(skip)]
    Warning {
        stage: Option<&'a str>,
        message: &'a str,
    },
}

/// What numbers that a stage measured are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeasuredOver {
    /// The last step alone: measured after every step, for whoever looks on.
    Step,
    /// The epoch that ended with the step.
    Epoch,
    /// All of the work: measured in its end.
    Whole,
}

/// Numbers that a stage measured of its work.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Measured<'a> {
    pub over: MeasuredOver,
    /// Steps that are done: of a training, updates of its weights.
    pub step: u64,
    /// The epoch that the step is of, from 1.
    pub epoch: Option<u64>,
    /// How many epochs there are.
    pub epochs: Option<u64>,
    /// Of the images that were looked at, such as `train`.
    pub split: &'a str,
    /// Names as in `metrics/v1`: `loss`, `learning_rate`, `top1` …
    #[serde(serialize_with = "by_name")]
    pub values: &'a [(&'a str, f64)],
}

fn by_name<S: Serializer>(values: &[(&str, f64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(values.iter().copied().collect::<BTreeMap<_, _>>())
}

/// Hears of everything that a run does. May be called from several threads.
pub trait Observer: Sync {
    fn event(&self, event: &Event);
}

impl dyn Observer + '_ {
    pub(crate) fn warning(&self, stage: Option<&str>, message: &str) {
        self.event(&Event::Warning { stage, message });
    }
}

/// Ignores every event.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _event: &Event) {}
}

/// Reports how far one stage is, as the [`Event`]s of its work.
#[derive(Clone, Copy)]
pub struct Progress<'a> {
    stage: &'a str,
    observer: &'a dyn Observer,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(stage: &'a str, observer: &'a dyn Observer) -> Self {
        Self { stage, observer }
    }

    /// Work of `total` `unit`s begins (0: unknown), of which `done` are done already.
    pub fn begin(&self, label: &str, unit: &str, total: u64, done: u64) {
        self.observer.event(&Event::WorkStarted {
            stage: self.stage,
            label,
            unit,
            total,
            done,
        });
    }

    /// `count` more units are done.
    pub fn advance(&self, count: u64) {
        let stage = self.stage;
        self.observer.event(&Event::WorkAdvanced { stage, count });
    }

    /// A short text beside the bar.
    pub fn note(&self, note: &str) {
        let stage = self.stage;
        self.observer.event(&Event::WorkNote { stage, note });
    }

    /// Since [`Progress::begin`] the work has waited that long for `what`, such as `rendering`,
    /// which goes on beside it.
    pub fn waited(&self, what: &str, waited: Duration) {
        self.observer.event(&Event::WorkWaited {
            stage: self.stage,
            what,
            waited,
        });
    }

    /// Steps after `step` begin, perhaps once more: what an interrupted run measured of later ones
    /// doesn't count.
    pub fn steps_begin(&self, step: u64) {
        let stage = self.stage;
        self.observer.event(&Event::StepsStarted { stage, step });
    }

    /// Numbers of the work. Cheap: a training reports them after every step.
    pub fn measured(&self, measured: Measured) {
        let stage = self.stage;
        self.observer.event(&Event::Metrics { stage, measured });
    }

    /// The work that [`Progress::begin`] announced is done.
    pub fn finish(&self) {
        let stage = self.stage;
        self.observer.event(&Event::WorkFinished { stage });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_json_log_writes_has_the_documented_fields() {
        let event = Event::Metrics {
            stage: "student",
            measured: Measured {
                over: MeasuredOver::Whole,
                step: 12,
                epoch: None,
                epochs: None,
                split: "test",
                values: &[("top5", 0.75), ("top1", 0.5)],
            },
        };
        let expected = json!({"metrics": {
            "stage": "student",
            "over": "whole",
            "step": 12,
            "epoch": null,
            "epochs": null,
            "split": "test",
            "values": {"top1": 0.5, "top5": 0.75},
        }});
        assert_eq!(serde_json::to_value(event).unwrap(), expected);
        let event = Event::StageResumed {
            stage: "student",
            finished_shards: 3,
            shards: 8,
        };
        let expected =
            json!({"stage_resumed": {"stage": "student", "finished_shards": 3, "shards": 8}});
        assert_eq!(serde_json::to_value(event).unwrap(), expected);
    }
}
