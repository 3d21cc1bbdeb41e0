//! `seed`: SEED (arXiv 2101.04731). A row's candidates are its own teacher embedding and those of a
//! queue; the student follows the teacher's softmax over them.

use anyhow::Result;
use seedpipe_base::Refusal;
use seedpipe_learn::loss::seed::seed_loss;

use super::queued::{QueueStart, Queued};
use super::{Declaration, Matching, Setup, Temperature, Training};
use crate::shared::invalid::check_queue;
use crate::shared::objectives::params;

/// The paper's temperatures, for messages.
pub const USUAL_STUDENT: &str = "SEED uses 0.2";
pub const USUAL_TEACHER: &str =
    "SEED uses 0.01; a smaller value follows the nearest neighbours more";

params! {
    /// SEED: spread similarities over a queue of teacher embeddings as the teacher does.
    Seed {
        /// teacher embeddings to compare with, a multiple of the batch, default 65536.
        queue: usize = 65_536,
        /// what the queue begins with: `random` unit vectors (default), or the first `targets`.
        queue_start: QueueStart = QueueStart::default(),
        /// a number, or `{from: 0.3, to: 0.2, epochs: 5}`: linear, then constant. Default 0.2.
        temperature_student: Temperature = Temperature::Fixed(0.2),
        /// as the student's, default 0.01.
        temperature_teacher: Temperature = Temperature::Fixed(0.01),
    }
}

impl Declaration for Seed {
    fn paper(&self) -> Option<&'static str> {
        Some("SEED")
    }

    fn validate(&self, batch: usize) -> Result<(), Refusal> {
        self.temperature_student
            .validate("temperature_student", USUAL_STUDENT)?;
        self.temperature_teacher
            .validate("temperature_teacher", USUAL_TEACHER)?;
        check_queue(self.queue, batch)
    }

    fn temperatures(&self) -> [Option<Temperature>; 2] {
        [
            Some(self.temperature_student),
            Some(self.temperature_teacher),
        ]
    }
}

impl Training for Seed {
    fn matching(&self, setup: &Setup) -> Result<Box<dyn Matching>> {
        Queued::begin(setup, self.queue, self.queue_start, |seen, queue| {
            let temperatures = seen.temperatures;
            seed_loss(
                seen.embedding,
                seen.teacher,
                queue,
                temperatures.student,
                temperatures.teacher,
            )
        })
    }
}
