//! What `gc` removed, or would remove, and how that is told.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::bytes;
use crate::digest::Digest;

/// What was, or would be, removed.
#[derive(Debug, Clone, Serialize)]
pub struct GcReport {
    pub items: Vec<GcItem>,
    pub bytes: u64,
    pub kept_artifacts: usize,
    pub kept_bytes: u64,
    /// By how much the kept artifacts exceed `max_bytes`: they are needed, in use or too young to go.
    pub over_budget_bytes: Option<u64>,
    pub dry_run: bool,
    /// Of the artifacts and drafts that stay.
    #[serde(skip)]
    pub stays: BTreeSet<Digest>,
}

impl GcReport {
    /// What else goes with them.
    pub fn add(&mut self, item: GcItem) {
        self.bytes += item.bytes;
        self.items.push(item);
    }
}

/// Something that goes.
#[derive(Debug, Clone, Serialize)]
pub struct GcItem {
    pub what: GcWhat,
    pub path: PathBuf,
    /// For people: `encode 0123456789ab`.
    pub name: String,
    pub bytes: u64,
}

/// The sort of a thing that goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GcWhat {
    Artifact,
    Draft,
    /// A lock or a lease that a dead process left.
    Lock,
    /// The last runs of a pipeline that is gone.
    History,
    /// A half-written file or folder that a dead process left.
    Stray,
    /// What a training told of itself, beside the store, whose artifact is gone.
    Curves,
}

impl fmt::Display for GcReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for item in &self.items {
            let what = format!("{:?}", item.what).to_lowercase();
            writeln!(
                formatter,
                "{what:<9} {} ({})",
                item.name,
                bytes::readable(item.bytes)
            )?;
        }
        write!(
            formatter,
            "{} {} {}, {}; {} {}, {}",
            if self.dry_run {
                "would remove"
            } else {
                "removed"
            },
            self.items.len(),
            if self.items.len() == 1 {
                "thing"
            } else {
                "things"
            },
            bytes::readable(self.bytes),
            self.kept_artifacts,
            match self.kept_artifacts {
                1 => "artifact stays",
                _ => "artifacts stay",
            },
            bytes::readable(self.kept_bytes)
        )?;
        if let Some(over) = self.over_budget_bytes {
            write!(
                formatter,
                "\nwarning: {} over the budget, and everything that stays is needed, in use or too young\nhint: name fewer locks, or a smaller `--grace`",
                bytes::readable(over)
            )?;
        }
        Ok(())
    }
}
