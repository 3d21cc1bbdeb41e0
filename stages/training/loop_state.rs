//! The loop's own state in a checkpoint: the sums of the epoch at hand, and the metrics so far.

use seedpipe_artifact::MetricRow;
use seedpipe_learn::loss_scale::LossScale;
use serde::{Deserialize, Serialize};

/// Whose images a training's metrics are of.
pub const SPLIT: &str = "train";

/// The loop's own state in a checkpoint.
#[derive(Default, Serialize, Deserialize)]
pub struct LoopState {
    /// Sum of the batches' losses since the epoch began.
    pub loss_sum: f64,
    /// Sum of the updates' gradient norms since then, when they are bounded.
    #[serde(default)]
    pub norm_sum: f64,
    /// In f16.
    #[serde(default)]
    pub loss_scale: Option<LossScale>,
    pub rows: Vec<(u64, String, f64)>,
    /// Looks at the accuracy: step and value.
    #[serde(default)]
    pub accuracies: Vec<(u64, f64)>,
}

impl LoopState {
    pub fn record(&mut self, step: u64, name: &str, value: f64) {
        self.rows.push((step, name.to_owned(), value));
    }

    /// What was recorded at this step, the last one.
    pub fn recorded_at(&self, step: u64) -> Vec<(&str, f64)> {
        let first = self.rows.partition_point(|(other, ..)| *other < step);
        let rows = self.rows[first..].iter();
        rows.map(|(_, name, value)| (name.as_str(), *value))
            .collect()
    }

    /// All that was recorded, in order.
    ///
    /// - `accuracy`: split and name of the accuracies
    pub fn metrics(self, accuracy: Option<(&str, &str)>) -> Vec<MetricRow> {
        let row = |step, split: &str, name: &str, value| MetricRow {
            step,
            split: split.to_owned(),
            name: name.to_owned(),
            value,
        };
        let mut rows: Vec<MetricRow> = self
            .rows
            .iter()
            .map(|(step, name, value)| row(*step, SPLIT, name, *value))
            .collect();
        if let Some((split, name)) = accuracy {
            let looks = self.accuracies.iter();
            rows.extend(looks.map(|&(step, value)| row(step, split, name, value)));
            rows.sort_by_key(|row| row.step);
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_last_epoch_recorded_is_found_by_its_step() {
        let mut state = LoopState::default();
        for (step, name, value) in [(4, "loss", 2.0), (8, "loss", 1.0), (8, "rate", 0.1)] {
            state.record(step, name, value);
        }
        assert_eq!(state.recorded_at(8), [("loss", 1.0), ("rate", 0.1)]);
        state.accuracies = vec![(4, 0.5), (8, 0.75)];
        let rows = state.metrics(Some(("test", "accuracy")));
        let order: Vec<(u64, &str, &str)> = rows
            .iter()
            .map(|row| (row.step, row.split.as_str(), row.name.as_str()))
            .collect();
        assert_eq!(
            order,
            [
                (4, "train", "loss"),
                (4, "test", "accuracy"),
                (8, "train", "loss"),
                (8, "train", "rate"),
                (8, "test", "accuracy")
            ]
        );
    }
}
