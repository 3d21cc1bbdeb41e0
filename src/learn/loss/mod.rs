//! The losses of the ways to train: SEED (`seed`), supervised distillation (`distillation`),
//! contrastive learning (`contrastive`), clustering online (`swav`), and SEED's alternatives. Each
//! gives a scalar tensor whose `backward` fills the student's gradients. They know no network, no
//! queue order and no data.

pub mod queue;
pub mod spherical_kmeans;

pub mod compress;
pub mod contrastive;
pub mod distillation;
pub mod prototypes;
pub mod regression;
pub mod seed;
pub mod soft_contrastive;
pub mod swav;

mod candidates;
#[cfg(target_arch = "x86_64")]
mod panelled;
