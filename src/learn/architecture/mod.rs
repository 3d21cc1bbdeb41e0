//! What users write as `network:`; from it comes the graph.

pub(crate) mod architecture_checks;
pub(crate) mod cifar_resnet;
pub(crate) mod custom_graph;
pub(crate) mod efficientnet;
pub(crate) mod efficientnet_lite;
pub mod families;
pub(crate) mod head;
pub(crate) mod inverted_residual;
pub(crate) mod mobilenet_v2;
pub(crate) mod mobilenet_v3;
pub mod preprocessing;
pub(crate) mod resnet;
pub(crate) mod vision_transformer;

use schemars::JsonSchema;
use seedpipe_base::Refusal;
use serde::{Deserialize, Serialize};

use crate::architecture::architecture_checks::impossible;
use crate::architecture::custom_graph::GraphDescription;
use crate::architecture::families::Choices;
pub use crate::architecture::families::names;
pub use seedpipe_base::Filter;

pub use crate::architecture::preprocessing::{CropOrder, Preprocessing};
use crate::graph::graph_builder::GraphBuilder;
use crate::graph::{Graph, Initial, NodeId};

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
    /// A batch norm behind the last layer too, as in SimCLR: with a scale and no offset, after a
    /// layer without bias. None by default.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last_batch_norm: bool,
}

impl Head {
    /// Without batch norms.
    pub fn new(hidden: Vec<i64>, out: i64) -> Self {
        Self {
            hidden,
            out,
            batch_norm: false,
            last_batch_norm: false,
        }
    }
}

/// A network by name, with what can be chosen about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// `cifar_resnet20`, `resnet18` … (all of [`names`]); none beside `graph`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(extend("enum" = names()))]
    pub name: String,
    /// A network of the user's own, in place of a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph: Option<GraphDescription>,
    /// Factor on every channel count, rounded as the family does; on the number of heads in a
    /// vision transformer.
    #[serde(default = "one")]
    pub width: f64,
    /// First layers of a `resnetNN`; default `imagenet`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stem: Option<Stem>,
    /// Of a `cifar_resnetNN`; default `a`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortcut: Option<Shortcut>,
    /// Side in pixels of the square images that a vision transformer's position embedding is for;
    /// the images may be of another size. Default 224, for DINOv2 518.
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

/// Features, their length, logits.
type Ends = (NodeId, i64, Option<NodeId>);

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

    /// The network as data. Fails where [`Architecture::validate`] does.
    pub fn graph(&self) -> Result<Graph, Refusal> {
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

    fn family_graph(&self, graph: &mut GraphBuilder) -> Result<Ends, Refusal> {
        let family = self.checked_family()?;
        let choices = Choices {
            width: self.width,
            stem: self.stem,
            shortcut: self.shortcut,
            position_size: self.position_size,
        };
        let (features, length) = family.backbone(graph, &choices);
        let logits = self.classes.map(|classes| {
            let (name, initial) = family.classifier();
            let ends = family.before_classifier(graph, (features, length), self.width);
            graph.linear(name, ends.0, ends.1, classes, initial)
        });
        Ok((features, length, logits))
    }

    fn own_graph(
        &self,
        graph: &mut GraphBuilder,
        description: &GraphDescription,
    ) -> Result<Ends, Refusal> {
        let chosen = [
            ("name", !self.name.is_empty()),
            ("width", self.width != 1.0),
            ("stem", self.stem.is_some()),
            ("shortcut", self.shortcut.is_some()),
            ("position_size", self.position_size.is_some()),
        ];
        if let Some((key, _)) = chosen.into_iter().find(|(_, chosen)| *chosen) {
            let hint = format!("a `graph` says everything itself; leave `{key}` out");
            return Err(impossible(key, "none beside `graph`", "one", hint));
        }
        self.check_ends()?;
        let (features, length) = custom_graph::backbone(graph, description)?;
        let logits = self
            .classes
            .map(|classes| graph.linear("classifier", features, length, classes, Initial::Uniform));
        Ok((features, length, logits))
    }

    /// Height and width of images that its widths are worked out for: a family pools over the whole
    /// image, so any size that is large enough gives the same.
    pub(crate) fn size(&self) -> [i64; 2] {
        [self.graph.as_ref().map_or(256, |graph| graph.size); 2]
    }

    /// Length of the features, at the size that it is described for.
    pub fn feature_dimension(&self) -> Result<i64, Refusal> {
        let graph = self.graph()?;
        graph.length(graph.features(), self.size())
    }

    /// Length of what distillation compares: of the head's output, else of the features.
    pub fn embedding_dimension(&self) -> Result<i64, Refusal> {
        let graph = self.graph()?;
        let compared = graph.embedding().unwrap_or(graph.features());
        graph.length(compared, self.size())
    }

    /// As the family's published weights want it; at 32 pixels and uncropped for networks made for
    /// small images.
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
        match families::find(&self.name) {
            Some(family) => family.preprocessing(),
            None => Preprocessing::default(),
        }
    }
}

#[cfg(test)]
#[path = "architecture_tests.rs"]
mod tests;
