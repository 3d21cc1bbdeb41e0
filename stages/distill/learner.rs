//! The student's side of a step: it sees the batch's views, whole and small, and the objective
//! compares its embeddings with the teacher's.

use anyhow::{Context, Result};
use seedpipe_learn::network::{Mode, Network, Precision};
use seedpipe_learn::training_state::TrainingState;
use tch::Tensor;

use super::objectives::{Matching, Seen, Temperatures};
use super::targets::Targets;
use super::temperature::Temperature;
use crate::training::{Batch, Learner};

/// Prefix of what the small views' objective keeps in a checkpoint.
const SMALL: &str = "small.";

pub struct DistillLearner {
    pub student: Network,
    pub whole: SizedViews,
    pub small: Option<SizedViews>,
    pub schedule: TemperatureSchedule,
    /// At the last step.
    pub temperatures: Option<Temperatures>,
    pub precision: Precision,
}

/// Views of one size and what they are compared with.
pub struct SizedViews {
    pub targets: Targets,
    pub matching: Box<dyn Matching>,
    /// Views of a sample in a batch, n. View j of epoch e is e·n + j, cycled, as the samples' crops
    /// are.
    pub crops: usize,
    /// Views from the student's to the teacher's: 0 where they share one.
    pub shift: usize,
    /// The batch at hand, by its step, and its targets.
    pub at_hand: Option<(u64, Vec<Tensor>)>,
}

/// The temperatures over the training; none where the objective has none.
pub struct TemperatureSchedule {
    pub student: Option<Temperature>,
    pub teacher: Option<Temperature>,
    pub batches_per_epoch: u64,
}

impl TemperatureSchedule {
    fn at(&self, step: u64) -> Temperatures {
        let value = |temperature: Option<Temperature>| {
            temperature.map_or(1.0, |temperature| {
                temperature.at(step, self.batches_per_epoch)
            })
        };
        Temperatures {
            student: value(self.student),
            teacher: value(self.teacher),
        }
    }
}

impl TemperatureSchedule {
    /// The temperatures that move, for the metrics.
    fn moving(&self, now: &Temperatures) -> Vec<(&'static str, f64)> {
        let all = [
            ("temperature_student", self.student, now.student),
            ("temperature_teacher", self.teacher, now.teacher),
        ];
        let moving = all
            .into_iter()
            .filter(|(_, temperature, _)| temperature.is_some_and(Temperature::moves));
        moving.map(|(name, _, value)| (name, value)).collect()
    }
}

impl SizedViews {
    /// The teacher's embeddings of the batch, one `[B, D]` for each view of a sample.
    fn teachers(&mut self, batch: &Batch) -> Result<Vec<Tensor>> {
        let copied = |rows: &[Tensor]| rows.iter().map(Tensor::shallow_clone).collect();
        if let Some((step, rows)) = &self.at_hand
            && *step == batch.step
        {
            return Ok(copied(rows));
        }
        let first = batch.epoch as usize * self.crops + self.shift;
        let count = self.targets.views();
        let views: Vec<usize> = (0..self.crops).map(|crop| (first + crop) % count).collect();
        let rows = self.targets.rows(&views, batch.positions)?;
        self.at_hand = Some((batch.step, copied(&rows)));
        Ok(rows)
    }
}

/// Mean loss over the views of a sample.
///
/// - `images`: `[B × n, 3, S, S]`, the views of a sample beside each other
fn loss(
    scale: &mut SizedViews,
    student: &Network,
    images: &Tensor,
    batch: &Batch,
    temperatures: Temperatures,
    precision: Precision,
) -> Result<Tensor> {
    let teachers = scale.teachers(batch)?;
    let output = student.forward(images, Mode::Train, precision);
    let embeddings = output.embedding_or_features(); // [B × n, D]
    let crops = scale.crops as i64;
    let of_crop = |tensor: &Tensor, crop: usize| match crops {
        1 => tensor.shallow_clone(),
        _ => tensor.slice(0, crop as i64, None, crops),
    };
    let mut sum: Option<Tensor> = None;
    for (crop, teacher) in teachers.iter().enumerate() {
        let loss = scale.matching.loss(&Seen {
            student,
            images: &of_crop(images, crop),
            embedding: &of_crop(embeddings, crop),
            teacher,
            temperatures,
            precision,
            begins_update: batch.begins_update,
        });
        sum = Some(match sum {
            None => loss,
            Some(sum) => sum + loss,
        });
    }
    let sum = sum.context("BUG: no view of a sample")?;
    Ok(if crops == 1 { sum } else { sum / crops as f64 })
}

impl Learner for DistillLearner {
    fn trainable(&self) -> Vec<(String, Tensor)> {
        let mut all = self.student.trainable();
        all.extend(self.whole.matching.trainable());
        all
    }

    fn network(&self) -> &Network {
        &self.student
    }

    fn loss(&mut self, batch: &Batch) -> Result<Tensor> {
        let temperatures = self.schedule.at(batch.step);
        self.temperatures = Some(temperatures);
        let (student, precision) = (&self.student, self.precision);
        let of = |scale: &mut SizedViews, images: &Tensor| {
            loss(scale, student, images, batch, temperatures, precision)
        };
        let whole = of(&mut self.whole, batch.images())?;
        match &mut self.small {
            None => Ok(whole),
            Some(small) => {
                let images = batch
                    .crops
                    .get(1)
                    .context("BUG: a batch without small views")?;
                Ok(whole + of(small, images)?)
            }
        }
    }

    /// Of the small views the first of each sample enters its queue.
    fn remember(&mut self, batch: &Batch) -> Result<()> {
        for scale in [Some(&mut self.whole), self.small.as_mut()]
            .into_iter()
            .flatten()
        {
            let teachers = scale.teachers(batch)?;
            scale.matching.remember(&teachers[0]);
        }
        Ok(())
    }

    fn gauges(&self) -> Vec<(&'static str, f64)> {
        let mut gauges = self.whole.matching.gauges();
        gauges.extend(
            self.temperatures
                .iter()
                .flat_map(|now| self.schedule.moving(now)),
        );
        gauges
    }

    fn save(&self, state: &mut TrainingState) {
        state.insert_all("student.", self.student.state());
        self.whole.matching.save("", state);
        if let Some(small) = &self.small {
            small.matching.save(SMALL, state);
        }
    }

    fn restore(&mut self, state: &TrainingState) -> Result<()> {
        state.copy_into("student.", &self.student.state())?;
        self.whole.matching.restore("", state)?;
        match &mut self.small {
            Some(small) => small.matching.restore(SMALL, state),
            None => Ok(()),
        }
    }
}
