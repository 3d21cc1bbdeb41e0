//! A network that users write down themselves: `network: {graph: {nodes: […]}}`, by the same operations as the families.
//!
//! A node reads the one before it unless it says `from`; channel counts follow from what it reads. Everything wrong is said
//! with the node's number and name.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::architecture::ArchitectureError;
use crate::graph::{Activation, Convolution, Initial, NodeId, Operation};
use crate::graph_builder::{GraphBuilder, NORM};

/// What a node of a user's graph computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// `outputs`, `kernel` (default 3), `stride` (1), `padding` (half the kernel), `groups` (1), `bias` (false).
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
    /// Channels weighted by the image's averages: `squeezed` channels between (a quarter by default).
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
    /// State-dict prefix, and what `from` calls it; needed where the node has weights or is read by name.
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
    /// Side in pixels of the images that shapes are checked with.
    #[serde(default = "default_size")]
    pub size: i64,
    pub nodes: Vec<NodeDescription>,
}

fn default_size() -> i64 {
    224
}

const MOST_NODES: usize = 10_000;
const LARGEST: i64 = 1 << 16;
const IMAGE: &str = "image";

struct Writer<'graph> {
    graph: &'graph mut GraphBuilder,
    named: BTreeMap<String, NodeId>,
    /// Shape of every node's result for one image of the checked size.
    shapes: Vec<Vec<i64>>,
}

/// Writes the user's graph down; returns the features and their length.
pub(crate) fn backbone(
    graph: &mut GraphBuilder,
    description: &GraphDescription,
) -> Result<(NodeId, i64), ArchitectureError> {
    let refused = |expected: &str, got: String| ArchitectureError::new("graph", expected, got, "");
    if !(1..=4096).contains(&description.size) {
        return Err(refused(
            "`size` of 1 to 4096 pixels",
            description.size.to_string(),
        ));
    }
    if !(1..=MOST_NODES).contains(&description.nodes.len()) {
        let expected = format!("1 to {MOST_NODES} nodes");
        return Err(refused(&expected, description.nodes.len().to_string()));
    }
    let image = graph.image();
    let mut writer = Writer {
        graph,
        named: BTreeMap::from([(IMAGE.to_owned(), image)]),
        shapes: vec![vec![3, description.size, description.size]],
    };
    let mut last = image;
    for (index, node) in description.nodes.iter().enumerate() {
        last = writer.write(node, last).map_err(|(expected, got)| {
            let place = format!("node {index} (`{}`): {got}", node.name);
            ArchitectureError::new("graph", expected, place, "")
        })?;
        if !node.name.is_empty() && writer.named.insert(node.name.clone(), last).is_some() {
            return Err(refused(
                "names that differ",
                format!("`{}` twice", node.name),
            ));
        }
    }
    match writer.shapes[last.0][..] {
        [length] => Ok((last, length)),
        ref shape => Err(ArchitectureError::new(
            "graph",
            "a last node of shape [D], the features",
            format!("{shape:?}"),
            "end with `average_pool`, `flatten` or `first_token`",
        )),
    }
}

/// What was expected, and what was got.
type Refusal = (String, String);

