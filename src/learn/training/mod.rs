//! What makes a network learn: the [`optimiser`] and its kinds, the learning rate's [`schedule`],
//! an [`average`] of weights, loss scaling, and a training's state on disk.

pub(crate) mod adamw;
pub mod average;
pub(crate) mod lars;
pub mod loss_scale;
pub mod optimiser;
pub(crate) mod parameters;
pub mod schedule;
#[cfg(test)]
mod seed_trajectory_tests;
pub(crate) mod sgd;
pub mod training_state;
