//! `kmeans`: the student names the cluster that the teacher's embedding lies in. Clusters are found once, before the training, and
//! a view is in the cluster of its own target. The student's head ends in a logit for each.

use anyhow::{Context, Result};
use seedpipe_learn::loss::distillation::cross_entropy;
use seedpipe_learn::training_state::TrainingState;
use tch::{Device, Tensor, no_grad};

use super::matching::{Matching, Seen};

const CENTROIDS: &str = "centroids.";

pub struct Clusters {
    /// `[clusters, T]`, rows of length 1
    centroids: Tensor,
}

impl Clusters {
    pub fn new(centroids: Tensor, device: Device) -> Self {
        Clusters {
            centroids: centroids.to_device(device),
        }
    }

    /// `[B]` i64
    fn of(&self, teacher: &Tensor) -> Tensor {
        no_grad(|| teacher.matmul(&self.centroids.tr()).argmax(1, false))
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        vec![("rows".into(), self.centroids.shallow_clone())]
    }
}

impl Matching for Clusters {
    fn loss(&mut self, seen: &Seen) -> Tensor {
        cross_entropy(seen.embedding, &self.of(seen.teacher))
    }

    fn save(&self, prefix: &str, state: &mut TrainingState) {
        state.insert_all(&format!("{prefix}{CENTROIDS}"), self.state());
    }

    fn restore(&mut self, prefix: &str, state: &TrainingState) -> Result<()> {
        state
            .copy_into(&format!("{prefix}{CENTROIDS}"), &self.state())
            .context("the clusters' centroids")
    }
}
