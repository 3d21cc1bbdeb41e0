//! `finetune`: supervised training of a whole network, by labels, by a teacher's soft labels (Hinton's distillation,
//! arXiv 1503.02531), or both: alpha · T² · KL(teacher ‖ student) + (1 − alpha) · cross-entropy.
//!
//! The teacher is a classifier on its frozen features, so its logits come from stored embeddings.
//!
//! Version log: 1 first; 2 judged through the folded, fused network.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use schemars::JsonSchema;
use seedpipe_artifact::{EMBEDDINGS, IMAGES, METRICS, MetricRow, PREDICTIONS, VIEWS, WEIGHTS};
use seedpipe_engine::{
    Arity, InputKinds, InputSlot, Invalid, OutputSlot, Stage, StageContext, Work,
};
use seedpipe_learn::architecture::{Architecture, Preprocessing};
use seedpipe_learn::device::device;
use seedpipe_learn::loss::distillation::{cross_entropy, distillation_loss};
use seedpipe_learn::metrics::evaluate;
use seedpipe_learn::network::{Mode, Network, Precision};
use seedpipe_learn::training_state::TrainingState;
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use crate::evaluation::{self, logits_of, metric_rows, write_metrics, write_predictions};
use crate::invalid::{fraction, invalid, temperature};
use crate::network_artifact::{
    Prepared, initialise, load_network, normalise as normalisation, save_network,
    trained_preprocessing, validate_architecture,
};
use crate::pictures::Pictures;
use crate::selection::{Classes, label_subset};
use crate::soft_labels::Teacher;
use crate::training::{Batch, Crops, HOW, Learner, Samples, TrainingOptions, train};
use crate::viewed::Viewed;

/// Supervised training from the weights of the input `weights`, or from scratch.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Finetune {
    /// The architecture when training from scratch.
    #[serde(default)]
    pub network: Option<Architecture>,
    /// Share of the soft labels in the loss; 0: labels alone. Needs the inputs `teacher_features` and `teacher_classifier` when above 0.
    #[serde(default)]
    pub alpha: f64,
    /// Temperature of the soft labels.
    #[serde(default = "default_temperature")]
    pub temperature: f64,
    /// Share of the labelled images that is trained on, class balanced.
    #[serde(default = "crate::selection::all_labels")]
    pub label_fraction: f64,
    /// The split that is trained on; it must be the one that was viewed.
    #[serde(default = "crate::selection::train_split")]
    pub train_split: String,
    /// The split that is evaluated at the end.
    #[serde(default = "crate::selection::test_split")]
    pub test_split: String,
    #[serde(default)]
    pub training: TrainingOptions,
    /// What the network wants done to an image when training from scratch.
    #[serde(default)]
    pub preprocessing: Option<Preprocessing>,
}

fn default_temperature() -> f64 {
    4.0
}

impl Stage for Finetune {
    const KIND: &'static str = "finetune";
    const VERSION: u32 = 2;
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
            name: "weights",
            accepts: &[WEIGHTS],
            arity: Arity::Optional,
        },
        InputSlot {
            name: "teacher_features",
            accepts: &[EMBEDDINGS],
            arity: Arity::Optional,
        },
        InputSlot {
            name: "teacher_classifier",
            accepts: &[WEIGHTS],
            arity: Arity::Optional,
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
        OutputSlot {
            name: "predictions",
            kind: PREDICTIONS,
        },
    ];
    const TENSORS: bool = true;
    const HOW: &'static [&'static str] = HOW;

    fn validate(&self, inputs: &InputKinds) -> Result<(), Invalid> {
        match (&self.network, inputs.connected("weights")) {
            (None, false) => {
                return Err(invalid(
                    "network",
                    "an architecture, or the input `weights`",
                    "neither",
                    "add `network: {name: …}`",
                ));
            }
            (Some(_), true) => {
                return Err(invalid(
                    "network",
                    "nothing beside the input `weights`",
                    "both",
                    "remove one of them",
                ));
            }
            _ => {}
        }
        if let Some(network) = &self.network {
            validate_architecture("network", network)?;
        }
        fraction("alpha", self.alpha)?;
        temperature(
            "temperature",
            self.temperature,
            "Hinton's distillation uses 1 to 20",
        )?;
        if !(self.label_fraction > 0.0 && self.label_fraction <= 1.0) {
            return Err(invalid(
                "label_fraction",
                "above 0 and at most 1",
                self.label_fraction,
                "0.1 trains on a tenth of the labels",
            ));
        }
        let teacher =
            inputs.connected("teacher_features") && inputs.connected("teacher_classifier");
        if self.alpha > 0.0 && !teacher {
            return Err(invalid(
                "alpha",
                "0 without a teacher",
                self.alpha,
                "connect `teacher_features` (an `encode` stage) and `teacher_classifier` (a `probe` stage on it)",
            ));
        }
        self.training.validate()
    }
}

