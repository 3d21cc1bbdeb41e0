//! `kmeans`: the student names the cluster that the teacher's embedding lies in. Clusters are found
//! once, before the training, and a view is in the cluster of its own target. The student's head
//! ends in a logit for each.

use anyhow::{Context, Result};
use seedpipe_base::Refusal;
use seedpipe_learn::loss::distillation::cross_entropy;
use seedpipe_learn::spherical_kmeans;
use seedpipe_learn::training_state::TrainingState;
use tch::{Tensor, no_grad};

use super::{Declaration, Matching, Seen, Setup, StudentOutput, Training};
use crate::shared::invalid::{Counted, count};
use crate::shared::objectives::params;

const CENTROIDS: &str = "centroids.";

params! {
    /// Name the teacher's cluster, of k-means on the targets of the first view.
    Kmeans {
        /// clusters of the first view's targets, default 300.
        clusters: usize = 300,
        /// rounds at most, default 50.
        cluster_rounds: u32 = 50,
    }
}

impl Declaration for Kmeans {
    fn validate(&self, _batch: usize) -> Result<(), Refusal> {
        count("clusters", self.clusters as u64, 2, Counted::Rows)?;
        count(
            "cluster_rounds",
            self.cluster_rounds.into(),
            1,
            Counted::Rounds,
        )
    }

    fn output(&self) -> StudentOutput {
        StudentOutput::Logits(self.clusters as i64)
    }

    fn has_small_views(&self) -> bool {
        false
    }
}

impl Training for Kmeans {
    fn matching(&self, setup: &Setup) -> Result<Box<dyn Matching>> {
        let rows = setup.targets.load(0)?;
        let mut rng = setup.rng("clusters");
        let centroids = spherical_kmeans::fit(&rows, self.clusters, self.cluster_rounds, &mut rng)
            .context("key `clusters`")?;
        let centroids = centroids.to_device(setup.device);
        Ok(Box::new(Clusters { centroids }))
    }
}

struct Clusters {
    /// `[clusters, T]`, rows of length 1
    centroids: Tensor,
}

impl Clusters {
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