impl Writer<'_> {
    fn write(&mut self, node: &NodeDescription, before: NodeId) -> Result<NodeId, Refusal> {
        self.check_keys(node)?;
        let count = if node.op == Step::Add { 2 } else { 1 };
        let inputs = self.inputs(node, before, count)?;
        let input = inputs[0];
        let shape = self.shapes[input.0].clone();
        let name = node.name.as_str();
        let image = || match shape[..] {
            [channels, height, width] => Ok([channels, height, width]),
            _ => Err((
                "an input of shape [C, H, W]".to_owned(),
                format!("{shape:?}"),
            )),
        };
        let tokens = || match shape[..] {
            [count, length] => Ok([count, length]),
            _ => Err((
                "tokens of shape [N, C] as input".to_owned(),
                format!("{shape:?}"),
            )),
        };
        let last = shape.last().copied().unwrap_or(1);
        let activation = |activation| Operation::Activation(activation);
        match node.op {
            Step::Convolution | Step::Depthwise => {
                let [channels, ..] = image()?;
                let layer = self.convolution(node, channels)?;
                self.push(name, Operation::Convolution(layer), &[input])
            }
            Step::BatchNorm => {
                let operation = Operation::BatchNorm {
                    channels: shape[0],
                    epsilon: NORM.epsilon,
                    momentum: NORM.momentum,
                };
                if shape.len() == 2 {
                    return Err((
                        "an input of shape [C, H, W] or [C]".to_owned(),
                        format!("{shape:?}"),
                    ));
                }
                self.push(name, operation, &[input])
            }
            Step::LayerNorm => {
                if shape.len() == 3 {
                    return Err((
                        "tokens [N, C] or [C] as input".to_owned(),
                        format!("{shape:?}"),
                    ));
                }
                let operation = Operation::LayerNorm {
                    length: last,
                    epsilon: 1e-6,
                };
                self.push(name, operation, &[input])
            }
            Step::Relu => self.push("", activation(Activation::Relu), &[input]),
            Step::Relu6 => self.push("", activation(Activation::Relu6), &[input]),
            Step::Hardswish => self.push("", activation(Activation::Hardswish), &[input]),
            Step::Hardsigmoid => self.push("", activation(Activation::Hardsigmoid), &[input]),
            Step::Sigmoid => self.push("", activation(Activation::Sigmoid), &[input]),
            Step::Silu => self.push("", activation(Activation::Silu), &[input]),
            Step::Gelu => self.push("", activation(Activation::Gelu), &[input]),
            Step::Add => {
                let other = &self.shapes[inputs[1].0];
                if *other != shape {
                    return Err((
                        "two inputs of one shape".to_owned(),
                        format!("{shape:?} and {other:?}"),
                    ));
                }
                self.push("", Operation::Add, &inputs)
            }
            Step::SqueezeExcite => {
                let [channels, ..] = image()?;
                let squeezed = node.squeezed.unwrap_or((channels / 4).max(1));
                self.squeeze_excite(name, input, channels, squeezed)
            }
            Step::MaxPool => {
                let [_, height, width] = image()?;
                let kernel = node.kernel.unwrap_or(3);
                let operation = Operation::MaxPool {
                    kernel,
                    stride: node.stride.unwrap_or(2),
                    padding: node.padding.unwrap_or(kernel / 2).min(kernel / 2),
                };
                fits(kernel, node.padding.unwrap_or(kernel / 2), [height, width])?;
                self.push("", operation, &[input])
            }
            Step::AveragePool => {
                image()?;
                let pooled = self.push("", Operation::GlobalAveragePool, &[input])?;
                self.push("", Operation::Flatten, &[pooled])
            }
            Step::Flatten => self.push("", Operation::Flatten, &[input]),
            Step::Linear => {
                if shape.len() == 3 {
                    return Err((
                        "tokens [N, C] or [C] as input".to_owned(),
                        format!("{shape:?}"),
                    ));
                }
                let outputs = self.outputs(node)?;
                self.linear(name, input, [last, outputs], node.bias.unwrap_or(true))
            }
            Step::Tokens => {
                image()?;
                self.push("", Operation::Tokens, &[input])
            }
            Step::ClassToken => {
                let [_, length] = tokens()?;
                let operation = Operation::Parameter {
                    shape: vec![1, 1, length],
                    initial: Initial::Normal { deviation: 0.02 },
                };
                let token = self.push(name, operation, &[])?;
                self.push("", Operation::ConcatenateTokens, &[token, input])
            }
            Step::Attention => {
                let [_, length] = tokens()?;
                let heads = node.heads.unwrap_or(1);
                if length % heads != 0 {
                    return Err((
                        format!("`heads` that divide the {length} channels"),
                        heads.to_string(),
                    ));
                }
                let projected =
                    self.linear(&format!("{name}.qkv"), input, [length, 3 * length], true)?;
                let attended = self.push("", Operation::Attention { heads }, &[projected])?;
                self.linear(&format!("{name}.proj"), attended, [length, length], true)
            }
            Step::FirstToken => {
                tokens()?;
                self.push("", Operation::SelectToken { index: 0 }, &[input])
            }
        }
    }

    fn inputs(
        &self,
        node: &NodeDescription,
        before: NodeId,
        count: usize,
    ) -> Result<Vec<NodeId>, Refusal> {
        let mut inputs = vec![];
        for from in &node.from {
            let found = self.named.get(from).ok_or_else(|| {
                let expected = "`from` with names of earlier nodes, or `image`".to_owned();
                (expected, format!("`{from}`"))
            })?;
            inputs.push(*found);
        }
        // `add` may name the other summand alone.
        if inputs.len() + 1 == count {
            inputs.insert(0, before);
        }
        if inputs.len() != count {
            return Err((
                format!("`from` with {count} names"),
                inputs.len().to_string(),
            ));
        }
        Ok(inputs)
    }

    fn convolution(&self, node: &NodeDescription, channels: i64) -> Result<Convolution, Refusal> {
        let kernel = node.kernel.unwrap_or(3);
        let stride = node.stride.unwrap_or(1);
        let initial = Initial::KaimingNormalFanOut;
        let mut layer = match node.op {
            Step::Depthwise => Convolution::depthwise(channels, kernel, stride, initial),
            _ => Convolution::new(channels, self.outputs(node)?, kernel, stride, initial),
        };
        layer.padding = node.padding.unwrap_or(kernel / 2);
        layer.bias = node.bias.unwrap_or(false);
        layer.groups = node.groups.unwrap_or(layer.groups);
        if layer.inputs % layer.groups != 0 || layer.outputs % layer.groups != 0 {
            return Err((
                format!(
                    "`groups` that divide {} and {}",
                    layer.inputs, layer.outputs
                ),
                layer.groups.to_string(),
            ));
        }
        Ok(layer)
    }

    fn outputs(&self, node: &NodeDescription) -> Result<i64, Refusal> {
        node.outputs
            .ok_or_else(|| ("the key `outputs`".to_owned(), "none".to_owned()))
    }

    fn linear(
        &mut self,
        name: &str,
        input: NodeId,
        [inputs, outputs]: [i64; 2],
        bias: bool,
    ) -> Result<NodeId, Refusal> {
        let operation = Operation::Linear {
            inputs,
            outputs,
            bias,
            initial: Initial::Normal { deviation: 0.02 },
        };
        self.push(name, operation, &[input])
    }

    fn squeeze_excite(
        &mut self,
        name: &str,
        input: NodeId,
        channels: i64,
        squeezed: i64,
    ) -> Result<NodeId, Refusal> {
        let one_by_one = |inputs, outputs| {
            let layer = Convolution::new(inputs, outputs, 1, 1, Initial::KaimingNormalFanOut);
            Operation::Convolution(layer.with_bias())
        };
        let mut weight = self.push("", Operation::GlobalAveragePool, &[input])?;
        weight = self.push(
            &format!("{name}.fc1"),
            one_by_one(channels, squeezed),
            &[weight],
        )?;
        weight = self.push("", Operation::Activation(Activation::Relu), &[weight])?;
        weight = self.push(
            &format!("{name}.fc2"),
            one_by_one(squeezed, channels),
            &[weight],
        )?;
        weight = self.push(
            "",
            Operation::Activation(Activation::Hardsigmoid),
            &[weight],
        )?;
        self.push("", Operation::Multiply, &[input, weight])
    }

    /// Adds a node, and notes its shape.
    fn push(
        &mut self,
        name: &str,
        operation: Operation,
        inputs: &[NodeId],
    ) -> Result<NodeId, Refusal> {
        let shapes: Vec<&[i64]> = inputs
            .iter()
            .map(|input| &self.shapes[input.0][..])
            .collect();
        if let Operation::Convolution(layer) = &operation {
            fits(layer.kernel, layer.padding, [shapes[0][1], shapes[0][2]])?;
        }
        let shape = operation.shape(&shapes);
        let size = shape
            .iter()
            .try_fold(1_i64, |size, &length| size.checked_mul(length));
        if size.is_none_or(|size| size > 1 << 31) {
            return Err((
                "a result of at most 2^31 numbers".to_owned(),
                format!("{shape:?}"),
            ));
        }
        let weighted = !operation.state("").is_empty();
        if weighted && (name.is_empty() || name.starts_with('.')) {
            return Err((
                "a `name`, since it has weights".to_owned(),
                "none".to_owned(),
            ));
        }
        let name = if weighted { name } else { "" };
        let id = self.graph.push(name, operation, inputs);
        self.shapes.push(shape);
        Ok(id)
    }

    /// Refuses numbers out of range and keys that the operation has no use for.
    fn check_keys(&self, node: &NodeDescription) -> Result<(), Refusal> {
        use Step::{Attention, Convolution, Depthwise, Linear, MaxPool, SqueezeExcite};
        let numbers: [(&str, Option<i64>, i64, &[Step]); 7] = [
            ("outputs", node.outputs, 1, &[Convolution, Linear]),
            ("kernel", node.kernel, 1, &[Convolution, Depthwise, MaxPool]),
            ("stride", node.stride, 1, &[Convolution, Depthwise, MaxPool]),
            (
                "padding",
                node.padding,
                0,
                &[Convolution, Depthwise, MaxPool],
            ),
            ("groups", node.groups, 1, &[Convolution]),
            ("squeezed", node.squeezed, 1, &[SqueezeExcite]),
            ("heads", node.heads, 1, &[Attention]),
        ];
        let useless = |key: &str| Err((format!("no `{key}` at `{:?}`", node.op), "one".to_owned()));
        for (key, number, smallest, users) in numbers {
            let Some(number) = number else { continue };
            if !users.contains(&node.op) {
                return useless(key);
            }
            if !(smallest..=LARGEST).contains(&number) {
                return Err((
                    format!("`{key}` of {smallest} to {LARGEST}"),
                    number.to_string(),
                ));
            }
        }
        if node.bias.is_some() && ![Convolution, Depthwise, Linear].contains(&node.op) {
            return useless("bias");
        }
        if node.name == IMAGE || node.name.starts_with('.') || node.name.ends_with('_') {
            let expected =
                "a name other than `image`, that neither begins with a dot nor ends in `_`";
            return Err((expected.to_owned(), format!("`{}`", node.name)));
        }
        Ok(())
    }
}

