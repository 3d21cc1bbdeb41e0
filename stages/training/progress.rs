//! What a training reports of itself while it runs: numbers that nothing is decided by.

use std::time::Duration;

use seedpipe_engine::{Measured, MeasuredOver, Progress, StageContext};
use seedpipe_learn::metrics::Evaluation;
use seedpipe_learn::schedule::Length;

use super::loop_state::{LoopState, SPLIT};

/// What the network waits for: images to be read, decoded and rendered.
const INPUT: &str = "rendering";

pub struct TrainingProgress<'a> {
    pub progress: Progress<'a>,
    /// In updates.
    pub length: Length,
}

impl TrainingProgress<'_> {
    /// After an update.
    ///
    /// - `done`: updates, with this one
    /// - `gauges`: the learner's
    /// - `waited`: for batches, since the loop began
    pub fn step(
        &self,
        done: u64,
        loss: f64,
        learning_rate: f64,
        gauges: &[(&str, f64)],
        waited: Duration,
    ) {
        let mut values = vec![("loss", loss), ("learning_rate", learning_rate)];
        values.extend(gauges);
        self.measured(MeasuredOver::Step, done, SPLIT, &values);
        self.progress.waited(INPUT, waited);
    }

    /// After an epoch, what the state has recorded of it.
    pub fn epoch(&self, done: u64, state: &LoopState) {
        self.measured(MeasuredOver::Epoch, done, SPLIT, &state.recorded_at(done));
    }

    /// After a look at the accuracy.
    pub fn accuracy(&self, done: u64, split: &str, name: &str, value: f64) {
        self.measured(MeasuredOver::Epoch, done, split, &[(name, value)]);
    }

    fn measured(&self, over: MeasuredOver, step: u64, split: &str, values: &[(&str, f64)]) {
        let epoch = step.div_ceil(self.length.steps_per_epoch);
        self.progress.measured(Measured {
            over,
            step,
            epoch: Some(epoch),
            epochs: Some(self.length.epochs.into()),
            split,
            values,
        });
    }
}

/// How the trained network judges the test images.
///
/// - `step`: the training's last
pub fn report_results(context: &StageContext, step: u64, split: &str, evaluation: &Evaluation) {
    context.progress().measured(Measured {
        over: MeasuredOver::Whole,
        step,
        epoch: None,
        epochs: None,
        split,
        values: &[("top1", evaluation.top1), ("top5", evaluation.top5)],
    });
}
