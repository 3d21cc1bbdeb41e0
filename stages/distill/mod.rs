//! `distill`: self-supervised distillation on stored targets. By default SEED (arXiv 2101.04731): the student learns to spread its
//! similarities over a queue of teacher embeddings as the teacher does; `objective` names what it is compared with. Student and teacher
//! saw the very same views, unless `augmentation` says otherwise. Of several teachers the embeddings are concatenated, each of equal
//! weight: their similarity is the mean of the teachers' own.
//!
//! This file declares; `work` puts the parts together, `learner` does a step, one file for each family of objectives gives its loss and memory.
//!
//! Version log: 1 first; 2 JPEG files are decoded by libjpeg-turbo, similarities to a queue are computed by oneDNN; 3 judged by
//! `evaluate` in bits that depend on no number of cores.

mod clusters;
mod in_batch;
mod learner;
mod matching;
mod objective;
mod prototypes;
mod queued;
mod targets;
mod temperature;
mod two_memories;
mod work;

use schemars::JsonSchema;
use seedpipe_artifact::{EMBEDDINGS, IMAGES, METRICS, VIEWS, WEIGHTS};
use seedpipe_base::Refusal;
use seedpipe_engine::{Arity, InputKinds, InputSlot, OutputSlot, Purpose, Stage, Training};
use seedpipe_learn::architecture::{Architecture, Preprocessing};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::shared::invalid::{at_least, check_queue, fraction, invalid, positive};
use crate::shared::network_artifact::validate_architecture;
use crate::shared::objectives::{is_default, told};
use crate::training::{HOW, TrainingOptions};
use objective::{Augmentation, Number, Objective, QueueStart};
use temperature::Temperature;

/// Self-supervised distillation of a student from stored teacher embeddings.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Distill {
    /// The student's architecture, without a head.
    pub network: Architecture,
    /// Hidden widths of the student's head, which ends in the teacher's dimension (`kmeans`: in the number of clusters) and is thrown away
    /// afterwards: `[]` is linear; default: one hidden layer as wide as the features.
    #[serde(default)]
    pub head_hidden: Option<Vec<i64>>,
    /// `false`: no head, the features themselves are compared. Default `false` for `compress`, `true` for the others, which
    /// without one need as many features as the teacher's embedding has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<bool>,
    /// `seed` (default), `simclr`, `swav`, `l2`, `cosine`, `kmeans`, `contrastive` or `compress`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub objective: Objective,
    /// Teacher embeddings to compare with, a multiple of the batch, default 65536; of `compress`: images in both memories; of `swav`: earlier
    /// embeddings that prototypes are shared out among, default 3840, 0: none. `seed`, `contrastive`, `compress` and `swav` have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<usize>,
    /// What the queue begins with, for `seed` and `contrastive`: `random` unit vectors (default), or the first `targets`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub queue_start: QueueStart,
    /// A number, or `{from: 0.3, to: 0.2, epochs: 5}`: linear, then constant. Default 0.2; `swav` 0.1, `compress` 0.04. `seed`, `simclr`,
    /// `swav`, `contrastive` and `compress` have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_student: Option<Temperature>,
    /// As the student's. Default 0.01; `compress` 0.04. `seed`, `simclr` and `compress` have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_teacher: Option<Temperature>,
    /// Of `swav`: prototypes, default 300. They begin as targets and are learned on the teacher's embeddings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prototypes: Option<usize>,
    /// Of `swav`: how soft the assignments are, default 0.05.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sinkhorn_epsilon: Option<f64>,
    /// Of `swav`: rounds that make the prototypes' shares equal, default 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sinkhorn_iterations: Option<u32>,
    /// Of `kmeans`: clusters of the first view's targets, default 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clusters: Option<usize>,
    /// Of `kmeans`: rounds at most, default 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_rounds: Option<u32>,
    /// Of `compress`: how slowly the copy of the student follows that fills its memory, default 0.999; 0: the student itself fills it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder_momentum: Option<f64>,
    /// With the inputs `small_views` and `small_targets`: small views of a sample in a batch, default 6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub small_crops: Option<usize>,
    /// `shared` (default): the target is of the view that the student sees; `independent`: of the image's next view.
    #[serde(default, skip_serializing_if = "is_default")]
    pub augmentation: Augmentation,
    #[serde(default)]
    pub training: TrainingOptions,
    /// What the student wants done to an image; default: its architecture's, at the views' size.
    #[serde(default)]
    pub preprocessing: Option<Preprocessing>,
}

