//! What a student can be taught, and which numbers each objective has. No tensors here.

use schemars::JsonSchema;
use seedpipe_base::Refusal;
use serde::{Deserialize, Serialize};

use super::temperature::Temperature;
use crate::shared::invalid::invalid;

/// What the student learns of the teacher's embeddings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// SEED: spread similarities over a queue of teacher embeddings as the teacher does.
    #[default]
    Seed,
    /// The same over the batch's teacher embeddings, without a queue.
    Simclr,
    /// Predict the teacher's assignment to prototypes, which are learned on teacher embeddings meanwhile.
    Swav,
    /// Match the teacher's embedding of length 1, by squared distance.
    L2,
    /// Match the direction of the teacher's embedding.
    Cosine,
    /// Name the teacher's cluster, of k-means on the targets of the first view.
    Kmeans,
    /// InfoNCE: find the own teacher embedding among those of a queue.
    Contrastive,
    /// CompRess: similarities to earlier embeddings of the student as the teacher's to its own of the same images.
    Compress,
}

/// A number that not every objective has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    Queue,
    QueueStart,
    TemperatureStudent,
    TemperatureTeacher,
    Prototypes,
    SinkhornEpsilon,
    SinkhornIterations,
    Clusters,
    ClusterRounds,
    EncoderMomentum,
    NoHead,
    SmallViews,
}

use Objective::{Compress, Contrastive, Cosine, Kmeans, L2, Seed, Simclr, Swav};

impl Objective {
    pub fn name(self) -> &'static str {
        match self {
            Seed => "seed",
            Simclr => "simclr",
            Swav => "swav",
            L2 => "l2",
            Cosine => "cosine",
            Kmeans => "kmeans",
            Contrastive => "contrastive",
            Compress => "compress",
        }
    }

    pub fn has(self, number: Number) -> bool {
        number.owners().contains(&self)
    }

    /// Embeddings in its queue or memories.
    pub fn default_queue(self) -> usize {
        match self {
            Swav => 3_840, // SwAV's own
            _ => 65_536,
        }
    }

    pub fn default_temperature_student(self) -> Temperature {
        Temperature::Fixed(match self {
            Swav => 0.1,
            Compress => 0.04,
            _ => 0.2,
        })
    }

    pub fn default_temperature_teacher(self) -> Temperature {
        Temperature::Fixed(match self {
            Compress => 0.04,
            _ => 0.01,
        })
    }

    /// CompRess compares features, whatever their number; the others need the teacher's dimension.
    pub fn default_head(self) -> bool {
        self != Compress
    }

    /// Refuses a number that the objective hasn't.
    pub fn refuse(self, number: Number, got: impl std::fmt::Display) -> Result<(), Refusal> {
        if self.has(number) {
            return Ok(());
        }
        let owners: Vec<String> = number
            .owners()
            .iter()
            .map(|owner| format!("`{}`", owner.name()))
            .collect();
        Err(invalid(
            number.key(),
            &format!("nothing, since objective `{}` doesn't have it", self.name()),
            got,
            &format!(
                "leave the key out, or take an objective that has it: {}",
                owners.join(", ")
            ),
        ))
    }
}

impl Number {
    pub fn key(self) -> &'static str {
        match self {
            Number::Queue => "queue",
            Number::QueueStart => "queue_start",
            Number::TemperatureStudent => "temperature_student",
            Number::TemperatureTeacher => "temperature_teacher",
            Number::Prototypes => "prototypes",
            Number::SinkhornEpsilon => "sinkhorn_epsilon",
            Number::SinkhornIterations => "sinkhorn_iterations",
            Number::Clusters => "clusters",
            Number::ClusterRounds => "cluster_rounds",
            Number::EncoderMomentum => "encoder_momentum",
            Number::NoHead => "head",
            Number::SmallViews => "small_crops",
        }
    }

    /// The objectives that have it.
    fn owners(self) -> &'static [Objective] {
        match self {
            Number::Queue => &[Seed, Swav, Contrastive, Compress],
            Number::QueueStart => &[Seed, Contrastive],
            Number::TemperatureStudent => &[Seed, Simclr, Swav, Contrastive, Compress],
            Number::TemperatureTeacher => &[Seed, Simclr, Compress],
            Number::Prototypes | Number::SinkhornEpsilon | Number::SinkhornIterations => &[Swav],
            Number::Clusters | Number::ClusterRounds => &[Kmeans],
            Number::EncoderMomentum => &[Compress],
            Number::NoHead => &[Seed, Simclr, Swav, L2, Cosine, Contrastive, Compress],
            Number::SmallViews => &[Seed, Simclr, L2, Cosine, Contrastive],
        }
    }
}

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

/// Which view of an image the target is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Augmentation {
    /// The one that the student sees.
    #[default]
    Shared,
    /// The next one: another look at the same image.
    Independent,
}
