//! `distill`: self-supervised distillation on stored targets. By default SEED (arXiv 2101.04731):
//! the student learns to spread its similarities over a queue of teacher embeddings as the teacher
//! does; `objective` names what it is compared with. Student and teacher saw the very same views,
//! unless `augmentation` says otherwise. Of several teachers the embeddings are concatenated, each
//! of equal weight: their similarity is the mean of the teachers' own.
//!
//! This file declares; `work` puts the parts together, `learner` does a step, each objective is a
//! file in `objectives`. `targets` reads the teachers' rows; `temperature` is a number that may move;
//! small views (multi-crop) have a comparison of their own.
//!
//! Version log: 1 first.

mod learner;
mod objectives;
mod targets;
mod temperature;
mod work;

use std::fmt::Display;

use schemars::JsonSchema;
use seedpipe_artifact::{EMBEDDINGS, IMAGES, METRICS, VIEWS, WEIGHTS};
use seedpipe_base::Refusal;
use seedpipe_engine::{Arity, InputKinds, InputSlot, OutputSlot, Purpose, Stage, Training};
use seedpipe_learn::architecture::{Architecture, Preprocessing};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::shared::invalid::{Counted, count, invalid};
use crate::shared::network_artifact::validate_architecture;
use crate::shared::objectives::{Chosen, Objectives, flat};
use crate::shared::written::Written;
use crate::training::{HOW, TrainingOptions};
use objectives::{Objective, StudentOutput};

/// Self-supervised distillation of a student from stored teacher embeddings.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Distill {
    /// The student's architecture, without a head. With the input `weights` it begins from these,
    /// which are of the same architecture; else from nothing.
    pub network: Architecture,
    /// Hidden widths of the student's head, which ends in the teacher's dimension (`kmeans`: in the
    /// number of clusters) and is thrown away afterwards: `[]` is linear; default: one hidden layer
    /// as wide as the features.
    #[serde(default)]
    pub head_hidden: Option<Vec<i64>>,
    /// `false`: no head, the features themselves are compared. Default `false` for `compress`,
    /// `true` for the others, which without one need as many features as the teacher's embedding
    /// has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<bool>,
    #[serde(flatten, skip_deserializing)]
    #[schemars(!skip_deserializing)]
    objective: Chosen<Objective>,
    /// With the inputs `small_views` and `small_targets`: small views of a sample in a batch,
    /// default 6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub small_crops: Option<usize>,
    /// `shared` (default): the target is of the view that the student sees; `independent`: of the
    /// image's next view.
    #[serde(default)]
    pub augmentation: Augmentation,
    #[serde(default)]
    pub training: Written<TrainingOptions>,
    /// What the student wants done to an image; default: its architecture's, at the views' size.
    #[serde(default)]
    pub preprocessing: Option<Preprocessing>,
}

flat!(Distill);

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

