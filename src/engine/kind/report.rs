//! What a run did, stage by stage.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::json;

use crate::base::cancel::Cancelled;
use crate::base::digest::Digest;
use seedpipe_base::suggestion;

/// How a stage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The artifact was there, or another process made it meanwhile.
    Cached,
    /// It came from the remote.
    Fetched,
    Executed,
    Failed,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Cached => "cached",
            Outcome::Fetched => "fetched",
            Outcome::Executed => "executed",
            Outcome::Failed => "failed",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// What happened to one stage.
#[derive(Debug)]
pub struct StageReport {
    pub stage: String,
    pub kind: String,
    pub outcome: Outcome,
    pub fingerprint: Option<Digest>,
    pub content: Option<Digest>,
    /// Wall time in this run.
    pub seconds: f64,
    /// Output → rows.
    pub rows: BTreeMap<String, u64>,
    /// Headline metrics: plain names for the output `metrics`, `output.name` for others.
    pub headline: BTreeMap<String, f64>,
    /// What the stage told of its work, when it was done in this run: rates, shares, counts.
    pub telemetry: BTreeMap<String, f64>,
    /// Why it failed.
    pub error: Option<anyhow::Error>,
    /// Set when it was made again and its content is not what it was.
    pub differs: Option<ContentDifference>,
}

impl StageReport {
    /// One line of JSON: stage, kind, outcome, fingerprint, content, seconds, and the error of a
    /// failed stage.
    pub fn json_line(&self) -> String {
        let mut line = json!({
            "stage": self.stage,
            "kind": self.kind,
            "outcome": self.outcome,
            "fingerprint": self.fingerprint,
            "content": self.content,
            "seconds": (self.seconds * 1e6).round() / 1e6,
        });
        if let Some(error) = &self.error {
            line["error"] = format!("{error:#}").into();
        }
        if let Some(differs) = &self.differs {
            line["differs"] = serde_json::to_value(differs).expect("BUG: a difference is JSON");
        }
        line.to_string()
    }
}

/// One fingerprint, two contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContentDifference {
    pub fingerprint: Digest,
    pub old: Digest,
    pub new: Digest,
    /// Outputs whose content differs.
    pub outputs: Vec<String>,
}

impl fmt::Display for ContentDifference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "equal recipe {}, other content: {} was {}, is {}; both are kept, the newest is used",
            self.fingerprint.short(),
            suggestion::list(&self.outputs),
            self.old.short(),
            self.new.short()
        )
    }
}

/// What a run did.
#[derive(Debug)]
pub struct RunReport {
    /// In the order of the plan, up to the first that failed.
    pub stages: Vec<StageReport>,
    pub seconds: f64,
    /// pipeline.lock, when it holds what this run gave: not after `--set`, nor when nothing
    /// succeeded.
    pub lock_file: Option<PathBuf>,
    pub(crate) not_reached: Vec<String>,
}

impl RunReport {
    /// The stage that failed, if one did.
    pub fn failed(&self) -> Option<&StageReport> {
        self.stages
            .iter()
            .find(|stage| stage.outcome == Outcome::Failed)
    }

    /// Whether the run was stopped by the user.
    pub fn cancelled(&self) -> bool {
        let error = self.failed().and_then(|stage| stage.error.as_ref());
        error.is_some_and(anyhow::Error::is::<Cancelled>)
    }

    pub fn count(&self, outcome: Outcome) -> usize {
        self.stages
            .iter()
            .filter(|stage| stage.outcome == outcome)
            .count()
    }

    /// Wanted stages that come after the one that failed.
    pub fn not_reached(&self) -> &[String] {
        &self.not_reached
    }
}