impl Work for Finetune {
    fn run(&self, context: &StageContext) -> Result<()> {
        let device = device(context.device())?;
        let pictures = Arc::new(Pictures::open(&context.input("images").parts)?);
        let viewed = Arc::new(Viewed::open(
            &context.input("views").parts,
            pictures.images(),
        )?);
        let classes = Classes::of(pictures.images())?;
        let labelled = classes.labelled(pictures.images(), &self.train_split)?;
        let labelled: HashMap<usize, usize> = label_subset(
            pictures.images(),
            labelled,
            self.label_fraction,
            context.seed(),
        )
        .into_iter()
        .collect();
        let class_of: Vec<Option<usize>> = (0..viewed.len())
            .map(|position| labelled.get(&viewed.image(position)).copied())
            .collect();
        let positions: Vec<u32> = (0..viewed.len() as u32)
            .filter(|&position| class_of[position as usize].is_some())
            .collect();

        let Prepared {
            network,
            preprocessing,
        } = self.network(context, &classes, viewed.size(), device)?;
        let teacher = match self.alpha {
            0.0 => None,
            _ => Teacher::open(context, &pictures, &viewed, &classes)?,
        };
        let mut learner = SupervisedLearner {
            network,
            teacher,
            class_of,
            alpha: self.alpha,
            temperature: self.temperature,
            precision: self.training.precision,
            device,
        };
        let samples = Samples {
            positions: Arc::new(positions),
            normalise: normalisation(&preprocessing),
            crops: vec![Crops { viewed, views: 1 }],
            pictures: pictures.clone(),
            device,
        };
        context.shards(1, |shard| {
            let mut rows = train(context, &self.training, &samples, &mut learner)?;
            let step = rows.last().map_or(0, |row| row.step);
            let test = classes.labelled(pictures.images(), &self.test_split)?;
            let logits = logits_of(
                &learner.network,
                &preprocessing,
                &pictures,
                test.iter().map(|&(row, _)| row).collect(),
                self.training.precision,
                device,
            )?;
            let labels: Vec<i64> = test.iter().map(|&(_, class)| class as i64).collect();
            let evaluation = evaluate(&logits, &labels, classes.len());
            rows.extend(metric_rows(
                step,
                &self.test_split,
                "",
                &evaluation,
                &classes,
            ));
            rows.push(MetricRow {
                step,
                split: "train".into(),
                name: "images".into(),
                value: samples.positions.len() as f64,
            });
            context.telemetry(
                "parameters",
                learner.network.graph().parameter_count() as f64,
            );
            save_network(
                &shard.output("weights", "part-00000"),
                &learner.network,
                &preprocessing,
            )?;
            write_metrics(&shard.output("metrics", "part-00000"), &rows)?;
            write_predictions(
                &shard.output("predictions", "part-00000"),
                pictures.images(),
                &test,
                &classes,
                &evaluation::ranked(&logits),
            )
        })
    }
}

impl Finetune {
    fn network(
        &self,
        context: &StageContext,
        classes: &Classes,
        size: u32,
        device: Device,
    ) -> Result<Prepared> {
        let with_classes = |architecture: &Architecture| Architecture {
            classes: Some(classes.len() as i64),
            ..architecture.backbone()
        };
        match (context.optional_input("weights"), &self.network) {
            (Some(input), _) => {
                let donor = load_network(input, device)?;
                let architecture = with_classes(donor.network.architecture());
                let network = Network::initialise_from(
                    &architecture,
                    &donor.network,
                    |name| context.rng("initialise", name.as_bytes()),
                    device,
                )?;
                Ok(Prepared {
                    network,
                    preprocessing: donor.preprocessing,
                })
            }
            (None, Some(architecture)) => {
                let architecture = with_classes(architecture);
                let preprocessing =
                    trained_preprocessing(self.preprocessing.as_ref(), &architecture, size);
                Ok(Prepared {
                    network: initialise(context, &architecture, device)?,
                    preprocessing,
                })
            }
            (None, None) => bail!("BUG: no network, although the plan was checked"),
        }
    }
}

/// Learns by labels, and by a teacher's soft labels where there is one.
pub struct SupervisedLearner {
    network: Network,
    teacher: Option<Teacher>,
    class_of: Vec<Option<usize>>,
    alpha: f64,
    temperature: f64,
    precision: Precision,
    device: Device,
}

impl SupervisedLearner {
    /// By labels alone.
    ///
    /// - `class_of`: of each viewed image; only those with one may be trained on
    pub fn of_labels(
        network: Network,
        class_of: Vec<Option<usize>>,
        precision: Precision,
        device: Device,
    ) -> Self {
        SupervisedLearner {
            network,
            teacher: None,
            class_of,
            alpha: 0.0,
            temperature: default_temperature(),
            precision,
            device,
        }
    }

    pub fn trained(&self) -> &Network {
        &self.network
    }
}

impl Learner for SupervisedLearner {
    fn trainable(&self) -> Vec<(String, Tensor)> {
        self.network.trainable()
    }

    fn loss(&mut self, batch: &Batch) -> Result<Tensor> {
        let labels = batch
            .positions
            .iter()
            .map(|&position| self.class_of[position as usize].map(|class| class as i64))
            .collect::<Option<Vec<_>>>()
            .context("BUG: an unlabelled image is trained on")?;
        let labels = Tensor::from_slice(&labels).to_device(self.device);
        let logits = self
            .network
            .forward(batch.images(), Mode::Train, self.precision)
            .logits
            .context("BUG: the network has no classifier")?;
        Ok(match &self.teacher {
            Some(teacher) => {
                let soft = teacher
                    .logits(batch.epoch, batch.positions)
                    .to_device(self.device);
                distillation_loss(&logits, &soft, &labels, self.temperature, self.alpha).total
            }
            None => cross_entropy(&logits, &labels),
        })
    }

    fn save(&self, state: &mut TrainingState) {
        state.insert_all("network.", self.network.state());
    }

    fn restore(&mut self, state: &TrainingState) -> Result<()> {
        Ok(state.copy_into("network.", &self.network.state())?)
    }
}
