//! What an objective is to the learner: the loss of a batch's embeddings, what is learned or
//! remembered beside the student, and its state in a checkpoint.

use anyhow::Result;
use seedpipe_learn::network::{Network, Precision};
use seedpipe_learn::training_state::TrainingState;
use tch::Tensor;

/// A batch of views of one size, as the student and the teacher see it.
pub struct Seen<'a> {
    pub student: &'a Network,
    /// `[B, 3, S, S]`
    pub images: &'a Tensor,
    /// `[B, D]`: the student's, with its graph, not normalised.
    pub embedding: &'a Tensor,
    /// `[B, T]`: the teacher's, rows of length 1.
    pub teacher: &'a Tensor,
    pub temperatures: Temperatures,
    pub precision: Precision,
    /// Whether it is the first batch since the weights moved.
    pub begins_update: bool,
}

/// At the step at hand; 1 where the objective has none.
#[derive(Clone, Copy)]
pub struct Temperatures {
    pub student: f64,
    pub teacher: f64,
}

pub trait Matching {
    /// What is learned by gradients beside the student, by name.
    fn trainable(&self) -> Vec<(String, Tensor)> {
        Vec::new()
    }
    /// The mean loss of the batch, with its graph.
    fn loss(&mut self, seen: &Seen) -> Tensor;
    /// Called after the gradients: what memories take in.
    ///
    /// - `teacher`: `[B, T]`, of the batch that `loss` saw
    fn remember(&mut self, _teacher: &Tensor) {}
    /// Numbers to report at the end of an epoch.
    fn gauges(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }
    /// - `prefix`: of every name in the checkpoint
    fn save(&self, _prefix: &str, _state: &mut TrainingState) {}
    fn restore(&mut self, _prefix: &str, _state: &TrainingState) -> Result<()> {
        Ok(())
    }
}

/// A loss that remembers nothing.
impl<F: Fn(&Seen) -> Tensor> Matching for F {
    fn loss(&mut self, seen: &Seen) -> Tensor {
        self(seen)
    }
}
