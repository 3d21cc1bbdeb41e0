//! `simclr`: the loss of `seed` over the candidates of SimCLR (arXiv 2002.05709), the batch's. It
//! remembers nothing.

use anyhow::Result;
use seedpipe_base::Refusal;
use seedpipe_learn::loss::soft_contrastive::soft_contrastive_loss;

use super::seed::{USUAL_STUDENT, USUAL_TEACHER};
use super::{Declaration, Matching, Seen, Setup, Temperature, Training};
use crate::shared::objectives::params;

params! {
    /// The same over the batch's teacher embeddings, without a queue.
    Simclr {
        /// a number, or `{from: 0.3, to: 0.2, epochs: 5}`: linear, then constant. Default 0.2.
        temperature_student: Temperature = Temperature::Fixed(0.2),
        /// as the student's, default 0.01.
        temperature_teacher: Temperature = Temperature::Fixed(0.01),
    }
}

impl Declaration for Simclr {
    fn validate(&self, _batch: usize) -> Result<(), Refusal> {
        self.temperature_student
            .validate("temperature_student", USUAL_STUDENT)?;
        self.temperature_teacher
            .validate("temperature_teacher", USUAL_TEACHER)
    }

    fn temperatures(&self) -> [Option<Temperature>; 2] {
        [
            Some(self.temperature_student),
            Some(self.temperature_teacher),
        ]
    }
}

impl Training for Simclr {
    fn matching(&self, _setup: &Setup) -> Result<Box<dyn Matching>> {
        Ok(Box::new(|seen: &Seen| {
            let temperatures = seen.temperatures;
            soft_contrastive_loss(
                seen.embedding,
                seen.teacher,
                temperatures.student,
                temperatures.teacher,
            )
        }))
    }
}
