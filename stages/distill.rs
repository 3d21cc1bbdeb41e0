//! `distill`: SEED (arXiv 2101.04731) on stored targets. The student learns to spread its similarities over a queue of teacher
//! embeddings as the teacher does; student and teacher saw the very same views. Of several teachers the embeddings are concatenated, each of
//! equal weight: their similarity is the mean of the teachers' own.
//!
//! Version log: 1 first.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use schemars::JsonSchema;
use seedpipe_artifact::{EMBEDDINGS, EmbeddingsReader, IMAGES, METRICS, Of, VIEWS, WEIGHTS};
use seedpipe_engine::{
    Arity, Input, InputKinds, InputSlot, Invalid, OutputSlot, Stage, StageContext, Work,
};
use seedpipe_learn::architecture::{Architecture, Head, Preprocessing};
use seedpipe_learn::device::device;
use seedpipe_learn::loss::seed::{normalise, seed_loss};
use seedpipe_learn::network::{Mode, Network, Precision};
use seedpipe_learn::queue::Queue;
use seedpipe_learn::tensors::from_slice_f32;
use seedpipe_learn::training_state::TrainingState;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::{Device, Tensor};

use crate::evaluation::write_metrics;
use crate::invalid::{check_queue, invalid, temperature};
use crate::network_artifact::{
    initialise, normalise as normalisation, save_network, trained_preprocessing,
    validate_architecture,
};
use crate::pictures::Pictures;
use crate::training::{Batch, Crops, HOW, Learner, Samples, TrainingOptions, train};
use crate::viewed::Viewed;

/// Self-supervised distillation of a student from stored teacher embeddings.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Distill {
    /// The student's architecture, without a head.
    pub network: Architecture,
    /// Hidden widths of the student's head, which ends in the teacher's dimension and is thrown away afterwards:
    /// `[]` is linear; default: one hidden layer as wide as the features.
    #[serde(default)]
    pub head_hidden: Option<Vec<i64>>,
    /// Teacher embeddings to compare with; a multiple of the batch.
    #[serde(default = "default_queue")]
    pub queue: usize,
    #[serde(default = "default_temperature_student")]
    pub temperature_student: f64,
    #[serde(default = "default_temperature_teacher")]
    pub temperature_teacher: f64,
    #[serde(default)]
    pub training: TrainingOptions,
    /// What the student wants done to an image; default: its architecture's, at the views' size.
    #[serde(default)]
    pub preprocessing: Option<Preprocessing>,
}

fn default_queue() -> usize {
    65_536
}

fn default_temperature_student() -> f64 {
    0.2
}

fn default_temperature_teacher() -> f64 {
    0.01
}

impl Stage for Distill {
    const KIND: &'static str = "distill";
    const VERSION: u32 = 1;
    const INPUTS: &'static [InputSlot] = &[
        InputSlot {
            name: "images",
            accepts: &[IMAGES],
            arity: Arity::One,
        },
        InputSlot {
            name: "views",
            accepts: &[VIEWS],
            arity: Arity::One,
        },
        InputSlot {
            name: "targets",
            accepts: &[EMBEDDINGS],
            arity: Arity::Listed,
        },
    ];
    const OUTPUTS: &'static [OutputSlot] = &[
        OutputSlot {
            name: "weights",
            kind: WEIGHTS,
        },
        OutputSlot {
            name: "metrics",
            kind: METRICS,
        },
    ];
    const TENSORS: bool = true;
    const HOW: &'static [&'static str] = HOW;

    fn validate(&self, _inputs: &InputKinds) -> Result<(), Invalid> {
        validate_architecture("network", &self.network)?;
        if self.network.head.is_some() {
            return Err(invalid(
                "network.head",
                "no head: its width follows the teacher's",
                "a head",
                "use `head_hidden`",
            ));
        }
        temperature(
            "temperature_student",
            self.temperature_student,
            "SEED uses 0.2",
        )?;
        temperature(
            "temperature_teacher",
            self.temperature_teacher,
            "SEED uses 0.01; a smaller value follows the nearest neighbours more",
        )?;
        self.training.validate()?;
        check_queue(self.queue, self.training.batch)
    }
}

