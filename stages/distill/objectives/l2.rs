//! `l2`: the squared distance from the teacher's embedding. It remembers nothing.

use anyhow::Result;
use seedpipe_learn::loss::regression::l2_loss;

use super::{Declaration, Matching, Seen, Setup, Training};
use crate::shared::objectives::params;

params! {
    /// Match the teacher's embedding of length 1, by squared distance.
    L2 {}
}

impl Declaration for L2 {}

impl Training for L2 {
    fn matching(&self, _setup: &Setup) -> Result<Box<dyn Matching>> {
        Ok(Box::new(|seen: &Seen| {
            l2_loss(seen.embedding, seen.teacher)
        }))
    }
}
