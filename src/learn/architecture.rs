//! What users write as `network:`; from it comes the graph.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::custom_graph::{self, GraphDescription};
pub use crate::families::names;
use crate::families::{self, Choices, FAMILIES, Family, nearest};
use crate::graph::{Graph, Initial, NodeId};
use crate::graph_builder::GraphBuilder;
use crate::head;
pub use crate::preprocessing::{Crop, Filter, Preprocessing};

/// The first layers of a ResNet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stem {
    /// 7×7 convolution of stride 2, then a max pool of stride 2.
    Imagenet,
    /// 3×3 convolution of stride 1, no pool: for images of about 32 pixels.
    Cifar,
}

/// How a CIFAR ResNet's block of other width passes its input on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shortcut {
    /// Subsample and pad with zero channels.
    A,
    /// 1×1 convolution and batch norm.
    B,
}

/// Linear layers with ReLU between, after the features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Widths of the hidden layers; none makes the head one linear layer.
    #[serde(default)]
    pub hidden: Vec<i64>,
    /// Length of the embedding.
    pub out: i64,
    /// A batch norm between each hidden layer and its ReLU, as in SwAV and SimCLR; none by default.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub batch_norm: bool,
}

/// A network by name, with what can be chosen about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// `cifar_resnet20`, `resnet18` … (all of [`names`]); none beside `graph`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// A network of the user's own, in place of a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph: Option<GraphDescription>,
    /// Factor on every channel count, rounded as the family does; on the number of heads in a vision transformer.
    #[serde(default = "one")]
    pub width: f64,
    /// First layers of a `resnetNN`; default `imagenet`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stem: Option<Stem>,
    /// Of a `cifar_resnetNN`; default `a`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortcut: Option<Shortcut>,
    /// Side in pixels of the square images that a vision transformer's position embedding is for; the images may be of
    /// another size. Default 224, for DINOv2 518.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position_size: Option<i64>,
    /// Outputs of a linear classifier on the features; none by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<i64>,
    /// Embedding head on the features; none by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
}

fn one() -> f64 {
    1.0
}

/// An impossible description; `key` is the field, so that a stage can name the place.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("`{key}`: expected {expected}, got {got}{}", hint_line(.hint))]
pub struct ArchitectureError {
    pub key: &'static str,
    pub expected: String,
    pub got: String,
    pub hint: String,
}

fn hint_line(hint: &str) -> String {
    if hint.is_empty() {
        String::new()
    } else {
        format!("\nhint: {hint}")
    }
}

impl ArchitectureError {
    pub(crate) fn new(
        key: &'static str,
        expected: impl Into<String>,
        got: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            key,
            expected: expected.into(),
            got: got.into(),
            hint: hint.into(),
        }
    }
}

/// Features, their length, logits.
type Ends = (NodeId, i64, Option<NodeId>);

/// Largest length of any layer that a description may ask for.
const LARGEST_LENGTH: i64 = 1 << 20;

