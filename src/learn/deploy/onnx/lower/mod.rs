//! Each operation of a folded graph in ONNX's operators, at the image size of the preprocessing.

mod names;
mod operators;
mod quantised;
mod tokens;

use std::collections::BTreeSet;

use tch::{Kind, Tensor};

use super::model::{Attribute, DataType, Dimension, GraphMessage};
use super::{Element, OnnxOptions};
use crate::architecture::Preprocessing;
use crate::deploy::quantisation::Quantisation;
use crate::graph::folding::Folded;
use crate::graph::operation::same_padding;
use crate::graph::operations;
use crate::graph::{Graph, NodeId, Operation};
use crate::torch::tensors;

/// Name of the graph's input.
pub(super) const IMAGES: &str = "images";

pub(super) struct Lowering<'network> {
    graph: &'network Graph,
    tensors: &'network [Tensor],
    preprocessing: &'network Preprocessing,
    element: Element,
    normalise: bool,
    message: GraphMessage,
    /// Shape of each node's result without the batch.
    shapes: Vec<Vec<i64>>,
    /// Grids of 8 bits, for a quantised file.
    quantisation: Option<&'network Quantisation>,
    /// Name of each node's result.
    values: Vec<String>,
    /// Name under which the others read it: another one where it is rounded.
    reads: Vec<String>,
    /// Name of each node, for its operators and their results.
    names: Vec<String>,
    /// Initializers that are written.
    written: BTreeSet<String>,
    /// Whether `batch_length` was written.
    knows_batch: bool,
}

impl<'network> Lowering<'network> {
    pub(super) fn new(
        folded: &'network Folded,
        preprocessing: &'network Preprocessing,
        options: &'network OnnxOptions,
    ) -> Self {
        let side = i64::from(preprocessing.size);
        Self {
            graph: &folded.graph,
            tensors: &folded.tensors,
            preprocessing,
            element: options.element,
            normalise: options.normalise,
            quantisation: options.quantisation.as_ref(),
            message: GraphMessage::default(),
            shapes: folded.graph.shapes(side, side),
            values: vec![],
            reads: vec![],
            names: names::names(&folded.graph),
            written: BTreeSet::new(),
            knows_batch: false,
        }
    }

    pub(super) fn run(mut self) -> GraphMessage {
        let mut first = 0;
        for (index, node) in self.graph.nodes().iter().enumerate() {
            let count = node.state().len();
            let own = &self.tensors[first..first + count];
            first += count;
            let output = self.result_name(index);
            self.values.push(output.clone());
            self.reads.push(output.clone());
            self.lower(index, own, &output);
            self.round(index);
        }
        self.finish_outputs();
        self.message
    }

    /// Features and logits are called so; in half precision a cast to f32 comes after them.
    fn result_name(&self, index: usize) -> String {
        match (self.output_name(index), self.element) {
            (Some(name), Element::F32) => name.to_owned(),
            (Some(name), Element::F16) => format!("{name}/half"),
            (None, _) => format!("{}/output", self.names[index]),
        }
    }

