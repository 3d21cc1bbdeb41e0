//! What a push did, and what it met in the remote.

use std::fmt;

use serde::Serialize;

use crate::digest::Digest;
use crate::suggestion;

/// What a push did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PushReport {
    pub artifacts: Vec<PushedArtifact>,
    /// Stages of the pipeline that have nothing in the cache.
    pub not_cached: Vec<String>,
    /// Files that went over the line, and their bytes.
    pub files: usize,
    pub bytes: u64,
    /// Files that were there already, and their bytes.
    pub files_there: usize,
    pub bytes_there: u64,
    pub conflicts: Vec<RemoteConflict>,
    pub seconds: f64,
}

/// An artifact that the remote has now.
#[derive(Debug, Clone, Serialize)]
pub struct PushedArtifact {
    /// Its stage in this pipeline, or its kind.
    pub name: String,
    pub fingerprint: Digest,
    pub content: Digest,
    pub files: usize,
    pub bytes: u64,
}

/// One fingerprint, another content in the remote.
#[derive(Debug, Clone, Serialize)]
pub struct RemoteConflict {
    pub name: String,
    pub fingerprint: Digest,
    pub here: Digest,
    pub there: Digest,
    /// When the remote's was made.
    pub made: String,
    /// The numerics classes; empty: unknown.
    pub numerics_here: String,
    pub numerics_there: String,
}

impl fmt::Display for RemoteConflict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "one recipe, two contents: fingerprint {} is {} here and {} in the remote (made {}); both are kept there, and a pull gets the one that was pushed last\nhint: ",
            self.fingerprint.short(),
            self.here.short(),
            self.there.short(),
            self.made,
        )?;
        if self.is_of_another_class() {
            write!(
                formatter,
                "they are of two numerics classes, `{}` and `{}`: `seedpipe verify --rerun` compares within tolerance",
                self.numerics_here, self.numerics_there
            )
        } else {
            write!(
                formatter,
                "`seedpipe verify --rerun` says which of them this machine gives; fix what makes it vary, or declare it in the params"
            )
        }
    }
}

impl RemoteConflict {
    /// Whether two known numerics classes explain the difference.
    fn is_of_another_class(&self) -> bool {
        !self.numerics_here.is_empty()
            && !self.numerics_there.is_empty()
            && self.numerics_here != self.numerics_there
    }
}

impl PushReport {
    /// Which stages of the pipeline the cache doesn't have; `None` when it has all.
    pub fn not_cached_line(&self) -> Option<String> {
        (!self.not_cached.is_empty()).then(|| {
            format!(
                "not in the cache, and not pushed: {}",
                suggestion::list(&self.not_cached)
            )
        })
    }
}