impl Architecture {
    /// The network of that name with everything else at its default.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            graph: None,
            width: 1.0,
            stem: None,
            shortcut: None,
            position_size: None,
            classes: None,
            head: None,
        }
    }

    /// Without the embedding head; the names lose `backbone.`.
    pub fn without_head(&self) -> Self {
        Self {
            head: None,
            ..self.clone()
        }
    }

    /// Without head and classifier.
    pub fn backbone(&self) -> Self {
        Self {
            head: None,
            classes: None,
            ..self.clone()
        }
    }

    pub fn validate(&self) -> Result<(), ArchitectureError> {
        match self.graph {
            Some(_) => self.graph().map(|_| ()),
            None => self.checked_family().map(|_| ()),
        }
    }

    fn checked_family(&self) -> Result<Family, ArchitectureError> {
        let Some((_, family)) = FAMILIES.iter().find(|(name, _)| *name == self.name) else {
            let hint = match nearest(&self.name) {
                Some(name) => format!("did you mean `{name}`?"),
                None => String::new(),
            };
            let expected = format!("one of {}", names().join(", "));
            return Err(ArchitectureError::new(
                "name",
                expected,
                format!("`{}`", self.name),
                hint,
            ));
        };
        if !(self.width > 0.0 && self.width <= 16.0) {
            return Err(ArchitectureError::new(
                "width",
                "a factor above 0 and at most 16",
                self.width.to_string(),
                "",
            ));
        }
        self.check_choices(family)?;
        self.check_ends()?;
        Ok(*family)
    }

    /// Refuses impossible lengths of classifier and head.
    fn check_ends(&self) -> Result<(), ArchitectureError> {
        let length = |key, length: i64| {
            if (1..=LARGEST_LENGTH).contains(&length) {
                return Ok(());
            }
            Err(ArchitectureError::new(
                key,
                format!("1 to {LARGEST_LENGTH}"),
                length.to_string(),
                "",
            ))
        };
        if let Some(classes) = self.classes {
            length("classes", classes)?;
        }
        if let Some(head) = &self.head {
            length("head.out", head.out)?;
            for &hidden in &head.hidden {
                length("head.hidden", hidden)?;
            }
        }
        Ok(())
    }

    /// Refuses what a family does not leave to choose.
    fn check_choices(&self, family: &Family) -> Result<(), ArchitectureError> {
        let refused = |key, got: &str, what: &str| {
            let hint = format!("`{}` has {what}; leave `{key}` out", self.name);
            Err(ArchitectureError::new(key, "none", got, hint))
        };
        if self.stem.is_some() && !matches!(family, Family::ResNet(_)) {
            return refused("stem", "a stem", "one stem");
        }
        if self.shortcut.is_some() && !matches!(family, Family::CifarResNet { .. }) {
            return refused("shortcut", "a shortcut", "one kind of shortcut");
        }
        let Some(size) = self.position_size else {
            return Ok(());
        };
        let Family::VisionTransformer(network) = family else {
            return refused("position_size", "a size", "no position embedding");
        };
        if !(network.patch..=4096).contains(&size) || size % network.patch != 0 {
            return Err(ArchitectureError::new(
                "position_size",
                format!("a multiple of the patch, {}, up to 4096", network.patch),
                size.to_string(),
                "",
            ));
        }
        Ok(())
    }

    /// The network as data. Fails where [`Architecture::validate`] does.
    pub fn graph(&self) -> Result<Graph, ArchitectureError> {
        let mut graph = GraphBuilder::new(if self.head.is_some() { "backbone." } else { "" });
        let (features, length, logits) = match &self.graph {
            Some(description) => self.own_graph(&mut graph, description)?,
            None => self.family_graph(&mut graph)?,
        };
        graph.set_prefix("");
        let embedding = self
            .head
            .as_ref()
            .map(|head| head::append(&mut graph, head, features, length));
        Ok(graph.finish(features, logits, embedding))
    }

    fn family_graph(&self, graph: &mut GraphBuilder) -> Result<Ends, ArchitectureError> {
        let family = self.checked_family()?;
        let choices = Choices {
            width: self.width,
            stem: self.stem,
            shortcut: self.shortcut,
            position_size: self.position_size,
        };
        let (features, length) = family.backbone(graph, &choices);
        let logits = self
            .classes
            .map(|classes| family.classifier(graph, features, length, self.width, classes));
        Ok((features, length, logits))
    }

    fn own_graph(
        &self,
        graph: &mut GraphBuilder,
        description: &GraphDescription,
    ) -> Result<Ends, ArchitectureError> {
        let chosen = [
            ("name", !self.name.is_empty()),
            ("width", self.width != 1.0),
            ("stem", self.stem.is_some()),
            ("shortcut", self.shortcut.is_some()),
            ("position_size", self.position_size.is_some()),
        ];
        if let Some((key, _)) = chosen.into_iter().find(|(_, chosen)| *chosen) {
            let hint = format!("a `graph` says everything itself; leave `{key}` out");
            return Err(ArchitectureError::new(
                key,
                "none beside `graph`",
                "one",
                hint,
            ));
        }
        self.check_ends()?;
        let (features, length) = custom_graph::backbone(graph, description)?;
        let logits = self
            .classes
            .map(|classes| graph.linear("classifier", features, length, classes, Initial::Uniform));
        Ok((features, length, logits))
    }

    /// Length of the features.
    pub fn feature_dimension(&self) -> Result<i64, ArchitectureError> {
        let graph = self.graph()?;
        Ok(graph.length(graph.features()))
    }

    /// Length of what distillation compares: of the head's output, else of the features.
    pub fn embedding_dimension(&self) -> Result<i64, ArchitectureError> {
        let graph = self.graph()?;
        Ok(graph.length(graph.embedding().unwrap_or(graph.features())))
    }

    /// As the family's published weights want it; at 32 pixels and uncropped for networks made for small images.
    pub fn default_preprocessing(&self) -> Preprocessing {
        if self.stem == Some(Stem::Cifar) {
            return families::small_images();
        }
        if let Some(graph) = &self.graph {
            let size = u32::try_from(graph.size).unwrap_or(224);
            return Preprocessing {
                size,
                crop_ratio: if size < 96 { 1.0 } else { 0.875 },
                ..Preprocessing::default()
            };
        }
        match FAMILIES.iter().find(|(name, _)| *name == self.name) {
            Some((_, family)) => family.preprocessing(),
            None => Preprocessing::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_graph() {
        for name in names() {
            let graph = Architecture {
                classes: Some(10),
                ..Architecture::named(name)
            }
            .graph()
            .unwrap();
            assert_eq!(graph.length(graph.logits().unwrap()), 10, "{name}");
        }
    }

    #[test]
    fn counts_agree_with_the_papers() {
        let cifar = Architecture {
            classes: Some(10),
            ..Architecture::named("cifar_resnet20")
        }
        .graph()
        .unwrap();
        assert_eq!(cifar.parameter_count(), 269_722);
        assert_eq!(cifar.multiply_adds(32, 32), 40_551_040);
        let resnet50 = Architecture {
            classes: Some(1000),
            ..Architecture::named("resnet50")
        }
        .graph()
        .unwrap();
        assert_eq!(resnet50.parameter_count(), 25_557_032);
        assert_eq!(resnet50.multiply_adds(224, 224), 4_089_184_256);
    }

    #[test]
    fn published_weights_look_through_pillow_and_cifars_do_not() {
        let of = |name: &str| Architecture::named(name).default_preprocessing();
        assert_eq!(of("resnet50"), Preprocessing::imagenet());
        assert_eq!(of("dino_vits16").filter, Filter::PillowBicubic);
        assert_eq!(of("efficientnet_b0").crop, Crop::AfterResize);
        let lite = of("efficientnet_lite0");
        assert_eq!(
            (lite.crop, lite.filter),
            (Crop::BeforeResize, Filter::PillowBicubic)
        );
        assert_eq!(of("cifar_resnet20").filter, Filter::Bilinear);
    }

    #[test]
    fn a_width_factor_scales_and_rounds_channels() {
        let narrow = Architecture {
            width: 0.5,
            ..Architecture::named("cifar_resnet8")
        };
        assert_eq!(narrow.feature_dimension(), Ok(32));
        let odd = Architecture {
            width: 0.3,
            ..Architecture::named("cifar_resnet8")
        };
        assert_eq!(odd.feature_dimension(), Ok(19));
        assert_eq!(odd.graph().unwrap().state()[0].shape, [5, 3, 3, 3]);
    }

    #[test]
    fn a_head_moves_the_backbone_under_its_own_prefix() {
        let head = Head {
            hidden: vec![256],
            out: 64,
            batch_norm: false,
        };
        let architecture = Architecture {
            head: Some(head),
            ..Architecture::named("cifar_resnet8")
        };
        let names: Vec<String> = architecture
            .graph()
            .unwrap()
            .state()
            .into_iter()
            .map(|spec| spec.name)
            .collect();
        assert_eq!(names[0], "backbone.conv1.weight");
        assert_eq!(
            names[names.len() - 4..],
            [
                "head.0.weight",
                "head.0.bias",
                "head.2.weight",
                "head.2.bias"
            ]
        );
        assert_eq!(architecture.embedding_dimension(), Ok(64));
        assert_eq!(architecture.feature_dimension(), Ok(64));
        let linear = Architecture {
            head: Some(Head {
                hidden: vec![],
                out: 16,
                batch_norm: false,
            }),
            ..Architecture::named("resnet18")
        };
        assert_eq!(
            linear.graph().unwrap().state().last().unwrap().name,
            "head.bias"
        );
    }

    #[test]
    fn impossible_descriptions_are_refused_with_key_and_remedy() {
        let refused = |text: &str| {
            let architecture: Architecture = serde_json::from_str(text).unwrap();
            architecture.validate().unwrap_err()
        };
        let unknown = refused(r#"{"name": "resnet-19"}"#);
        assert_eq!(
            (unknown.key, unknown.hint.as_str()),
            ("name", "did you mean `resnet18`?")
        );
        assert!(unknown.to_string().contains("wide_resnet50_2"));
        assert_eq!(refused(r#"{"name": "resnet18", "width": 0}"#).key, "width");
        assert_eq!(
            refused(r#"{"name": "resnet18", "shortcut": "a"}"#).key,
            "shortcut"
        );
        assert_eq!(
            refused(r#"{"name": "cifar_resnet20", "stem": "cifar"}"#).key,
            "stem"
        );
        assert_eq!(
            refused(r#"{"name": "resnet18", "classes": 0}"#).key,
            "classes"
        );
        assert_eq!(
            refused(r#"{"name": "resnet18", "head": {"hidden": [0], "out": 1}}"#).key,
            "head.hidden"
        );
        assert!(
            serde_json::from_str::<Architecture>(r#"{"name": "resnet18", "depth": 3}"#).is_err()
        );
    }
}
