//! Who is told what happens: the console in the binary, nobody in tests.

use crate::locks::Holder;
use crate::report::StageReport;

/// Told of everything that a run does, with the stage's name. Methods may be called from several threads.
pub trait Observer: Sync {
    /// A stage is not cached and starts to work.
    fn stage_started(&self, _stage: &str, _kind: &str) {}
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

    fn finish(&self) {
        self.observer.progress_finish(self.stage);
    }
}
