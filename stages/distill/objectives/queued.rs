//! A queue of teacher embeddings, which a row's own one is compared among: the memory of `seed` and
//! `contrastive`.

use anyhow::Result;
use schemars::JsonSchema;
use seedpipe_learn::queue::Queue;
use seedpipe_learn::training_state::TrainingState;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::Setup;
use super::matching::{Matching, Seen};
use crate::training::{QUEUE, restore_queue, save_queue};

/// What fills a queue before the first step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueueStart {
    /// Random unit vectors, as in the official code.
    #[default]
    Random,
    /// Targets: of the first view in a keyed order of the images, then of the next views.
    Targets,
}

pub struct Queued {
    queue: Queue,
    /// Of a batch and the queue's rows, `[Q, T]`.
    loss: fn(&Seen, &Tensor) -> Tensor,
}

impl Queued {
    /// - `rows`: of the queue
    pub fn begin(
        setup: &Setup,
        rows: usize,
        start: QueueStart,
        loss: fn(&Seen, &Tensor) -> Tensor,
    ) -> Result<Box<dyn Matching>> {
        let queue = match start {
            QueueStart::Random => setup.random_queue("queue", rows, setup.targets.dimension())?,
            QueueStart::Targets => {
                let first = setup
                    .targets
                    .first("queue", rows, setup.rng("queue_start"))?;
                Queue::restore(first, setup.batch, 0, rows)?
            }
        };
        Ok(Box::new(Queued { queue, loss }))
    }
}

impl Matching for Queued {
    fn loss(&mut self, seen: &Seen) -> Tensor {
        (self.loss)(seen, self.queue.rows())
    }

    fn remember(&mut self, teacher: &Tensor) {
        self.queue.enqueue(teacher);
    }

    fn gauges(&self) -> Vec<(&'static str, f64)> {
        let share = self.queue.filled() as f64 / self.queue.len() as f64;
        vec![("queue_fill", share)]
    }

    fn save(&self, prefix: &str, state: &mut TrainingState) {
        save_queue(state, &format!("{prefix}{QUEUE}"), &self.queue);
    }

    fn restore(&mut self, prefix: &str, state: &TrainingState) -> Result<()> {
        restore_queue(state, &format!("{prefix}{QUEUE}"), &mut self.queue)
    }
}