    fn output_name(&self, index: usize) -> Option<&'static str> {
        match Some(NodeId(index)) {
            features if features == Some(self.graph.features()) => Some("features"),
            logits if logits == self.graph.logits() => Some("logits"),
            _ => None,
        }
    }

    /// Logits first: who takes the first output of a classifier wants them.
    fn finish_outputs(&mut self) {
        let outputs = [self.graph.logits(), Some(self.graph.features())];
        for NodeId(index) in outputs.into_iter().flatten() {
            let Some(name) = self.output_name(index) else {
                continue;
            };
            if self.element == Element::F16 {
                let half = self.values[index].clone();
                let to = [("to", Attribute::Integer(DataType::F32 as i64))];
                self.message
                    .node("Cast", &format!("{name}/cast"), &[&half], &[name], &to);
            }
            let length = self.shapes[index].iter().product();
            self.message
                .output(name, &[Dimension::Batch, Dimension::Length(length)]);
        }
    }

    /// Writes a tensor of floats in the chosen element type, once; returns its name.
    fn floats(&mut self, name: &str, tensor: &Tensor) -> String {
        if self.written.insert(name.to_owned()) {
            let (kind, element) = match self.element {
                Element::F32 => (Kind::Float, DataType::F32),
                Element::F16 => (Kind::Half, DataType::F16),
            };
            let (_, shape, bytes) = tensors::to_bytes(&tensor.to_kind(kind));
            self.message.initializer(name, element, &shape, &bytes);
        }
        name.to_owned()
    }

    fn scalar(&mut self, name: &str, value: f64) -> String {
        self.floats(name, &Tensor::from(value))
    }

    fn integers(&mut self, name: &str, values: &[i64]) -> String {
        if self.written.insert(name.to_owned()) {
            let bytes: Vec<u8> = values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            self.message
                .initializer(name, DataType::I64, &[values.len() as i64], &bytes);
        }
        name.to_owned()
    }

    /// The name of a node's first or further tensor, written as an initializer.
    fn tensor(&mut self, index: usize, own: &[Tensor], position: usize) -> String {
        let spec = &self.graph.nodes()[index].state()[position];
        self.floats(&spec.name, &own[position])
    }

    fn lower(&mut self, index: usize, own: &[Tensor], output: &str) {
        let node = &self.graph.nodes()[index];
        let name = self.names[index].clone();
        let inputs: Vec<String> = node
            .inputs
            .iter()
            .map(|input| self.reads[input.0].clone())
            .collect();
        let input = |position: usize| inputs[position].as_str();
        match &node.operation {
            Operation::Image { channels } => self.image(*channels, output),
            // Written by those who read it; a tensor that nobody reads is left out.
            Operation::Parameter { .. } | Operation::Unread { .. } => {}
            Operation::Convolution(convolution) => {
                let layer = self.layer(index, own, false);
                let mut read = vec![inputs[0].clone(), layer.weight];
                read.extend(layer.bias);
                self.convolution(&name, &read, output, convolution);
            }
            Operation::BatchNorm { epsilon, .. } => {
                let mut read = vec![inputs[0].clone()];
                read.extend((0..4).map(|position| self.tensor(index, own, position)));
                let epsilon = [("epsilon", Attribute::Float(*epsilon as f32))];
                self.operator("BatchNormalization", &name, &read, output, &epsilon);
            }
            Operation::LayerNorm { epsilon, .. } => {
                let mut read = vec![inputs[0].clone()];
                read.extend((0..2).map(|position| self.tensor(index, own, position)));
                let attributes = [
                    ("axis", Attribute::Integer(-1)),
                    ("epsilon", Attribute::Float(*epsilon as f32)),
                ];
                self.operator("LayerNormalization", &name, &read, output, &attributes);
            }
            Operation::Activation(activation) => {
                self.activation(&name, *activation, input(0), output)
            }
            Operation::Add => self.plain("Add", &name, &[input(0), input(1)], output),
            Operation::Multiply => self.plain("Mul", &name, &[input(0), input(1)], output),
            Operation::LayerScale { .. } => {
                let gamma = self.tensor(index, own, 0);
                self.plain("Mul", &name, &[input(0), &gamma], output);
            }
            Operation::MaxPool {
                kernel,
                stride,
                padding,
            } => {
                let attributes = [
                    ("kernel_shape", Attribute::Integers(&[*kernel; 2])),
                    ("strides", Attribute::Integers(&[*stride; 2])),
                    ("pads", Attribute::Integers(&[*padding; 4])),
                ];
                self.operator("MaxPool", &name, &inputs, output, &attributes);
            }
            Operation::PadSame { kernel, stride } => {
                let shape = self.shapes[node.inputs[0].0].clone();
                let (above, below) = same_padding(shape[1], *kernel, *stride);
                let (left, right) = same_padding(shape[2], *kernel, *stride);
                let pads = [0, 0, above, left, 0, 0, below, right];
                let pads = self.integers(&format!("{name}/pads"), &pads);
                self.plain("Pad", &name, &[input(0), &pads], output);
            }
            Operation::GlobalAveragePool => {
                self.plain("GlobalAveragePool", &name, &[input(0)], output);
            }
            Operation::Flatten => self.plain("Flatten", &name, &[input(0)], output),
            Operation::SubsampleAndPad {
                stride,
                before,
                after,
            } => self.subsample_and_pad(&name, input(0), output, *stride, [*before, *after]),
            Operation::Linear { .. } => {
                let flat = self.shapes[index].len() == 1;
                let layer = self.layer(index, own, !flat);
                self.linear(&name, input(0), &layer, output, flat);
            }
            Operation::Tokens => {
                let channels = self.shapes[node.inputs[0].0][0];
                let shape = self.integers(&format!("{name}/shape"), &[0, channels, -1]);
                let rows = format!("{name}/rows");
                self.plain("Reshape", &rows, &[input(0), &shape], &rows);
                let order = [("perm", Attribute::Integers(&[0, 2, 1]))];
                self.operator("Transpose", &name, &[rows], output, &order);
            }
            Operation::ConcatenateTokens => self.concatenate(index, &name, output),
            Operation::AddPositions {
                prefix,
                grid,
                interpolation,
            } => {
                let patches = &self.shapes[node.inputs[2].0];
                let size = [patches[1], patches[2]];
                let (called, embedding) = self.parameter(node.inputs[1]);
                let positions =
                    operations::positions(&embedding, *prefix, *grid, size, *interpolation);
                let positions = self.floats(&called, &positions);
                self.plain("Add", &name, &[input(0), &positions], output);
            }
            Operation::Attention { heads } => {
                self.attention(index, &name, input(0), output, *heads)
            }
            Operation::SelectToken { index: token } => {
                let which = self.integer_scalar(&format!("{name}/index"), *token);
                let axis = [("axis", Attribute::Integer(1))];
                self.operator("Gather", &name, &[inputs[0].clone(), which], output, &axis);
            }
        }
    }

    fn plain(&mut self, operator: &str, name: &str, inputs: &[&str], output: &str) {
        self.message.node(operator, name, inputs, &[output], &[]);
    }

    fn operator(
        &mut self,
        operator: &str,
        name: &str,
        inputs: &[String],
        output: &str,
        attributes: &[(&str, Attribute)],
    ) {
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.message
            .node(operator, name, &inputs, &[output], attributes);
    }

    fn integer_scalar(&mut self, name: &str, value: i64) -> String {
        if self.written.insert(name.to_owned()) {
            self.message
                .initializer(name, DataType::I64, &[], &value.to_le_bytes());
        }
        name.to_owned()
    }
}