impl Stage for Distill {
    const KIND: &'static str = "distill";
    const VERSION: u32 = 3;
    const INPUTS: &'static [InputSlot] = &[
        InputSlot::new("images", &[IMAGES], Arity::One),
        InputSlot::new("views", &[VIEWS], Arity::One),
        InputSlot::new("targets", &[EMBEDDINGS], Arity::Listed),
        InputSlot::new("small_views", &[VIEWS], Arity::Optional),
        InputSlot::new("small_targets", &[EMBEDDINGS], Arity::Optional),
    ];
    const OUTPUTS: &'static [OutputSlot] = &[
        OutputSlot::new("weights", WEIGHTS),
        OutputSlot::new("metrics", METRICS),
    ];
    const TENSORS: bool = true;
    const PRECISION: Option<&'static str> = Some("training.precision");
    const HOW: &'static [&'static str] = HOW;
    const HEADLINE: &'static [&'static str] = &["loss"];

    /// Each objective's own numbers, and no others.
    fn with_defaults(mut self, inputs: &InputKinds) -> Self {
        fn fill<T>(objective: Objective, number: Number, value: &mut Option<T>, default: T) {
            if objective.has(number) && value.is_none() {
                *value = Some(default);
            }
        }
        let of = self.objective;
        fill(of, Number::Queue, &mut self.queue, of.default_queue());
        let temperature = of.default_temperature_student();
        fill(
            of,
            Number::TemperatureStudent,
            &mut self.temperature_student,
            temperature,
        );
        let temperature = of.default_temperature_teacher();
        fill(
            of,
            Number::TemperatureTeacher,
            &mut self.temperature_teacher,
            temperature,
        );
        fill(of, Number::Prototypes, &mut self.prototypes, 300);
        fill(
            of,
            Number::SinkhornEpsilon,
            &mut self.sinkhorn_epsilon,
            0.05,
        );
        fill(
            of,
            Number::SinkhornIterations,
            &mut self.sinkhorn_iterations,
            3,
        );
        fill(of, Number::Clusters, &mut self.clusters, 300);
        fill(of, Number::ClusterRounds, &mut self.cluster_rounds, 50);
        fill(
            of,
            Number::EncoderMomentum,
            &mut self.encoder_momentum,
            0.999,
        );
        if inputs.connected("small_views") {
            fill(of, Number::SmallViews, &mut self.small_crops, 6);
        }
        if of != Objective::Seed && self.head.is_none() {
            self.head = Some(of.default_head());
        }
        self
    }

    fn validate(&self, inputs: &InputKinds) -> Result<(), Refusal> {
        validate_architecture("network", &self.network)?;
        if self.network.head.is_some() {
            return Err(invalid(
                "network.head",
                "no head: its width follows the teacher's",
                "a head",
                "use `head_hidden`",
            ));
        }
        self.refuse_others_numbers()?;
        self.check_head()?;
        self.check_small_views(inputs)?;
        if let Some(temperature) = self.temperature_student {
            let usual = match self.objective {
                Objective::Swav => "SwAV uses 0.1",
                Objective::Compress => "CompRess uses 0.04",
                _ => "SEED uses 0.2",
            };
            temperature.validate("temperature_student", usual)?;
        }
        if let Some(temperature) = self.temperature_teacher {
            let usual = match self.objective {
                Objective::Compress => "CompRess uses 0.04",
                _ => "SEED uses 0.01; a smaller value follows the nearest neighbours more",
            };
            temperature.validate("temperature_teacher", usual)?;
        }
        for (key, number) in [("prototypes", self.prototypes), ("clusters", self.clusters)] {
            number.map_or(Ok(()), |number| at_least(key, number as u64, 2))?;
        }
        for (key, number) in [
            ("sinkhorn_iterations", self.sinkhorn_iterations),
            ("cluster_rounds", self.cluster_rounds),
        ] {
            number.map_or(Ok(()), |number| at_least(key, number.into(), 1))?;
        }
        if let Some(epsilon) = self.sinkhorn_epsilon {
            positive("sinkhorn_epsilon", epsilon)?;
        }
        if let Some(momentum) = self.encoder_momentum {
            fraction("encoder_momentum", momentum)?;
        }
        self.training.validate()?;
        match self.queue {
            Some(0) if self.objective == Objective::Swav => Ok(()),
            Some(queue) => check_queue(queue, self.training.batch),
            None => Ok(()),
        }
    }

    fn purpose(&self) -> Purpose {
        let way = match self.objective {
            Objective::Seed => "SEED".to_owned(),
            other => format!("distilled by {}", other.name()),
        };
        Purpose::Training(Training {
            loss: way.clone(),
            way,
            teachers: &["targets"],
            network: json!(self.written()),
        })
    }
}

