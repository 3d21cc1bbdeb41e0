//! What a network can learn from images by itself: a file and a line here for each objective. Its
//! file holds its params with their defaults and checks, its head, its defaults of `training:`, its
//! loss, and what it remembers between steps.

mod moco;
mod simclr;
mod supervised;
mod swav;

use std::fmt::Debug;

use anyhow::Result;
use seedpipe_base::Refusal;
use seedpipe_engine::{InputKinds, StageContext};
use seedpipe_learn::architecture::{Architecture, Head};

use super::{Pretrain, Setup};
use crate::shared::objectives::objectives;
use crate::training::TrainingOptions;

objectives! {
    /// What is learned.
    enum Objective: Declaration, Training {
        moco: Moco,
        simclr: Simclr,
        swav: Swav,
        supervised: Supervised,
    }
}

/// What an objective says of itself before anything runs. No tensors here.
pub trait Declaration: Debug + Send + Sync {
    /// Fills in defaults that depend on other params or on what is connected.
    fn fill(&mut self, _inputs: &InputKinds) {}

    /// Refuses numbers that can't be, or that don't go together.
    fn validate(
        &self,
        _training: &TrainingOptions,
        _network: &Architecture,
    ) -> Result<(), Refusal> {
        Ok(())
    }

    /// Its defaults of the `training:` block.
    fn training(&self) -> TrainingOptions {
        TrainingOptions::default()
    }

    /// The way to learn, as its paper is called.
    fn way(&self, network: &Architecture) -> &'static str;

    /// The head that the network learns with: its own where it has one. `None`: it learns without.
    fn head(&self, network: &Architecture) -> Result<Option<Head>>;

    /// Whole views of an image in a step.
    fn views(&self) -> usize {
        2
    }

    /// Small views of an image in a step.
    fn small_crops(&self) -> Option<usize> {
        None
    }
}

/// The network's own head, or the objective's, of 128, made for the length of the features.
fn own_or(network: &Architecture, usual: impl Fn(i64) -> Head) -> Result<Option<Head>> {
    Ok(Some(match &network.head {
        Some(own) => own.clone(),
        None => usual(network.feature_dimension()?),
    }))
}

/// Length of the embedding, as in all their papers.
const OUT: i64 = 128;

/// What an objective does.
pub trait Training {
    /// Makes the learner, and trains it by [`Pretrain::learn`].
    fn run(&self, params: &Pretrain, context: &StageContext, setup: Setup) -> Result<()>;
}
