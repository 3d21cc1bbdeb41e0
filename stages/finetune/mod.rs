//! `finetune`: supervised training of a whole network, by labels, by teachers' soft labels
//! (Hinton's distillation, arXiv 1503.02531), or both: alpha · T² · KL(teachers ‖ student) + (1 −
//! alpha) · cross-entropy.
//!
//! What teachers say comes from stored embeddings: a network's features under a probe's classifier,
//! or the logits of a network with its own, such as another `finetune` stage's. Several teachers'
//! probabilities are averaged.
//!
//! Version log: 1 first, 2 neither ties nor intervals hang on the classes' numbers, 3 balanced
//! accuracy and macro F1, and intervals of every share.

mod learner;
mod work;

pub use learner::SupervisedLearner;

use schemars::JsonSchema;
use seedpipe_artifact::{EMBEDDINGS, IMAGES, METRICS, PREDICTIONS, VIEWS, WEIGHTS};
use seedpipe_base::Refusal;
use seedpipe_engine::{Arity, Column, InputKinds, InputSlot, OutputSlot, Purpose, Stage, Training};
use seedpipe_learn::architecture::{Architecture, Preprocessing};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::judging::soft_labels::{CLASSIFIER, FEATURES, LOGITS};
use crate::shared::invalid::{fraction, invalid, temperature};
use crate::shared::network_artifact::validate_architecture;
use crate::training::{HOW, TrainingOptions};

/// Supervised training from the weights of the input `weights`, or from scratch.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Finetune {
    /// The architecture when training from scratch.
    #[serde(default)]
    pub network: Option<Architecture>,
    /// Share of the soft labels in the loss, 0 to 1; default 0: labels alone. Above 0 it needs
    /// teachers: `teacher_features` and `teacher_classifier` (lists of equal length, in pairs), or
    /// `teacher_logits`, or both; all count the same.
    #[serde(default)]
    pub alpha: f64,
    /// Temperature that the logits of teachers and student are divided by for the soft labels;
    /// default 4.
    #[serde(default = "default_temperature")]
    pub temperature: f64,
    /// Share of the labelled images whose labels are used, above 0 to 1, class balanced; default 1.
    #[serde(default = "crate::shared::selection::all_labels")]
    pub label_fraction: f64,
    /// Trains on the viewed images without a label in that share too, by the soft labels alone
    /// (default: no); images of `test_split` and of a split `val` stay out. Both terms are divided
    /// by the batch's size, so that a label counts the same however few there are; with few, most
    /// of what is learned comes from the soft labels. Needs `alpha` above 0.
    #[serde(default)]
    pub unlabelled: bool,
    /// Share of a label that is spread evenly over all classes, 0 to below 1; default 0. Soft
    /// labels stay as they are.
    #[serde(default)]
    pub label_smoothing: f64,
    /// Mixes each image of a batch, with its hard and soft labels, with another's: by a weight from
    /// Beta(mixup, mixup), drawn anew in each step for the whole batch; usual are 0.1 to 0.4. None
    /// by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixup: Option<f64>,
    /// Keeps the first layers as they are, their batch norms' statistics too. Nothing by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze: Option<Freeze>,
    /// What the learning rate is multiplied by for each block further from the classifier (BEiT,
    /// arXiv 2106.08254): 0.75 trains the first layers little, 1 all alike. Above 0 to 1; 1 by
    /// default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_decay: Option<f64>,
    /// The split that is trained on; it must be the one that was viewed.
    #[serde(default = "crate::shared::selection::train_split")]
    pub train_split: String,
    /// The split that is evaluated at the end.
    #[serde(default = "crate::shared::selection::test_split")]
    pub test_split: String,
    #[serde(default)]
    pub training: TrainingOptions,
    /// What the network wants done to an image when training from scratch.
    #[serde(default)]
    pub preprocessing: Option<Preprocessing>,
}

/// Layers that are not trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// The stem and that many blocks after it: residual or inverted residual blocks, a
    /// transformer's layers. 0: the stem alone; as many as the network has: all but the classifier.
    pub blocks: usize,
}

fn default_temperature() -> f64 {
    4.0
}

