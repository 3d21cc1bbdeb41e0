//! The losses of the ways to train: SEED (`seed`), supervised distillation (`distillation`), contrastive learning
//! (`contrastive`), clustering online (`swav`). Each gives a scalar tensor whose `backward` fills the student's gradients.
//! They know no network, no queue order and no data.

pub mod contrastive;
pub mod distillation;
pub mod seed;
pub mod swav;

mod candidates;
