//! Who is told what happens: the console in the binary, nobody in tests.

use std::time::Duration;

use crate::base::digest::Digest;
use crate::cache::locks::Holder;
use crate::kind::report::StageReport;

/// What numbers that a stage measured are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MeasuredOver {
    /// The last step alone: told after every step, for whoever looks on.
    Step,
    /// The epoch that ended with the step.
    Epoch,
    /// All of the work: told in its end.
    Whole,
}

impl MeasuredOver {
    pub fn as_str(self) -> &'static str {
        match self {
            MeasuredOver::Step => "step",
            MeasuredOver::Epoch => "epoch",
            MeasuredOver::Whole => "whole",
        }
    }
}

/// Numbers that a stage measured of its work.
#[derive(Debug, Clone, Copy)]
pub struct Measured<'a> {
    pub over: MeasuredOver,
    /// Steps that are done: of a training, updates of its weights.
    pub step: u64,
    /// The epoch that the step is of, from 1, and how many there are.
    pub epoch: Option<(u64, u64)>,
    /// Of the images that were looked at, such as `train`.
    pub split: &'a str,
    /// Names as in `metrics/v1`: `loss`, `learning_rate`, `top1` …
    pub values: &'a [(&'a str, f64)],
}

/// Told of everything that a run does, with the stage's name. Methods may be called from several threads.
pub trait Observer: Sync {
    /// Why a stage is about to run, for people.
    fn reasons(&self, _stage: &str, _reasons: &[String]) {}
    /// A stage is not cached and starts to work.
    fn stage_started(&self, _stage: &str, _kind: &str, _fingerprint: Digest) {}
    /// A stage is done: found in the cache, executed, or failed.
    fn stage_finished(&self, _report: &StageReport) {}
    /// Another process makes the same artifact; told after 2 seconds and then every 30.
    fn waiting(&self, _stage: &str, _holder: &Holder) {}
    /// An interrupted run had finished some of the shards.
    fn resumed(&self, _stage: &str, _finished_shards: usize, _total: usize) {}
    /// Work of `total` units begins (0: unknown), of which `done` are done already.
    fn progress_begin(&self, _stage: &str, _label: &str, _unit: &str, _total: u64, _done: u64) {}
    fn progress_advance(&self, _stage: &str, _count: u64) {}
    fn progress_note(&self, _stage: &str, _text: &str) {}
    /// Since the work began it has waited that long for `what`, which another part of the program makes.
    fn progress_waited(&self, _stage: &str, _what: &str, _waited: Duration) {}
    /// Steps after `step` begin, perhaps once more: what an interrupted run measured of later ones doesn't count.
    fn steps_begin(&self, _stage: &str, _step: u64) {}
    fn measured(&self, _stage: &str, _measured: &Measured) {}
    fn progress_finish(&self, _stage: &str) {}
    /// Something that the user should know and that stops nothing.
    fn warning(&self, _stage: Option<&str>, _message: &str) {}
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {}

/// How a stage tells how far it is.
pub trait Progress: Sync {
    /// Work of `total` `unit`s begins (0: unknown), of which `done` are done already.
    fn begin(&self, label: &str, unit: &str, total: u64, done: u64);
    /// `count` more units are done.
    fn advance(&self, count: u64);
    /// A short text beside the bar, such as the current loss.
    fn note(&self, text: &str);
    /// Since [`Progress::begin`] the work has waited that long for `what`, such as `rendering`, which goes on beside it.
    fn waited(&self, what: &str, waited: Duration);
    /// Steps after `step` begin, perhaps once more: what an interrupted run measured of later ones doesn't count.
    fn steps_begin(&self, step: u64);
    /// Numbers of the work. Cheap: a training tells them after every step.
    fn measured(&self, measured: &Measured);
    /// The work that [`Progress::begin`] announced is done.
    fn finish(&self);
}

/// Passes one stage's progress on to the observer.
pub(crate) struct StageProgress<'a> {
    pub stage: &'a str,
    pub observer: &'a dyn Observer,
}

impl Progress for StageProgress<'_> {
    fn begin(&self, label: &str, unit: &str, total: u64, done: u64) {
        self.observer
            .progress_begin(self.stage, label, unit, total, done);
    }

    fn advance(&self, count: u64) {
        self.observer.progress_advance(self.stage, count);
    }

    fn note(&self, text: &str) {
        self.observer.progress_note(self.stage, text);
    }

    fn waited(&self, what: &str, waited: Duration) {
        self.observer.progress_waited(self.stage, what, waited);
    }

    fn steps_begin(&self, step: u64) {
        self.observer.steps_begin(self.stage, step);
    }

    fn measured(&self, measured: &Measured) {
        self.observer.measured(self.stage, measured);
    }

    fn finish(&self) {
        self.observer.progress_finish(self.stage);
    }
}
