//! One recipe, two contents: what was made here against what somebody else says that a fingerprint gave: pipeline.lock, or
//! another store.
//!
//! Within one numerics class equal recipes must give equal content; across classes floating point may differ. Where a class is
//! not known (artifacts and locks of older versions) nothing excuses the difference, and it is told as such.

use std::fmt;

use serde::Serialize;

use crate::base::digest::Digest;
use crate::cache::artifact::Artifact;

/// What somebody says that a fingerprint gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenContent {
    pub fingerprint: Digest,
    pub content: Digest,
    /// The numerics class that gave it; empty: unknown.
    pub numerics: String,
    /// Who says so, for messages: `pipeline.lock`.
    pub place: String,
}

/// How an artifact stands to what was seen elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agreement {
    /// Equal content, or another recipe, of which nothing can be said.
    Fine,
    /// Other content of the same recipe, made in another numerics class.
    OtherClass,
    /// Other content of the same recipe, which nothing excuses.
    Conflict(TwoContents),
}

/// One fingerprint with two contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct TwoContents {
    pub fingerprint: Digest,
    pub here: Digest,
    pub there: Digest,
    /// Who says that it gave [`Self::there`].
    pub place: String,
    /// The numerics classes; empty: unknown.
    pub numerics_here: String,
    pub numerics_there: String,
}

impl fmt::Display for TwoContents {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "one recipe, two contents: fingerprint {} gave {} here and {} in `{}`, ",
            self.fingerprint.short(),
            self.here.short(),
            self.there.short(),
            self.place
        )?;
        let known = |class: &str| match class {
            "" => "an unknown class".to_owned(),
            class => format!("`{class}`"),
        };
        if self.numerics_here == self.numerics_there && !self.numerics_here.is_empty() {
            write!(
                formatter,
                "both in the numerics class `{}`",
                self.numerics_here
            )?;
        } else {
            write!(
                formatter,
                "in the numerics classes {} and {}",
                known(&self.numerics_here),
                known(&self.numerics_there)
            )?;
        }
        write!(
            formatter,
            ": its result cannot be made again\nhint: `seedpipe verify --rerun` says which of them this machine gives; fix what makes it vary, or declare it in the params"
        )
    }
}

impl Artifact {
    /// How this artifact stands to what was seen elsewhere.
    pub fn agreement(&self, seen: &SeenContent) -> Agreement {
        if self.fingerprint != seen.fingerprint || self.content == seen.content {
            return Agreement::Fine;
        }
        let here = &self.manifest.telemetry.numerics;
        if !here.is_empty() && !seen.numerics.is_empty() && *here != seen.numerics {
            return Agreement::OtherClass;
        }
        Agreement::Conflict(TwoContents {
            fingerprint: self.fingerprint,
            here: self.content,
            there: seen.content,
            place: seen.place.clone(),
            numerics_here: here.clone(),
            numerics_there: seen.numerics.clone(),
        })
    }
}