impl Work for Distill {
    fn run(&self, context: &StageContext) -> Result<()> {
        let device = device(context.device())?;
        let pictures = Arc::new(Pictures::open(&context.input("images").parts)?);
        let viewed = Arc::new(Viewed::open(
            &context.input("views").parts,
            pictures.images(),
        )?);
        let targets = Targets::open(context, &viewed, device)?;

        let dimension = targets.dimension();
        let backbone = self.network.backbone();
        let hidden = self
            .head_hidden
            .clone()
            .unwrap_or_else(|| backbone.feature_dimension().into_iter().collect());
        let architecture = Architecture {
            head: Some(Head {
                hidden,
                out: dimension,
                batch_norm: false,
            }),
            ..backbone
        };
        let student = initialise(context, &architecture, device)?;
        let preprocessing =
            trained_preprocessing(self.preprocessing.as_ref(), &architecture, viewed.size());
        let queue = Queue::new(
            self.queue,
            dimension as usize,
            self.training.batch,
            &mut context.rng("queue", &[]),
            device,
        )?;
        let mut learner = SeedLearner {
            student,
            queue,
            targets,
            temperatures: (self.temperature_student, self.temperature_teacher),
            precision: self.training.precision,
        };
        let samples = Samples {
            positions: Arc::new((0..viewed.len() as u32).collect()),
            normalise: normalisation(&preprocessing),
            crops: vec![Crops { viewed, views: 1 }],
            pictures,
            device,
        };
        context.shards(1, |shard| {
            let rows = train(context, &self.training, &samples, &mut learner)?;
            let student = learner.student.without_head();
            context.telemetry("parameters", student.graph().parameter_count() as f64);
            save_network(
                &shard.output("weights", "part-00000"),
                &student,
                &preprocessing,
            )?;
            write_metrics(&shard.output("metrics", "part-00000"), &rows)
        })
    }
}

/// The stored embeddings of one view at a time, in memory and of length 1.
struct Targets {
    /// One for each teacher.
    readers: Vec<EmbeddingsReader>,
    viewed: usize,
    views: usize,
    device: Device,
    /// The view that is in memory, and its rows: `[viewed, D]`.
    loaded: Option<(usize, Tensor)>,
}

impl Targets {
    fn open(context: &StageContext, viewed: &Viewed, device: Device) -> Result<Targets> {
        let readers = context
            .inputs("targets")
            .iter()
            .map(|input| teacher(context, input, viewed))
            .collect::<Result<_>>()?;
        Ok(Targets {
            readers,
            viewed: viewed.len(),
            views: viewed.views(),
            device,
            loaded: None,
        })
    }

    /// Of all teachers' embeddings together.
    fn dimension(&self) -> i64 {
        let dimensions = self.readers.iter().map(EmbeddingsReader::dimension);
        dimensions.sum::<usize>() as i64
    }