impl Stage for Distill {
    const KIND: &'static str = "distill";
    const VERSION: u32 = 1;
    const INPUTS: &'static [InputSlot] = &[
        InputSlot::new("images", &[IMAGES], Arity::One),
        InputSlot::new("views", &[VIEWS], Arity::One),
        InputSlot::new("targets", &[EMBEDDINGS], Arity::Listed),
        InputSlot::new("small_views", &[VIEWS], Arity::Optional),
        InputSlot::new("small_targets", &[EMBEDDINGS], Arity::Optional),
        InputSlot::new("weights", &[WEIGHTS], Arity::Optional),
    ];
    const OUTPUTS: &'static [OutputSlot] = &[
        OutputSlot::new("weights", WEIGHTS),
        OutputSlot::new("metrics", METRICS),
    ];
    const TENSORS: bool = true;
    const PRECISION: Option<&'static str> = Some("training.precision");
    const HOW: &'static [&'static str] = HOW;
    const HEADLINE: &'static [&'static str] = &["loss"];

    /// The objective's own numbers have their defaults.
    fn with_defaults(mut self, inputs: &InputKinds) -> Self {
        if self.objective.has_small_views() && inputs.connected("small_views") {
            self.small_crops.get_or_insert(6);
        }
        if !self.objective.is_default() {
            self.head = Some(self.has_head());
        }
        self.training.fill(self.objective.training());
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
        if let Some((key, got)) = self.objective.foreign() {
            return Err(self.refused(key, got, |objective| objective.keys().contains(key)));
        }
        self.check_head()?;
        self.check_small_views(inputs)?;
        self.training.validate()?;
        self.objective.validate(self.training.batch)
    }

    fn purpose(&self) -> Purpose {
        let way = match self.objective.paper() {
            Some(paper) => paper.to_owned(),
            None => format!("distilled by {}", self.objective.name()),
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

    /// A number that would be without effect.
    ///
    /// - `has`: whether it is one of an objective's
    fn refused(&self, key: &str, got: impl Display, has: impl Fn(&Objective) -> bool) -> Refusal {
        let name = self.objective.name();
        let owners = Objective::those(has);
        invalid(
            key,
            &format!("nothing, since objective `{name}` doesn't have it"),
            got,
            &format!(
                "leave the key out, or take an objective that has it: {}",
                owners.join(", ")
            ),
        )
    }

    /// Whether the student has a head while it learns.
    fn has_head(&self) -> bool {
        let output = self.objective.output();
        self.head.unwrap_or(output != StudentOutput::Any)
    }

    fn check_head(&self) -> Result<(), Refusal> {
        let may_lack =
            |objective: &Objective| !matches!(objective.output(), StudentOutput::Logits(_));
        if self.head == Some(false) && !may_lack(&self.objective) {
            return Err(self.refused("head", false, may_lack));
        }
        match &self.head_hidden {
            Some(_) if !self.has_head() => Err(invalid(
                "head_hidden",
                "nothing, since the student has no head",
                "widths",
                "leave the key out, or set `head: true`",
            )),
            Some(widths) => widths.iter().try_for_each(|&width| {
                let width = u64::try_from(width).unwrap_or_default();
                count("head_hidden", width, 1, Counted::AtOnce)
            }),
            None => Ok(()),
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
                    "connect `{lacks}`: an `augment` stage with `recipe: seed_small`, and the `encode` of its views"
                ),
            ));
        }
        let may_have = |objective: &Objective| objective.has_small_views();
        match self.small_crops {
            None if !connected.0 => Ok(()),
            None => Err(self.refused("small_crops", "small views", may_have)),
            Some(crops) if connected.0 && !may_have(&self.objective) => {
                Err(self.refused("small_crops", crops, may_have))
            }
            Some(crops) if connected.0 => {
                count("small_crops", crops as u64, 1, Counted::AtOnce)?;
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

#[cfg(test)]
mod tests {
    use seedpipe_engine::Stage;
    use serde_json::{Value, json};

    use super::*;

    fn filled(params: Value) -> Value {
        let mut all = json!({ "network": { "name": "cifar_resnet8" } });
        all.as_object_mut()
            .unwrap()
            .extend(params.as_object().unwrap().clone());
        let stage: Distill = serde_json::from_value(all).unwrap();
        let stage = stage.with_defaults(&InputKinds::default());
        stage.validate(&InputKinds::default()).unwrap();
        serde_json::to_value(&stage).unwrap()
    }

    #[test]
    fn compress_is_trained_by_its_own_numbers_and_the_others_by_seeds() {
        let compress = filled(json!({ "objective": "compress" }));
        assert_eq!(compress["queue"], 128_000);
        let block = &compress["training"];
        assert_eq!(
            (&block["epochs"], &block["learning_rate"]),
            (&json!(130), &json!(0.01))
        );
        assert_eq!(block["optimiser"]["weight_decay"], 1e-4);
        assert_eq!(
            block["schedule"],
            json!({ "kind": "steps", "epochs": [90, 120], "factor": 0.2, "warmup_epochs": 0.0, "per": "step" })
        );
        let seed = filled(json!({}));
        assert_eq!(
            (
                &seed["training"]["epochs"],
                &seed["training"]["learning_rate"]
            ),
            (&json!(200), &json!(0.03))
        );
        for objective in Objective::all() {
            let name = objective.name();
            let own = filled(json!({ "objective": name }));
            assert_eq!(
                own["training"] == seed["training"],
                name != "compress",
                "{name}"
            );
        }
    }

    #[test]
    fn a_recipe_of_compress_that_writes_its_numbers_is_the_one_that_it_was() {
        let block = json!({ "epochs": 10, "batch": 64, "learning_rate": 0.03, "threads": 1, "schedule": { "kind": "cosine" } });
        let written = |objective: &str| {
            filled(json!({ "objective": objective, "queue": 4096, "training": block }))["training"]
                .clone()
        };
        assert_eq!(written("compress"), written("seed"));
    }
}
