//! `simclr`, `l2` and `cosine`: objectives of the batch alone, which remember nothing.

use seedpipe_learn::loss::regression::{cosine_loss, l2_loss};
use seedpipe_learn::loss::soft_contrastive::soft_contrastive_loss;
use tch::Tensor;

use super::matching::{Matching, Seen};

#[derive(Clone, Copy)]
pub enum InBatch {
    Simclr,
    L2,
    Cosine,
}

impl Matching for InBatch {
    fn loss(&mut self, seen: &Seen) -> Tensor {
        let temperatures = seen.temperatures;
        match self {
            InBatch::Simclr => soft_contrastive_loss(
                seen.embedding,
                seen.teacher,
                temperatures.student,
                temperatures.teacher,
            ),
            InBatch::L2 => l2_loss(seen.embedding, seen.teacher),
            InBatch::Cosine => cosine_loss(seen.embedding, seen.teacher),
        }
    }
}
