//! What reruns gave, stage by stage and output by output.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::comparison::{Comparison, Tolerance};
use crate::digest::Digest;

/// How a stage's rerun ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Equal to the bit.
    Equal,
    /// Of another numerics class, and within the tolerance.
    Within,
    /// Other content than is stored.
    Differs,
    /// The stored artifact is not what it says that it is.
    False,
    /// It, or something that it needs, is not in the cache.
    Missing,
    /// The work failed.
    Failed,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Equal => "equal",
            Verdict::Within => "within",
            Verdict::Differs => "differs",
            Verdict::False => "false",
            Verdict::Missing => "missing",
            Verdict::Failed => "failed",
        }
    }

    pub fn is_good(self) -> bool {
        matches!(self, Verdict::Equal | Verdict::Within)
    }
}

/// What reruns gave.
#[derive(Debug, Clone, Serialize)]
pub struct RerunReport {
    /// In the order of the plan.
    pub stages: Vec<RerunStage>,
    pub seconds: f64,
    /// Per cent that was asked for.
    pub sample: Option<f64>,
}

/// What one stage's rerun gave.
#[derive(Debug, Clone, Serialize)]
pub struct RerunStage {
    pub stage: String,
    pub kind: String,
    pub verdict: Verdict,
    pub fingerprint: Option<Digest>,
    /// What is stored.
    pub content: Option<Digest>,
    /// The numerics class that made what is stored, and the one of this rerun; empty: unknown.
    pub numerics: String,
    pub numerics_now: String,
    /// Rows that were made again, of all outputs, and how many there are.
    pub rows: u64,
    pub rows_stored: u64,
    /// Wall time of the rerun and the comparison.
    pub seconds: f64,
    /// When what is stored was made; RFC 3339, UTC.
    pub created: Option<String>,
    pub outputs: BTreeMap<String, RerunOutput>,
    /// Why there is nothing to compare.
    pub fault: Option<String>,
}

/// One output compared.
#[derive(Debug, Clone, Serialize)]
pub struct RerunOutput {
    /// The artifact kind.
    pub kind: String,
    pub verdict: Verdict,
    /// What was allowed; `None` within one numerics class: nothing.
    pub tolerance: Option<Tolerance>,
    pub comparison: Comparison,
}

impl RerunReport {
    pub fn is_good(&self) -> bool {
        self.stages.iter().all(|stage| stage.verdict.is_good())
    }
}