/// Whether a window of that kernel fits into the padded image.
fn fits(kernel: i64, padding: i64, [height, width]: [i64; 2]) -> Result<(), Refusal> {
    if kernel > height.min(width) + 2 * padding {
        return Err((
            "a kernel that fits into the padded input".to_owned(),
            format!("kernel {kernel}, padding {padding}, input {height}×{width}"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::architecture::Architecture;
    use serde_json::json;

    fn graph(nodes: serde_json::Value) -> Architecture {
        serde_json::from_value(json!({"graph": {"size": 32, "nodes": nodes}})).unwrap()
    }

    #[test]
    fn a_written_graph_has_names_shapes_and_counts() {
        let architecture = graph(json!([
            {"op": "convolution", "name": "stem", "outputs": 8, "stride": 2},
            {"op": "batch_norm", "name": "norm"},
            {"op": "relu", "name": "stemmed"},
            {"op": "depthwise", "name": "spread"},
            {"op": "squeeze_excite", "name": "squeeze", "squeezed": 2},
            {"op": "add", "from": ["stemmed"]},
            {"op": "average_pool"}
        ]));
        let network = Architecture {
            classes: Some(5),
            ..architecture
        };
        let graph = network.graph().unwrap();
        let names: Vec<String> = graph.state().into_iter().map(|spec| spec.name).collect();
        assert_eq!(names[0], "stem.weight");
        assert!(names.contains(&"squeeze.fc2.bias".to_owned()));
        assert_eq!(
            names[names.len() - 2..],
            ["classifier.weight", "classifier.bias"]
        );
        // 8·27 + 16 + 8·9 + (2·8 + 2) + (8·2 + 8) + 5·8 + 5
        assert_eq!(graph.parameter_count(), 391);
        assert_eq!(network.feature_dimension(), Ok(8));
        // (8·27 + 8·9) · 16² + 16 + 16 + 40
        assert_eq!(graph.multiply_adds(32, 32), 73_800);
    }

    #[test]
    fn a_transformer_can_be_written() {
        let architecture = graph(json!([
            {"op": "convolution", "name": "patches", "outputs": 12, "kernel": 8, "stride": 8, "padding": 0, "bias": true},
            {"op": "tokens"},
            {"op": "class_token", "name": "class"},
            {"op": "layer_norm", "name": "norm1"},
            {"op": "attention", "name": "attention", "heads": 3},
            {"op": "gelu"},
            {"op": "first_token"}
        ]));
        assert_eq!(architecture.feature_dimension(), Ok(12));
        let state = architecture.graph().unwrap().state();
        assert!(state.iter().any(|spec| spec.name == "attention.qkv.weight"));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_node() {
        let refused = |nodes| graph(nodes).validate().unwrap_err().to_string();
        for (nodes, expected) in [
            (json!([]), "1 to 10000 nodes, got 0"),
            (json!([{"op": "relu"}]), "a last node of shape [D]"),
            (
                json!([{"op": "convolution", "outputs": 8}, {"op": "average_pool"}]),
                "a `name`, since it has weights, got node 0",
            ),
            (
                json!([{"op": "convolution", "name": "a"}]),
                "the key `outputs`, got node 0 (`a`): none",
            ),
            (
                json!([{"op": "linear", "name": "a", "outputs": 2}]),
                "tokens [N, C] or [C]",
            ),
            (
                json!([{"op": "add", "from": ["b"]}]),
                "`from` with names of earlier nodes",
            ),
            (
                json!([{"op": "convolution", "name": "a", "outputs": 3, "stride": 2}, {"op": "add", "from": ["image"]}]),
                "two inputs of one shape",
            ),
            (
                json!([{"op": "convolution", "name": "a", "outputs": 3, "kernel": 65, "padding": 0}]),
                "a kernel that fits",
            ),
            (
                json!([{"op": "relu", "kernel": 3}]),
                "no `kernel` at `Relu`",
            ),
            (
                json!([{"op": "convolution", "name": "a", "outputs": 0}]),
                "`outputs` of 1 to 65536",
            ),
            (
                json!([{"op": "convolution", "name": "a", "outputs": 4, "groups": 2}]),
                "`groups` that divide 3 and 4",
            ),
            (
                json!([{"op": "relu", "name": "a"}, {"op": "relu", "name": "a"}]),
                "names that differ, got `a` twice",
            ),
        ] {
            let message = refused(nodes);
            assert!(message.contains(expected), "{message}");
        }
    }
}
