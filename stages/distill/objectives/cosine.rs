//! `cosine`: one minus the cosine with the teacher's embedding. It remembers nothing.

use anyhow::Result;
use seedpipe_learn::loss::regression::cosine_loss;

use super::{Declaration, Matching, Seen, Setup, Training};
use crate::shared::objectives::params;

params! {
    /// Match the direction of the teacher's embedding.
    Cosine {}
}

impl Declaration for Cosine {}

impl Training for Cosine {
    fn matching(&self, _setup: &Setup) -> Result<Box<dyn Matching>> {
        Ok(Box::new(|seen: &Seen| {
            cosine_loss(seen.embedding, seen.teacher)
        }))
    }
}
