//! What a network can learn from images by itself: a file and a line here for each objective. Its
//! file holds its params with their defaults and checks, its head, its loss, and what it remembers
//! between steps.

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

/// The network's own head, or one of 128 with a hidden layer as wide as the features, or linear.
fn projection(network: &Architecture, hidden: bool, batch_norm: bool) -> Result<Option<Head>> {
    if network.head.is_some() {
        return Ok(network.head.clone());
    }
    let hidden = hidden.then(|| network.feature_dimension()).transpose()?;
    Ok(Some(Head {
        hidden: hidden.into_iter().collect(),
        out: 128,
        batch_norm,
    }))
}

/// What an objective does.
pub trait Training {
    /// Makes the learner, and trains it by [`Pretrain::learn`].
    fn run(&self, params: &Pretrain, context: &StageContext, setup: Setup) -> Result<()>;
}
