//! What a student can be taught: a file and a line here for each objective. Its file holds its
//! params with their defaults and checks, its loss, and what it remembers between steps.

mod compress;
mod contrastive;
mod cosine;
mod kmeans;
mod l2;
mod matching;
mod queued;
mod seed;
mod simclr;
mod swav;

use std::fmt::Debug;

use anyhow::Result;
use rand_chacha::ChaCha8Rng;
use seedpipe_base::Refusal;
use seedpipe_engine::StageContext;
use seedpipe_learn::network::Network;
use seedpipe_learn::queue::Queue;
use tch::Device;

use super::targets::Targets;
use super::temperature::Temperature;
use crate::shared::objectives::objectives;
use crate::training::TrainingOptions;
pub use matching::{Matching, Seen, Temperatures};

objectives! {
    /// What the student learns of the teacher's embeddings.
    enum Objective: Declaration, Training {
        seed: Seed,
        simclr: Simclr,
        swav: Swav,
        l2: L2,
        cosine: Cosine,
        kmeans: Kmeans,
        contrastive: Contrastive,
        compress: Compress,
    }
}

/// What an objective says of itself before anything runs. No tensors here.
pub trait Declaration: Debug + Send + Sync {
    /// As its paper calls it; none where it is called by its name.
    fn paper(&self) -> Option<&'static str> {
        None
    }

    /// Its defaults of the `training:` block; SEED's, under which its paper compares objectives.
    fn training(&self) -> TrainingOptions {
        TrainingOptions::default()
    }

    /// Refuses numbers that can't be.
    ///
    /// - `batch`: images in a batch
    fn validate(&self, _batch: usize) -> Result<(), Refusal> {
        Ok(())
    }

    /// The student's and the teacher's; none of a side that has none.
    fn temperatures(&self) -> [Option<Temperature>; 2] {
        [None, None]
    }

    /// What the student is to give of an image while it learns.
    fn output(&self) -> StudentOutput {
        StudentOutput::Teachers
    }

    /// Whether small views can be learned from beside the whole ones.
    fn has_small_views(&self) -> bool {
        true
    }
}

/// What the student gives of an image while it learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StudentOutput {
    /// An embedding of the teacher's dimension.
    Teachers,
    /// An embedding of any dimension, by default the features themselves.
    Any,
    /// So many logits, which need a head.
    Logits(i64),
}

/// What an objective does.
pub trait Training {
    /// The loss and the memory for views of one size.
    fn matching(&self, setup: &Setup) -> Result<Box<dyn Matching>>;
}

/// What an objective begins with.
pub struct Setup<'a> {
    pub context: &'a StageContext<'a>,
    /// Prefix of what its random numbers are keyed by.
    pub label: &'a str,
    pub student: &'a Network,
    pub targets: &'a Targets,
    /// Images in a batch.
    pub batch: usize,
    pub device: Device,
}

impl Setup<'_> {
    fn rng(&self, purpose: &str) -> ChaCha8Rng {
        self.context.rng(&format!("{}{purpose}", self.label), &[])
    }

    /// A queue of random rows of length 1, keyed by `purpose`.
    fn random_queue(&self, purpose: &str, rows: usize, dimension: i64) -> Result<Queue> {
        let rng = &mut self.rng(purpose);
        Ok(Queue::new(
            rows,
            dimension as usize,
            self.batch,
            rng,
            self.device,
        )?)
    }
}
