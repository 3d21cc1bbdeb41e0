//! The losses of the three ways to train: SEED (`seed`), supervised distillation (`distillation`) and
//! contrastive learning (`contrastive`). Each gives a scalar tensor whose `backward` fills the student's gradients.
//! They know no network, no queue order and no data.

pub mod contrastive;
pub mod distillation;
pub mod seed;

mod candidates;
