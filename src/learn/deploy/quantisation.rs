//! Static quantisation to 8 bits: which values are rounded, to which grids, and what the rounded
//! network computes.
//!
//! Weights are signed and symmetric, with one scale for each output; values are unsigned, with one
//! scale and zero point for each node, from the least and greatest value seen on a sample of
//! images. The same rounding is written into ONNX files as QuantizeLinear and DequantizeLinear, and
//! computed here in f32.

use tch::{Kind, Tensor, no_grad};

use crate::deploy::deployment::{Deployment, Results};
use crate::graph::execution::Mode;
use crate::graph::folding::{Folded, fold};
use crate::graph::operations::{self, Operands};
use crate::graph::{Activation, Graph, NodeId, Operation};

/// Largest magnitude of a stored weight; −128 is not used, so that the grid is symmetric.
const WEIGHT_LIMIT: f64 = 127.0;
/// Largest stored value.
const VALUE_LIMIT: f64 = 255.0;

/// A value is `scale · (stored − zero)`, with `stored` from 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Grid {
    pub scale: f32,
    pub zero: u8,
}

/// The grid of each node's result in the folded graph, where it is rounded.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantisation {
    pub(crate) grids: Vec<Option<Grid>>,
}

/// The ranges that values have on a sample of images.
pub struct Calibration {
    folded: Folded,
    /// Of the images, in pixels.
    side: i64,
    rounded: Vec<bool>,
    ranges: Vec<(f64, f64)>,
}

impl Calibration {
    pub fn new(deployment: &Deployment) -> Self {
        let folded = fold(&deployment.graph, &deployment.tensors);
        let side = i64::from(deployment.preprocessing.size);
        let rounded = rounded(&folded.graph, side);
        // Zero is on every grid: images are padded with it.
        let ranges = vec![(0.0, 0.0); rounded.len()];
        Self {
            folded,
            side,
            rounded,
            ranges,
        }
    }

    /// Widens the ranges by what these images give.
    ///
    /// # Shapes
    /// - `images`: `[B, 3, size, size]` f32, normalised
    pub fn observe(&mut self, images: &Tensor) {
        let (rounded, ranges) = (&self.rounded, &mut self.ranges);
        run(
            &self.folded.graph,
            &self.folded.tensors,
            images,
            |index, value| {
                if rounded[index] {
                    let (least, greatest) = &mut ranges[index];
                    *least = least.min(value.min().double_value(&[]));
                    *greatest = greatest.max(value.max().double_value(&[]));
                }
                value
            },
        );
    }

    pub fn finish(self) -> Quantised {
        let grid = |(rounded, (least, greatest)): (bool, (f64, f64))| {
            rounded.then(|| grid(least, greatest))
        };
        let grids: Vec<Option<Grid>> = self
            .rounded
            .into_iter()
            .zip(self.ranges)
            .map(grid)
            .collect();
        let tensors = rounded_tensors(&self.folded, &grids, self.side);
        Quantised {
            folded: self.folded,
            tensors,
            quantisation: Quantisation { grids },
        }
    }
}

/// The rounded network, computed in f32.
pub struct Quantised {
    folded: Folded,
    /// Weights on their grids.
    tensors: Vec<Tensor>,
    pub quantisation: Quantisation,
}

impl Quantised {
    /// # Shapes
    /// - `images`: `[B, 3, size, size]` f32, normalised
    pub fn forward(&self, images: &Tensor) -> Results {
        let grids = &self.quantisation.grids;
        run(
            &self.folded.graph,
            &self.tensors,
            images,
            |index, value| match grids[index] {
                Some(Grid { scale, zero }) => value.fake_quantize_per_tensor_affine(
                    f64::from(scale),
                    i64::from(zero),
                    0,
                    VALUE_LIMIT as i64,
                ),
                None => value,
            },
        )
    }
}

fn grid(least: f64, greatest: f64) -> Grid {
    let scale = ((greatest - least) / VALUE_LIMIT) as f32;
    if scale <= 0.0 || !scale.is_finite() {
        return Grid {
            scale: 1.0,
            zero: 0,
        };
    }
    let zero = (-least / f64::from(scale)).round().clamp(0.0, VALUE_LIMIT);
    Grid {
        scale,
        zero: zero as u8,
    }
}

/// One scale for each output of a layer: `[outputs]` f32.
pub(crate) fn weight_scales(weight: &Tensor) -> Tensor {
    let largest = weight.flatten(1, -1).abs().amax(1, false);
    let scales = largest / WEIGHT_LIMIT;
    let ones = scales.ones_like();
    scales.where_self(&scales.gt(0.0), &ones)
}

/// The stored weights: i8, of the weight's shape.
pub(crate) fn stored_weight(weight: &Tensor, scales: &Tensor) -> Tensor {
    let mut along_outputs = vec![1; weight.dim()];
    along_outputs[0] = -1;
    (weight / scales.reshape(&along_outputs[..]))
        .round()
        .clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT)
        .to_kind(Kind::Int8)
}

