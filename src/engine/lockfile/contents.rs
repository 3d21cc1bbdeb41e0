//! One recipe, two contents: what was made here against what somebody else says that a fingerprint
//! gave: pipeline.lock, or another store.
//!
//! Within one numerics class equal recipes must give equal content; across classes floating point
//! may differ. Where a class is not known (artifacts and locks of older versions) nothing excuses
//! the difference, and it is told as such.

use seedpipe_base::Refusal;
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
    /// Other content of the same recipe, said to be of another numerics class.
    OtherClass(TwoContents),
    /// Other content of the same recipe, which nothing excuses.
    Conflict(TwoContents),
}

/// One fingerprint with two contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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

impl TwoContents {
    /// What is wrong, and how to find out why.
    pub fn refusal(&self) -> Refusal {
        let known = |class: &str| match class {
            "" => "an unknown class".to_owned(),
            class => format!("`{class}`"),
        };
        let (here, there) = (known(&self.numerics_here), known(&self.numerics_there));
        let classes =
            match self.numerics_here == self.numerics_there && !self.numerics_here.is_empty() {
                true => format!("both in the numerics class {here}"),
                false => format!("in the numerics classes {here} and {there}"),
            };
        Refusal::failure(format!(
            "one recipe, two contents: fingerprint {} gave {} here and {} in `{}`, {classes}: its result cannot be made again",
            self.fingerprint.short(),
            self.here.short(),
            self.there.short(),
            self.place
        ))
        .hint("`seedpipe verify --rerun` says which of them this machine gives; fix what makes it vary, or declare it in the params")
    }
}

impl Artifact {
    /// How this artifact stands to what was seen elsewhere.
    pub fn agreement(&self, seen: &SeenContent) -> Agreement {
        if self.fingerprint != seen.fingerprint || self.content == seen.content {
            return Agreement::Fine;
        }
        let here = &self.manifest.telemetry.numerics;
        let contents = TwoContents {
            fingerprint: self.fingerprint,
            here: self.content,
            there: seen.content,
            place: seen.place.clone(),
            numerics_here: here.clone(),
            numerics_there: seen.numerics.clone(),
        };
        if !here.is_empty() && !seen.numerics.is_empty() && *here != seen.numerics {
            return Agreement::OtherClass(contents);
        }
        Agreement::Conflict(contents)
    }
}
