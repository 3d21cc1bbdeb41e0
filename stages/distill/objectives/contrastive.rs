//! `contrastive`: InfoNCE. The candidates of `seed`, of which the student is to find its own.

use anyhow::Result;
use seedpipe_base::Refusal;
use seedpipe_learn::loss::contrastive::moco_loss;

use super::queued::{QueueStart, Queued};
use super::seed::USUAL_STUDENT;
use super::{Declaration, Matching, Setup, Temperature, Training};
use crate::shared::invalid::check_queue;
use crate::shared::objectives::params;

params! {
    /// InfoNCE: find the own teacher embedding among those of a queue.
    Contrastive {
        /// teacher embeddings to compare with, a multiple of the batch, default 65536.
        queue: usize = 65_536,
        /// what the queue begins with: `random` unit vectors (default), or the first `targets`.
        queue_start: QueueStart = QueueStart::default(),
        /// a number, or `{from: 0.3, to: 0.2, epochs: 5}`: linear, then constant. Default 0.2.
        temperature_student: Temperature = Temperature::Fixed(0.2),
    }
}

impl Declaration for Contrastive {
    fn validate(&self, batch: usize) -> Result<(), Refusal> {
        self.temperature_student
            .validate("temperature_student", USUAL_STUDENT)?;
        check_queue(self.queue, batch)
    }

    fn temperatures(&self) -> [Option<Temperature>; 2] {
        [Some(self.temperature_student), None]
    }
}

impl Training for Contrastive {
    fn matching(&self, setup: &Setup) -> Result<Box<dyn Matching>> {
        Queued::begin(setup, self.queue, self.queue_start, |seen, queue| {
            moco_loss(
                seen.embedding,
                seen.teacher,
                queue,
                seen.temperatures.student,
            )
        })
    }
}
