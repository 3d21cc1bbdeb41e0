//! `swav`: prototypes are learned on the teacher's embeddings, and the student predicts the
//! teacher's assignments to them.
//!
//! A queue of earlier teacher embeddings takes part in the assignments, since in a batch alone few
//! prototypes could be used equally often.

use anyhow::{Context, Result};
use seedpipe_base::Refusal;
use seedpipe_learn::loss::prototypes::{assignments, prototype_loss};
use seedpipe_learn::loss::swav::normalise_prototypes;
use seedpipe_learn::queue::Queue;
use seedpipe_learn::training_state::TrainingState;
use tch::{Tensor, no_grad};

use super::{Declaration, Matching, Seen, Setup, Temperature, Training};
use crate::shared::invalid::{Counted, check_queue, count, positive};
use crate::shared::objectives::params;
use crate::training::{QUEUE, restore_queue, save_queue};

const PROTOTYPES: &str = "prototypes";

params! {
    /// Predict the teacher's assignment to prototypes, which are learned on teacher embeddings
    /// meanwhile.
    Swav {
        /// earlier embeddings that prototypes are shared out among, a multiple of the batch,
        /// default 3840, 0: none.
        queue: usize = 3_840, // SwAV's own
        /// a number or a ramp, as of `seed`, default 0.1.
        temperature_student: Temperature = Temperature::Fixed(0.1),
        /// prototypes, default 300. They begin as targets and are learned on the teacher's
        /// embeddings.
        prototypes: usize = 300,
        /// how soft the assignments are, default 0.05.
        sinkhorn_epsilon: f64 = 0.05,
        /// rounds that make the prototypes' shares equal, default 3.
        sinkhorn_iterations: u32 = 3,
    }
}

impl Declaration for Swav {
    fn validate(&self, batch: usize) -> Result<(), Refusal> {
        self.temperature_student
            .validate("temperature_student", "SwAV uses 0.1")?;
        count("prototypes", self.prototypes as u64, 2, Counted::Rows)?;
        count(
            "sinkhorn_iterations",
            self.sinkhorn_iterations.into(),
            1,
            Counted::Rounds,
        )?;
        positive("sinkhorn_epsilon", self.sinkhorn_epsilon)?;
        match self.queue {
            0 => Ok(()),
            queue => check_queue(queue, batch),
        }
    }

    fn temperatures(&self) -> [Option<Temperature>; 2] {
        [Some(self.temperature_student), None]
    }

    fn has_small_views(&self) -> bool {
        false
    }
}

impl Training for Swav {
    fn matching(&self, setup: &Setup) -> Result<Box<dyn Matching>> {
        let queue = match self.queue {
            0 => None,
            rows => Some(setup.random_queue("queue", rows, setup.targets.dimension())?),
        };
        let rng = setup.rng("prototypes");
        let start = setup.targets.first("prototypes", self.prototypes, rng)?;
        Ok(Box::new(Prototypes {
            prototypes: start.detach().copy().set_requires_grad(true),
            queue,
            epsilon: self.sinkhorn_epsilon,
            iterations: self.sinkhorn_iterations as usize,
        }))
    }
}

struct Prototypes {
    /// `[K, D]`, a leaf; rows get length 1 before each step.
    prototypes: Tensor,
    /// Earlier teacher embeddings, of which only the filled rows count; none: the batch alone.
    queue: Option<Queue>,
    epsilon: f64,
    iterations: usize,
}

impl Prototypes {
    /// What the queue holds of the teacher, once it holds anything.
    fn earlier(&self) -> Option<Tensor> {
        let queue = self.queue.as_ref().filter(|queue| queue.filled() > 0)?;
        Some(queue.rows().narrow(0, 0, queue.filled() as i64))
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        vec![(PROTOTYPES.to_owned(), self.prototypes.shallow_clone())]
    }
}

impl Matching for Prototypes {
    fn trainable(&self) -> Vec<(String, Tensor)> {
        self.state()
    }

    fn loss(&mut self, seen: &Seen) -> Tensor {
        normalise_prototypes(&self.prototypes);
        let assignments = assignments(
            seen.teacher,
            self.earlier().as_ref(),
            &self.prototypes,
            self.epsilon,
            self.iterations,
        );
        let loss = prototype_loss(
            seen.embedding,
            seen.teacher,
            &self.prototypes,
            &assignments,
            seen.temperatures.student,
        );
        loss.prediction + loss.clustering
    }

    fn remember(&mut self, teacher: &Tensor) {
        if let Some(queue) = &mut self.queue {
            queue.enqueue(teacher);
        }
    }

    fn gauges(&self) -> Vec<(&'static str, f64)> {
        let share = |queue: &Queue| queue.filled() as f64 / queue.len() as f64;
        self.queue
            .iter()
            .map(|queue| ("queue_fill", share(queue)))
            .collect()
    }

    fn save(&self, prefix: &str, state: &mut TrainingState) {
        state.insert_all(prefix, self.state());
        if let Some(queue) = &self.queue {
            save_queue(state, &format!("{prefix}{QUEUE}"), queue);
        }
    }

    fn restore(&mut self, prefix: &str, state: &TrainingState) -> Result<()> {
        let stored = state
            .tensors
            .get(&format!("{prefix}{PROTOTYPES}"))
            .context("the checkpoint lacks the prototypes")?;
        anyhow::ensure!(
            stored.size() == self.prototypes.size(),
            "the checkpoint's prototypes have another shape"
        );
        no_grad(|| self.prototypes.copy_(stored));
        if let Some(queue) = &mut self.queue {
            restore_queue(state, &format!("{prefix}{QUEUE}"), queue)?;
        }
        Ok(())
    }
}