impl Distill {
    /// The network that it writes: the student without the head that it learned with.
    fn written(&self) -> Architecture {
        self.network.without_head()
    }

    /// A number that the objective hasn't would be without effect.
    fn refuse_others_numbers(&self) -> Result<(), Refusal> {
        let set: [(Number, Option<String>); 11] = [
            (Number::Queue, told(&self.queue)),
            (
                Number::QueueStart,
                (self.queue_start == QueueStart::Targets).then(|| "targets".to_owned()),
            ),
            (Number::TemperatureStudent, told(&self.temperature_student)),
            (Number::TemperatureTeacher, told(&self.temperature_teacher)),
            (Number::Prototypes, told(&self.prototypes)),
            (Number::SinkhornEpsilon, told(&self.sinkhorn_epsilon)),
            (Number::SinkhornIterations, told(&self.sinkhorn_iterations)),
            (Number::Clusters, told(&self.clusters)),
            (Number::ClusterRounds, told(&self.cluster_rounds)),
            (Number::EncoderMomentum, told(&self.encoder_momentum)),
            (
                Number::NoHead,
                (self.head == Some(false)).then(|| "false".to_owned()),
            ),
        ];
        for (number, got) in set {
            if let Some(got) = got {
                self.objective.refuse(number, got)?;
            }
        }
        Ok(())
    }

    /// Whether the student has a head while it learns.
    fn has_head(&self) -> bool {
        self.head.unwrap_or(self.objective.default_head())
    }

    fn check_head(&self) -> Result<(), Refusal> {
        match &self.head_hidden {
            Some(_) if !self.has_head() => Err(invalid(
                "head_hidden",
                "nothing, since the student has no head",
                "widths",
                "leave the key out, or set `head: true`",
            )),
            _ => Ok(()),
        }
    }

    fn check_small_views(&self, inputs: &InputKinds) -> Result<(), Refusal> {
        let connected = (
            inputs.connected("small_views"),
            inputs.connected("small_targets"),
        );
        if connected.0 != connected.1 {
            let (has, lacks) = match connected.0 {
                true => ("small_views", "small_targets"),
                false => ("small_targets", "small_views"),
            };
            return Err(invalid(
                "small_crops",
                "the inputs `small_views` and `small_targets`, or neither",
                format!("`{has}` alone"),
                &format!(
                    "connect `{lacks}`: an `augment` stage with `recipe: swav_small`, and the `encode` of its views"
                ),
            ));
        }
        match self.small_crops {
            None if !connected.0 => Ok(()),
            None => self.objective.refuse(Number::SmallViews, "small views"),
            Some(crops) if connected.0 => {
                self.objective.refuse(Number::SmallViews, crops)?;
                at_least("small_crops", crops as u64, 1)?;
                if inputs.count("targets") > 1 {
                    return Err(invalid(
                        "small_crops",
                        "one teacher beside small views",
                        inputs.count("targets"),
                        "connect one stage to `targets`",
                    ));
                }
                Ok(())
            }
            Some(crops) => Err(invalid(
                "small_crops",
                "the inputs `small_views` and `small_targets`",
                format!("{crops} without them"),
                "connect both, or leave the key out",
            )),
        }
    }
}
