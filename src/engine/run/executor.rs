//! Who does the work of stages when it is not this process.

use std::path::Path;

use anyhow::Result;

use crate::base::digest::Digest;
use crate::kind::observer::Observer;
use crate::kind::registry::Kind;

/// A stage whose work other processes are to do. What they need to know lies in its draft: whoever
/// works on it calls [`Worker::work`](crate::run::worker::Worker::work) with its fingerprint.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    pub stage: &'a str,
    pub fingerprint: Digest,
    pub cache: &'a Path,
}

/// Starts the processes that work on stages.
pub trait Executor: Send + Sync {
    /// How many stages may be worked on at once.
    fn jobs(&self) -> usize;

    /// Whether it has the work of a kind done; what is left stays with the run's own process, and
    /// what looks at ancestors always does.
    fn takes(&self, kind: &Kind) -> bool;

    /// Has all shares of a stage's work done, tells the observer how far they are, and returns when
    /// nobody works on it any more.
    ///
    /// # Errors
    /// What the first share failed of; [`Cancelled`](crate::Cancelled) when the user wants to stop.
    fn work(&self, task: Task, observer: &dyn Observer) -> Result<()>;
}