/// Whether a node's result is rounded: what layers with weights read, and every image-shaped value
/// between them. A ReLU or ReLU6 that alone reads a layer becomes part of it, so that nothing is
/// rounded between the two.
fn rounded(graph: &Graph, side: i64) -> Vec<bool> {
    let nodes = graph.nodes();
    let shapes = graph.shapes(side, side);
    let mut readers: Vec<Vec<usize>> = vec![vec![]; nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        for input in &node.inputs {
            readers[input.0].push(index);
        }
    }
    let outputs = graph.outputs();
    (0..nodes.len())
        .map(|index| {
            let read_by_layer = readers[index]
                .iter()
                .any(|&reader| has_weights(&nodes[reader].operation));
            let merged = matches!(readers[index][..], [only] if matches!(
                nodes[only].operation,
                Operation::Activation(Activation::Relu | Activation::Relu6)
            )) && has_weights(&nodes[index].operation);
            let image_shaped = shapes[index].len() == 3
                && !matches!(nodes[index].operation, Operation::Parameter { .. })
                && !outputs.contains(&NodeId(index));
            read_by_layer || (image_shaped && !merged && !readers[index].is_empty())
        })
        .collect()
}

fn has_weights(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Convolution(_) | Operation::Linear { .. }
    )
}

/// The stored biases: i32, in steps of the input's scale times the weights'.
pub(crate) fn stored_bias(bias: &Tensor, scales: &Tensor, input: Grid) -> Tensor {
    let limit = f64::from(i32::MAX);
    (bias.to_kind(Kind::Double) / bias_scales(scales, input).to_kind(Kind::Double))
        .round()
        .clamp(-limit, limit)
        .to_kind(Kind::Int)
}

/// `[outputs]` f32.
pub(crate) fn bias_scales(scales: &Tensor, input: Grid) -> Tensor {
    scales * f64::from(input.scale)
}

/// Whether a layer's bias is stored in 8-bit steps too; of a layer on tokens it stays f32.
fn rounds_bias(operation: &Operation, shape: &[i64]) -> bool {
    has_weights(operation) && shape.len() != 2
}

/// The network's tensors with the weights and biases of its layers on their grids.
fn rounded_tensors(folded: &Folded, grids: &[Option<Grid>], side: i64) -> Vec<Tensor> {
    let shapes = folded.graph.shapes(side, side);
    let mut tensors = Vec::with_capacity(folded.tensors.len());
    for (index, node) in folded.graph.nodes().iter().enumerate() {
        let first = tensors.len();
        let own = &folded.tensors[first..first + node.state().len()];
        let input = node.inputs.first().and_then(|input| grids[input.0]);
        let (true, Some(input)) = (has_weights(&node.operation), input) else {
            tensors.extend(own.iter().map(Tensor::shallow_clone));
            continue;
        };
        let scales = weight_scales(&own[0]);
        let mut along_outputs = vec![1; own[0].dim()];
        along_outputs[0] = -1;
        let stored = stored_weight(&own[0], &scales).to_kind(Kind::Float);
        tensors.push(stored * scales.reshape(&along_outputs[..]));
        tensors.extend(own.get(1).map(|bias| {
            if !rounds_bias(&node.operation, &shapes[index]) {
                return bias.shallow_clone();
            }
            let stored = stored_bias(bias, &scales, input).to_kind(Kind::Float);
            stored * bias_scales(&scales, input)
        }));
    }
    tensors
}

/// Runs a graph; `each` may replace what the readers of a node's result see. Outputs are as they
/// were computed.
fn run(
    graph: &Graph,
    tensors: &[Tensor],
    images: &Tensor,
    mut each: impl FnMut(usize, Tensor) -> Tensor,
) -> Results {
    let nodes = graph.nodes();
    let mut last_reader = vec![usize::MAX; nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        for input in &node.inputs {
            last_reader[input.0] = index;
        }
    }
    let mut values: Vec<Option<Tensor>> = Vec::with_capacity(nodes.len());
    let (mut features, mut logits) = (None, None);
    let mut first = 0;
    no_grad(|| {
        for (index, node) in nodes.iter().enumerate() {
            let inputs: Vec<usize> = node.inputs.iter().map(|input| input.0).collect();
            let operands = Operands {
                inputs: &inputs,
                values: &values,
                tensors: &tensors[first..],
                images,
                keeps_statistics: true,
            };
            let value = operations::compute(&node.operation, &operands, Mode::Eval);
            first += node.state().len();
            if graph.features() == NodeId(index) {
                features = Some(value.shallow_clone());
            }
            if graph.logits() == Some(NodeId(index)) {
                logits = Some(value.shallow_clone());
            }
            values.push(Some(each(index, value)));
            for input in inputs {
                if last_reader[input] == index {
                    values[input] = None;
                }
            }
        }
    });
    Results {
        features: features.expect("BUG: a network without features"),
        logits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_on_every_grid() {
        assert_eq!(
            grid(0.0, 25.5),
            Grid {
                scale: 0.1,
                zero: 0
            }
        );
        assert_eq!(
            grid(-1.0, 1.55),
            Grid {
                scale: 0.01,
                zero: 100
            }
        );
        assert_eq!(
            grid(0.0, 0.0),
            Grid {
                scale: 1.0,
                zero: 0
            }
        );
    }

    #[test]
    fn each_output_has_a_scale_of_its_own() {
        let weight = Tensor::from_slice(&[1.27_f32, -0.635, 0.0, 0.0, -254.0, 2.0]).reshape([3, 2]);
        let scales = weight_scales(&weight);
        let expected = Tensor::from_slice(&[0.01_f32, 1.0, 2.0]);
        assert!(scales.allclose(&expected, 1e-6, 0.0, false));
        let stored = stored_weight(&weight, &scales);
        let expected = Tensor::from_slice(&[127_i8, -64, 0, 0, -127, 1]).reshape([3, 2]);
        assert!(stored.equal(&expected), "{stored}");
    }
}
