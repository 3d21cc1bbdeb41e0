//! What makes a network learn: the [`optimiser`] and its kinds, the learning rate's [`schedule`],
//! an [`average`] of weights, loss scaling, and a training's state on disk.

pub mod adamw;
pub mod average;
pub mod lars;
pub mod loss_scale;
pub mod optimiser;
#[cfg(test)]
pub(crate) mod optimiser_fixture;
pub(crate) mod parameters;
pub mod schedule;
#[cfg(test)]
pub(crate) mod seed_trajectory;
pub mod sgd;
pub mod training_state;
