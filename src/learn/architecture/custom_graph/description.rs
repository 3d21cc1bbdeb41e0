//! What users write under `graph:`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a node of a user's graph computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// `outputs`, `kernel` (default 3), `stride` (1), `padding` (half the kernel), `groups` (1),
    /// `bias` (false).
    Convolution,
    /// Each channel by itself: `kernel` (3), `stride` (1), `padding`.
    Depthwise,
    BatchNorm,
    LayerNorm,
    Relu,
    Relu6,
    Hardswish,
    Hardsigmoid,
    Sigmoid,
    Silu,
    Gelu,
    /// The sum of two nodes of one shape.
    Add,
    /// Channels weighted by the image's averages: `squeezed` channels between (a quarter by
    /// default).
    SqueezeExcite,
    /// `kernel` (3), `stride` (2), `padding`.
    MaxPool,
    /// The average of each channel, `[B, C]`.
    AveragePool,
    Flatten,
    /// `outputs`, `bias` (true).
    Linear,
    /// Pixels become tokens.
    Tokens,
    /// A trained class token before the tokens.
    ClassToken,
    /// Attention of `heads` among the tokens, with its projections `qkv` and `proj`.
    Attention,
    /// The first token.
    FirstToken,
}

/// One node; the keys that its operation has no use for must be left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeDescription {
    pub op: Step,
    /// State-dict prefix, and what `from` calls it; needed where the node has weights or is read by
    /// name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Names of the nodes that it reads; the node before it by default. `image` is the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub padding: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bias: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub squeezed: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heads: Option<i64>,
}

/// A graph of nodes; the last one is the features, `[B, D]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GraphDescription {
    /// Side in pixels of the images that it is for: layers after `flatten` are as wide as these make
    /// them, and take no others.
    #[serde(default = "default_size")]
    pub size: i64,
    pub nodes: Vec<NodeDescription>,
}

fn default_size() -> i64 {
    224
}
