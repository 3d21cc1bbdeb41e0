//! A network that users write down themselves: `network: {graph: {nodes: […]}}`, by the same
//! operations as the families.
//!
//! A node reads the one before it unless it says `from`; channel counts follow from what it reads.
//! Everything wrong is said with the node's number and name.

mod description;
mod keys;
mod layers;
mod writer;

use std::collections::BTreeMap;

use seedpipe_base::Refusal;

use crate::architecture::architecture_checks::impossible;
use crate::graph::NodeId;
use crate::graph::graph_builder::GraphBuilder;
pub use description::GraphDescription;
use writer::Writer;

const MOST_NODES: usize = 10_000;
const LARGEST: i64 = 1 << 16;
const IMAGE: &str = "image";

/// Writes the user's graph down; returns the features and their length.
pub(crate) fn backbone(
    graph: &mut GraphBuilder,
    description: &GraphDescription,
) -> Result<(NodeId, i64), Refusal> {
    let refused = |expected: &str, got: String| impossible("graph", expected, got, "");
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
            impossible("graph", expected, place, "")
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
        ref shape => Err(impossible(
            "graph",
            "a last node of shape [D], the features",
            format!("{shape:?}"),
            "end with `average_pool`, `flatten` or `first_token`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use crate::architecture::Architecture;
    use crate::graph::Graph;
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
    fn lengths_are_those_of_the_images_that_are_given() {
        let flat = json!([
            {"op": "convolution", "name": "a", "outputs": 4, "stride": 4},
            {"op": "flatten"}
        ]);
        let mut architecture = graph(flat);
        assert_eq!(architecture.feature_dimension(), Ok(4 * 8 * 8));
        let network = architecture.graph().unwrap();
        let length = |network: &Graph, size| network.length(network.features(), size);
        assert_eq!(length(&network, [64, 64]), Ok(4 * 16 * 16));
        assert_eq!(length(&network, [64, 32]), Ok(4 * 16 * 8));
        architecture.classes = Some(3);
        let network = architecture.graph().unwrap();
        assert_eq!(network.length(network.logits().unwrap(), [32, 32]), Ok(3));
        let message = length(&network, [64, 32]).unwrap_err().to_string();
        assert!(
            message.starts_with("images of 32×64 pixels don't fit the network: `classifier`: expected 256 inputs, got 512"),
            "{message}"
        );
    }

    /// A family pools over the whole image, so its lengths depend on no size that it fits.
    #[test]
    fn families_have_one_length_at_every_size_that_fits() {
        for name in crate::architecture::names() {
            let graph = Architecture::named(name).graph().unwrap();
            let length = |size| graph.length(graph.features(), size);
            let usual = length([224, 224]).unwrap();
            for size in [[256, 256], [97, 160], [320, 64], [33, 33]] {
                assert_eq!(length(size), Ok(usual), "{name} at {size:?}");
            }
        }
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
