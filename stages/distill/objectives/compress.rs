//! `compress`: CompRess (arXiv 2010.14713): teacher and student each compare a batch with a memory
//! of their own, of the same images. The student's memory takes in embeddings of a slowly following
//! copy of it, or its own.

use anyhow::Result;
use seedpipe_base::Refusal;
use seedpipe_learn::loss::compress::{Memories, compress_loss};
use seedpipe_learn::loss::seed::normalise;
use seedpipe_learn::network::{Mode, Network};
use seedpipe_learn::queue::Queue;
use seedpipe_learn::schedule::Schedule;
use seedpipe_learn::training_state::TrainingState;
use tch::{Tensor, no_grad};

use super::{Declaration, Matching, Seen, Setup, StudentOutput, Temperature, Training};
use crate::shared::invalid::{check_queue, fraction};
use crate::shared::objectives::params;
use crate::training::{TrainingOptions, restore_queue, save_queue};

const TEACHER: &str = "teacher_memory";
const STUDENT: &str = "student_memory";
const KEY: &str = "key.";

params! {
    /// CompRess: similarities to earlier embeddings of the student as the teacher's to its own of
    /// the same images.
    Compress {
        /// images in both memories, a multiple of the batch, default 128000.
        queue: usize = 128_000,
        /// a number or a ramp, as of `seed`, default 0.04.
        temperature_student: Temperature = Temperature::Fixed(0.04),
        /// as the student's, default 0.04.
        temperature_teacher: Temperature = Temperature::Fixed(0.04),
        /// how slowly the copy of the student follows that fills its memory, default 0.999; 0: the
        /// student itself fills it.
        encoder_momentum: f64 = 0.999,
    }
}

impl Declaration for Compress {
    /// Of train_student.py.
    fn training(&self) -> TrainingOptions {
        TrainingOptions {
            epochs: 130,
            learning_rate: 0.01,
            schedule: Schedule::steps(&[90, 120], 0.2),
            ..TrainingOptions::default()
        }
    }

    fn validate(&self, batch: usize) -> Result<(), Refusal> {
        self.temperature_student
            .validate("temperature_student", "CompRess uses 0.04")?;
        self.temperature_teacher
            .validate("temperature_teacher", "CompRess uses 0.04")?;
        fraction("encoder_momentum", self.encoder_momentum)?;
        check_queue(self.queue, batch)
    }

    fn temperatures(&self) -> [Option<Temperature>; 2] {
        [
            Some(self.temperature_student),
            Some(self.temperature_teacher),
        ]
    }

    /// Similarities are compared, and not embeddings.
    fn output(&self) -> StudentOutput {
        StudentOutput::Any
    }

    fn has_small_views(&self) -> bool {
        false
    }
}

impl Training for Compress {
    fn matching(&self, setup: &Setup) -> Result<Box<dyn Matching>> {
        let memory = |purpose: &str, dimension| setup.random_queue(purpose, self.queue, dimension);
        Ok(Box::new(TwoMemories::new(
            memory("queue", setup.targets.dimension())?,
            memory("student_queue", setup.student.embedding_dimension()?)?,
            setup.student,
            self.encoder_momentum,
        )))
    }
}

struct TwoMemories {
    teacher: Queue,
    student: Queue,
    key: Option<KeyEncoder>,
    /// Of the batch at hand, until the student's memory takes them: `[B, S]`, rows of length 1.
    embeddings: Option<Tensor>,
}

/// The copy of the student that fills its memory.
struct KeyEncoder {
    network: Network,
    momentum: f64,
}

impl TwoMemories {
    /// - `momentum`: how slowly the copy follows; 0: no copy
    fn new(teacher: Queue, student: Queue, network: &Network, momentum: f64) -> Self {
        let key = (momentum > 0.0).then(|| {
            let network = network.duplicate();
            network.freeze();
            KeyEncoder { network, momentum }
        });
        TwoMemories {
            teacher,
            student,
            key,
            embeddings: None,
        }
    }
}

impl Matching for TwoMemories {
    fn loss(&mut self, seen: &Seen) -> Tensor {
        let remembered = no_grad(|| match &self.key {
            None => normalise(&seen.embedding.detach()),
            Some(key) => {
                if seen.begins_update {
                    key.network.momentum_update(seen.student, key.momentum);
                }
                let output = key
                    .network
                    .forward(seen.images, Mode::Train, seen.precision);
                normalise(output.embedding_or_features())
            }
        });
        self.embeddings = Some(remembered);
        let memories = Memories {
            teacher: self.teacher.rows(),
            student: self.student.rows(),
        };
        compress_loss(
            seen.embedding,
            seen.teacher,
            &memories,
            seen.temperatures.student,
            seen.temperatures.teacher,
        )
    }

    fn remember(&mut self, teacher: &Tensor) {
        if let Some(embeddings) = self.embeddings.take() {
            self.teacher.enqueue(teacher);
            self.student.enqueue(&embeddings);
        }
    }

    fn gauges(&self) -> Vec<(&'static str, f64)> {
        let share = self.teacher.filled() as f64 / self.teacher.len() as f64;
        vec![("queue_fill", share)]
    }

    fn save(&self, prefix: &str, state: &mut TrainingState) {
        save_queue(state, &format!("{prefix}{TEACHER}"), &self.teacher);
        save_queue(state, &format!("{prefix}{STUDENT}"), &self.student);
        if let Some(key) = &self.key {
            state.insert_all(&format!("{prefix}{KEY}"), key.network.state());
        }
    }

    fn restore(&mut self, prefix: &str, state: &TrainingState) -> Result<()> {
        restore_queue(state, &format!("{prefix}{TEACHER}"), &mut self.teacher)?;
        restore_queue(state, &format!("{prefix}{STUDENT}"), &mut self.student)?;
        if let Some(key) = &self.key {
            state.copy_into(&format!("{prefix}{KEY}"), &key.network.state())?;
        }
        Ok(())
    }
}
