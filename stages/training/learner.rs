//! What a training stage gives to the loop: its samples, the loss of a batch, and what it must
//! carry over an interruption.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;
use seedpipe_learn::architecture::Preprocessing;
use seedpipe_learn::network::Network;
use seedpipe_learn::training_state::TrainingState;
use serde_json::json;
use tch::{Device, Tensor};

use crate::pixels::pictures::Pictures;
use crate::pixels::viewed::Viewed;

/// What is trained on.
pub struct Samples {
    pub pictures: Arc<Pictures>,
    /// Views that a batch holds of each sample, one entry for each size of them: the whole views,
    /// then perhaps small ones. All look at the same images in the same order.
    pub crops: Vec<Crops>,
    /// Positions among the viewed images that are trained on.
    pub positions: Arc<Vec<u32>>,
    pub preprocessing: Preprocessing,
    pub device: Device,
}

/// Views of one size.
pub struct Crops {
    pub viewed: Arc<Viewed>,
    /// Views of a sample in a batch, n: 1, or 2 for a contrastive pair. Epoch e takes views e·n …
    /// e·n + n − 1, cycled.
    pub views: usize,
}

/// What a learner sees of the samples in a step.
pub struct Batch<'a> {
    /// For each of the samples' crops `[B × views, 3, S, S]`, the views of a sample beside each
    /// other.
    pub crops: &'a [Tensor],
    /// `[B]` positions among the viewed images.
    pub positions: &'a [u32],
    pub epoch: u32,
    /// Batches before this one.
    pub step: u64,
    /// Whether it is the first one since the weights moved: all batches of an update see the same.
    pub begins_update: bool,
}

impl Batch<'_> {
    /// The whole views: `[B × views, 3, S, S]`.
    pub fn images(&self) -> &Tensor {
        &self.crops[0]
    }
}

/// What a training stage computes of a batch. The loop owns the gradients, the optimiser and the
/// order of the samples.
pub trait Learner {
    /// All that is learned by gradients, by name.
    fn trainable(&self) -> Vec<(String, Tensor)>;
    /// What the learning rate is multiplied by for one of [`Learner::trainable`]; 0: frozen.
    fn learning_rate_factor(&self, _name: &str) -> f64 {
        1.0
    }
    /// Live tensors that `training.average` averages, and overwrites by their average at the end.
    /// By default all numbers of those parts of [`Learner::save`] (by their names up to the first
    /// dot) that hold something trainable: a network with its statistics.
    fn averaged(&self) -> Vec<(String, Tensor)> {
        let mut state = TrainingState::new(0, json!({}));
        self.save(&mut state);
        let part = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
        let learning: BTreeSet<String> = state
            .tensors
            .iter()
            .filter(|(_, tensor)| tensor.requires_grad())
            .map(|(name, _)| part(name))
            .collect();
        let tensors = state.tensors.into_iter();
        tensors
            .filter(|(name, _)| learning.contains(&part(name)))
            .collect()
    }
    /// The network whose weights are the result.
    fn network(&self) -> &Network;
    /// The mean loss of a batch, with its graph.
    fn loss(&mut self, batch: &Batch) -> Result<Tensor>;
    /// Called when the batch's gradients are computed and the graph of its loss is no longer
    /// needed, before the weights move: what memories take in.
    fn remember(&mut self, _batch: &Batch) -> Result<()> {
        Ok(())
    }
    /// Numbers to report at the end of an epoch.
    fn gauges(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }
    /// Adds the live tensors, each part under a prefix of its own that ends in a dot.
    fn save(&self, state: &mut TrainingState);
    fn restore(&mut self, state: &TrainingState) -> Result<()>;
}
