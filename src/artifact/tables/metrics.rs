//! `metrics/v1`: one measured number a row. No rates and no seconds: those are telemetry, outside
//! every digest.

use seedpipe_base::Refusal;

use crate::on_disk::row::{TableRow, table};
use crate::on_disk::table::{TableReader, TableWriter};
use crate::schema::METRICS;

table! {
    /// Figures over the steps of a training, or one at step 0.
    pub struct MetricRow of METRICS {
        /// Updates of the weights before it was measured; 0 for a single measurement.
        step: u64,
        /// `train`, `val`, `test` or another name.
        split: String,
        /// `loss`, `knn_top1` and so on.
        name: String,
        /// Accuracies are fractions.
        value: f64,
    }
}

pub type MetricsWriter = TableWriter<MetricRow>;
pub type MetricsReader = TableReader<MetricRow>;

impl TableRow for MetricRow {
    fn check(&self) -> Result<(), Refusal> {
        if self.value.is_finite() {
            return Ok(());
        }
        let what = format!("`{}` of `{}` at step {}", self.name, self.split, self.step);
        Err(Refusal::expected("a finite number", self.value)
            .place(what)
            .hint("what it was computed from holds NaN or infinity: compute in `precision: f32`"))
    }
}
