//! `seed` and `contrastive`: a row's candidates are its own teacher embedding and those of a queue. The student follows the teacher's
//! softmax over them, or is to find its own.

use anyhow::Result;
use seedpipe_learn::loss::contrastive::moco_loss;
use seedpipe_learn::loss::seed::seed_loss;
use seedpipe_learn::queue::Queue;
use seedpipe_learn::training_state::TrainingState;
use tch::Tensor;

use super::matching::{Matching, Seen};
use crate::training::{QUEUE, restore_queue, save_queue};

/// What the student is to make of the candidates.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The teacher's softmax over them.
    Softmax,
    /// The own one.
    Own,
}

pub struct Queued {
    pub queue: Queue,
    pub target: Target,
}

impl Matching for Queued {
    fn loss(&mut self, seen: &Seen) -> Tensor {
        let queue = self.queue.rows();
        let temperatures = seen.temperatures;
        match self.target {
            Target::Softmax => seed_loss(
                seen.embedding,
                seen.teacher,
                queue,
                temperatures.student,
                temperatures.teacher,
            ),
            Target::Own => moco_loss(seen.embedding, seen.teacher, queue, temperatures.student),
        }
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