impl Stage for Finetune {
    const KIND: &'static str = "finetune";
    const VERSION: u32 = 4;
    const INPUTS: &'static [InputSlot] = &[
        InputSlot::new("images", &[IMAGES], Arity::One),
        InputSlot::new("views", &[VIEWS], Arity::One),
        InputSlot::new("weights", &[WEIGHTS], Arity::Optional),
        InputSlot::new(FEATURES, &[EMBEDDINGS], Arity::ListedOrNone),
        InputSlot::new(CLASSIFIER, &[WEIGHTS], Arity::ListedOrNone),
        InputSlot::new(LOGITS, &[EMBEDDINGS], Arity::ListedOrNone),
    ];
    const OUTPUTS: &'static [OutputSlot] = &[
        OutputSlot::new("weights", WEIGHTS),
        OutputSlot::new("metrics", METRICS),
        OutputSlot::new("predictions", PREDICTIONS),
    ];
    const TENSORS: bool = true;
    const PRECISION: Option<&'static str> = Some("training.precision");
    const HOW: &'static [&'static str] = HOW;
    const HEADLINE: &'static [&'static str] =
        &["top1", "top5", "balanced_accuracy", "macro_f1", "loss"];
    const COLUMNS: &'static [Column] = &[
        Column::new("top1", "fine-tuned top-1"),
        Column::new("balanced_accuracy", "fine-tuned balanced"),
        Column::new("macro_f1", "fine-tuned macro F1"),
    ];

    fn validate(&self, inputs: &InputKinds) -> Result<(), Refusal> {
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
        self.check_labels()?;
        self.check_teachers(inputs)?;
        if let Some(decay) = self.layer_decay
            && !(decay > 0.0 && decay <= 1.0)
        {
            return Err(invalid(
                "layer_decay",
                "above 0 and at most 1",
                decay,
                "0.65 to 0.9 are usual for transformers",
            ));
        }
        self.training.validate()
    }

    fn purpose(&self) -> Purpose {
        const BOTH: &str = "labels and soft labels";
        let (way, loss, teachers): (_, _, &[&str]) = match self.alpha > 0.0 {
            true => (BOTH, BOTH, &[FEATURES, LOGITS]),
            false => ("labels alone", "labels", &[]),
        };
        Purpose::Training(Training {
            way: way.to_owned(),
            loss: loss.to_owned(),
            teachers,
            network: Value::Null,
        })
    }
}

impl Finetune {
    fn check_labels(&self) -> Result<(), Refusal> {
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
        if !(0.0..1.0).contains(&self.label_smoothing) {
            return Err(invalid(
                "label_smoothing",
                "from 0 to below 1",
                self.label_smoothing,
                "0.1 is usual",
            ));
        }
        match self.mixup {
            Some(mixup) if !(mixup > 0.0 && mixup.is_finite()) => Err(invalid(
                "mixup",
                "a number above 0",
                mixup,
                "leave the key out for no mixup; 0.2 is usual",
            )),
            _ => Ok(()),
        }
    }

    fn check_teachers(&self, inputs: &InputKinds) -> Result<(), Refusal> {
        let (features, classifiers) = (inputs.count(FEATURES), inputs.count(CLASSIFIER));
        if features != classifiers {
            let count = |count| match count {
                1 => "1 classifier".to_owned(),
                count => format!("{count} classifiers"),
            };
            return Err(invalid(
                &format!("inputs.{CLASSIFIER}"),
                &format!("{}, one for each of `{FEATURES}`", count(features)),
                classifiers,
                "a teacher is an `encode` stage with the `probe` stage on it, in the order of the lists; one with its own classifier is `teacher_logits`",
            ));
        }
        let teachers = features + inputs.count(LOGITS);
        if self.alpha > 0.0 && teachers == 0 {
            return Err(invalid(
                "alpha",
                "0 without a teacher",
                self.alpha,
                "connect `teacher_features` (an `encode` stage) and `teacher_classifier` (a `probe` stage on it), or `teacher_logits`",
            ));
        }
        if self.unlabelled && self.alpha == 0.0 {
            return Err(invalid(
                "unlabelled",
                "false without soft labels",
                "true with `alpha: 0`",
                "an image without a label is learned from by a teacher alone: set `alpha`",
            ));
        }
        Ok(())
    }
}