    /// # Shapes
    /// - returns `[viewed, D]` f32, rows of length 1
    fn load(&self, view: usize) -> Result<Tensor> {
        let rows = view * self.viewed..(view + 1) * self.viewed;
        let parts = self
            .readers
            .iter()
            .map(|reader| {
                let embeddings = reader.read(rows.clone())?;
                let size = [self.viewed as i64, reader.dimension() as i64];
                Ok(from_slice_f32(&size, &embeddings.values))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(together(&parts))
    }

    /// # Shapes
    /// - returns `[positions, D]` f32, rows of length 1
    fn rows(&mut self, epoch: u32, positions: &[u32]) -> Result<Tensor> {
        let view = epoch as usize % self.views;
        if self
            .loaded
            .as_ref()
            .is_none_or(|(loaded, _)| *loaded != view)
        {
            self.loaded = Some((view, self.load(view)?.to_device(self.device)));
        }
        let (_, rows) = self.loaded.as_ref().context("BUG: no view was loaded")?;
        let index: Vec<i64> = positions.iter().map(|&position| position.into()).collect();
        Ok(rows.index_select(0, &Tensor::from_slice(&index).to_device(self.device)))
    }
}

/// Several teachers' embeddings as one, in which each has the same weight.
///
/// # Shapes
/// - `teachers`: `[N, D]` each, with a D of its own
/// - returns `[N, sum of D]`, rows of length 1
fn together(teachers: &[Tensor]) -> Tensor {
    let parts: Vec<Tensor> = teachers.iter().map(normalise).collect();
    Tensor::cat(&parts, 1) / (parts.len() as f64).sqrt()
}

/// One teacher's embeddings of the very views that the student sees.
fn teacher(context: &StageContext, input: &Input, viewed: &Viewed) -> Result<EmbeddingsReader> {
    let views = context.input("views");
    let reader = EmbeddingsReader::open(&input.parts)?;
    let header = reader.header();
    let made_of = header.extra.get("views").map(String::as_str);
    if header.of != Of::Views || made_of != Some(views.content.to_string().as_str()) {
        bail!(
            "stage `{}`: input `targets`: expected embeddings of the views of stage `{}`, got `{}`'s, which were made of {}\nhint: teacher and student must see the same views: connect the same `views` to both",
            context.stage(),
            views.stage,
            input.stage,
            if header.of == Of::Views {
                "other views"
            } else {
                "plain images"
            }
        );
    }
    ensure!(
        reader.rows() == viewed.len() * viewed.views(),
        "BUG: {} targets for {} views",
        reader.rows(),
        viewed.len() * viewed.views()
    );
    Ok(reader)
}

struct SeedLearner {
    student: Network,
    queue: Queue,
    targets: Targets,
    /// Of the student and of the teacher.
    temperatures: (f64, f64),
    precision: Precision,
}

impl Learner for SeedLearner {
    fn trainable(&self) -> Vec<(String, Tensor)> {
        self.student.trainable()
    }

    fn loss(&mut self, batch: &Batch) -> Result<Tensor> {
        let teacher = self.targets.rows(batch.epoch, batch.positions)?; // [B, D]
        let output = self
            .student
            .forward(batch.images(), Mode::Train, self.precision);
        Ok(seed_loss(
            output.embedding_or_features(),
            &teacher,
            self.queue.rows(),
            self.temperatures.0,
            self.temperatures.1,
        ))
    }

    fn remember(&mut self, batch: &Batch) -> Result<()> {
        let teacher = self.targets.rows(batch.epoch, batch.positions)?;
        self.queue.enqueue(&teacher);
        Ok(())
    }

    fn gauges(&self) -> Vec<(&'static str, f64)> {
        vec![(
            "queue_fill",
            self.queue.filled() as f64 / self.queue.len() as f64,
        )]
    }

    fn save(&self, state: &mut TrainingState) {
        state.insert_all("student.", self.student.state());
        state.insert_all(
            "queue.",
            vec![("rows".into(), self.queue.rows().shallow_clone())],
        );
        state.scalars["queue"] =
            json!({ "pointer": self.queue.pointer(), "filled": self.queue.filled() });
    }

    fn restore(&mut self, state: &TrainingState) -> Result<()> {
        state.copy_into("student.", &self.student.state())?;
        self.queue = restore_queue(state, &self.queue, self.targets.device)?;
        Ok(())
    }
}

/// The queue of a checkpoint.
pub fn restore_queue(state: &TrainingState, like: &Queue, device: Device) -> Result<Queue> {
    let number = |name: &str| {
        state.scalars["queue"][name]
            .as_u64()
            .map(|number| number as usize)
            .with_context(|| format!("the checkpoint lacks the queue's {name}"))
    };
    let rows = state
        .take_all("queue.")
        .remove("rows")
        .context("the checkpoint lacks the queue")?;
    Ok(Queue::restore(
        rows.to_device(device),
        like.batch(),
        number("pointer")?,
        number("filled")?,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedpipe_learn::tensors::to_vec_f32;

    #[test]
    fn every_teacher_has_the_same_weight_whatever_its_length() {
        let (first, second) = (
            from_slice_f32(&[1, 2], &[3.0, 4.0]),
            from_slice_f32(&[1, 1], &[-50.0]),
        );
        let half = 0.5f32.sqrt();
        let expected = [0.6 * half, 0.8 * half, -half];
        for (value, expected) in to_vec_f32(&together(&[first, second])).iter().zip(expected) {
            assert!((value - expected).abs() < 1e-6, "{value} {expected}");
        }
    }

    #[test]
    fn one_teacher_keeps_its_bits() {
        let embeddings = from_slice_f32(&[1, 3], &[0.1, 0.7, -0.3]);
        assert_eq!(
            to_vec_f32(&together(&[embeddings.shallow_clone()])),
            to_vec_f32(&normalise(&embeddings))
        );
    }
}
