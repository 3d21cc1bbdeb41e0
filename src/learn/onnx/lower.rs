//! Each operation of a folded graph in ONNX's operators, at the image size of the preprocessing.

use std::collections::BTreeSet;

use tch::{Kind, Tensor};

use super::Element as Stored;
use super::model::{Attribute, Dimension, Element, GraphMessage};
use crate::architecture::Preprocessing;
use crate::folding::Folded;
use crate::graph::{Activation, Convolution, Graph, NodeId, Operation};
use crate::operation::same_padding;
use crate::operations;
use crate::tensors;

/// Name of the graph's input.
pub(super) const IMAGES: &str = "images";

pub(super) struct Lowering<'network> {
    graph: &'network Graph,
    tensors: &'network [Tensor],
    preprocessing: &'network Preprocessing,
    element: Stored,
    normalise: bool,
    message: GraphMessage,
    /// Shape of each node's result without the batch.
    shapes: Vec<Vec<i64>>,
    /// Name of each node's result.
    values: Vec<String>,
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
        element: Stored,
        normalise: bool,
    ) -> Self {
        let side = i64::from(preprocessing.size);
        Self {
            graph: &folded.graph,
            tensors: &folded.tensors,
            preprocessing,
            element,
            normalise,
            message: GraphMessage::default(),
            shapes: folded.graph.shapes(side, side),
            values: vec![],
            names: names(&folded.graph),
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
            self.lower(index, own, &output);
        }
        self.finish_outputs();
        self.message
    }

    /// Features and logits are called so; in half precision a cast to f32 comes after them.
    fn result_name(&self, index: usize) -> String {
        match (self.output_name(index), self.element) {
            (Some(name), Stored::F32) => name.to_owned(),
            (Some(name), Stored::F16) => format!("{name}/half"),
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

    fn finish_outputs(&mut self) {
        for index in 0..self.values.len() {
            let Some(name) = self.output_name(index) else {
                continue;
            };
            if self.element == Stored::F16 {
                let half = self.values[index].clone();
                let to = [("to", Attribute::Integer(Element::F32 as i64))];
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
                Stored::F32 => (Kind::Float, Element::F32),
                Stored::F16 => (Kind::Half, Element::F16),
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
                .initializer(name, Element::I64, &[values.len() as i64], &bytes);
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
            .map(|input| self.values[input.0].clone())
            .collect();
        let input = |position: usize| inputs[position].as_str();
        match &node.operation {
            Operation::Image { channels } => self.image(*channels, output),
            // Written by those who read it; a tensor that nobody reads is left out.
            Operation::Parameter { .. } => {}
            Operation::Convolution(convolution) => {
                let mut read = vec![inputs[0].clone()];
                read.extend((0..own.len()).map(|position| self.tensor(index, own, position)));
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
                let weight = self.tensor(index, own, 0);
                let bias = (own.len() > 1).then(|| self.tensor(index, own, 1));
                let flat = self.shapes[index].len() == 1;
                self.linear(&name, input(0), &weight, bias.as_deref(), output, flat);
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
                .initializer(name, Element::I64, &[], &value.to_le_bytes());
        }
        name.to_owned()
    }

    /// Declares the input and brings it to what the first layer reads.
    fn image(&mut self, channels: i64, output: &str) {
        let side = i64::from(self.preprocessing.size);
        let shape = [
            Dimension::Batch,
            Dimension::Length(channels),
            Dimension::Length(side),
            Dimension::Length(side),
        ];
        self.message.input(IMAGES, &shape);
        let mut value = IMAGES.to_owned();
        if self.element == Stored::F16 {
            let to = [("to", Attribute::Integer(Element::F16 as i64))];
            let cast = if self.normalise {
                "images/half"
            } else {
                output
            };
            self.message
                .node("Cast", "images/cast", &[&value], &[cast], &to);
            value = cast.to_owned();
        }
        if self.normalise {
            let channel = |values: [f32; 3]| tensors::from_slice_f32(&[1, 3, 1, 1], &values);
            let mean = self.floats("images/mean", &channel(self.preprocessing.mean));
            let std = self.floats("images/std", &channel(self.preprocessing.std));
            self.plain("Sub", "images/centre", &[&value, &mean], "images/centred");
            self.plain("Div", "images/scale", &["images/centred", &std], output);
        } else if self.element == Stored::F32 {
            // The first layer reads the input itself.
            if let Some(last) = self.values.last_mut() {
                *last = value;
            }
        }
    }

    fn convolution(
        &mut self,
        name: &str,
        inputs: &[String],
        output: &str,
        convolution: &Convolution,
    ) {
        let Convolution {
            kernel,
            stride,
            padding,
            groups,
            ..
        } = *convolution;
        let attributes = [
            ("kernel_shape", Attribute::Integers(&[kernel; 2])),
            ("strides", Attribute::Integers(&[stride; 2])),
            ("pads", Attribute::Integers(&[padding; 4])),
            ("group", Attribute::Integer(groups)),
        ];
        self.operator("Conv", name, inputs, output, &attributes);
    }

    fn activation(&mut self, name: &str, activation: Activation, input: &str, output: &str) {
        match activation {
            Activation::Relu => self.plain("Relu", name, &[input], output),
            Activation::Relu6 => {
                let (low, high) = (self.scalar("zero", 0.0), self.scalar("six", 6.0));
                self.plain("Clip", name, &[input, &low, &high], output);
            }
            Activation::Hardswish => self.plain("HardSwish", name, &[input], output),
            Activation::Hardsigmoid => {
                let attributes = [
                    ("alpha", Attribute::Float(1.0 / 6.0)),
                    ("beta", Attribute::Float(0.5)),
                ];
                self.operator(
                    "HardSigmoid",
                    name,
                    &[input.to_owned()],
                    output,
                    &attributes,
                );
            }
            Activation::Sigmoid => self.plain("Sigmoid", name, &[input], output),
            Activation::Silu => {
                let gate = format!("{name}/sigmoid");
                self.plain("Sigmoid", &gate, &[input], &gate);
                self.plain("Mul", name, &[input, &gate], output);
            }
            Activation::Gelu => self.gelu(name, input, output),
        }
    }

    /// x · (1 + erf(x / √2)) / 2: ONNX has no Gelu before opset 20.
    fn gelu(&mut self, name: &str, input: &str, output: &str) {
        let root = self.scalar("root_of_two", std::f64::consts::SQRT_2);
        let (one, half) = (self.scalar("one", 1.0), self.scalar("half", 0.5));
        let part = |last: &str| format!("{name}/{last}");
        self.plain("Div", &part("divided"), &[input, &root], &part("divided"));
        self.plain("Erf", &part("erf"), &[&part("divided")], &part("erf"));
        self.plain(
            "Add",
            &part("raised"),
            &[&part("erf"), &one],
            &part("raised"),
        );
        self.plain(
            "Mul",
            &part("product"),
            &[input, &part("raised")],
            &part("product"),
        );
        self.plain("Mul", name, &[&part("product"), &half], output);
    }

    fn subsample_and_pad(
        &mut self,
        name: &str,
        input: &str,
        output: &str,
        stride: i64,
        [before, after]: [i64; 2],
    ) {
        let part = |last: &str| format!("{name}/{last}");
        let starts = self.integers(&part("starts"), &[0, 0]);
        let ends = self.integers(&part("ends"), &[i64::MAX; 2]);
        let axes = self.integers(&part("axes"), &[2, 3]);
        let steps = self.integers(&part("steps"), &[stride; 2]);
        let pads = self.integers(&part("pads"), &[0, before, 0, 0, 0, after, 0, 0]);
        let sampled = part("sampled");
        self.plain(
            "Slice",
            &sampled,
            &[input, &starts, &ends, &axes, &steps],
            &sampled,
        );
        self.plain("Pad", name, &[&sampled, &pads], output);
    }

    /// Of `[B, inputs]` when `flat`, else of tokens.
    fn linear(
        &mut self,
        name: &str,
        input: &str,
        weight: &str,
        bias: Option<&str>,
        output: &str,
        flat: bool,
    ) {
        if flat {
            let mut inputs = vec![input.to_owned(), weight.to_owned()];
            inputs.extend(bias.map(str::to_owned));
            let transposed = [("transB", Attribute::Integer(1))];
            return self.operator("Gemm", name, &inputs, output, &transposed);
        }
        // The weights keep their shape of the state dict; runtimes transpose them once, when they load the file.
        let turned = format!("{name}/weight");
        let order = [("perm", Attribute::Integers(&[1, 0]))];
        self.operator("Transpose", &turned, &[weight.to_owned()], &turned, &order);
        match bias {
            None => self.plain("MatMul", name, &[input, &turned], output),
            Some(bias) => {
                let product = format!("{name}/product");
                self.plain("MatMul", &product, &[input, &turned], &product);
                self.plain("Add", name, &[&product, bias], output);
            }
        }
    }

    /// Name and tensor of a parameter.
    fn parameter(&self, node: NodeId) -> (String, Tensor) {
        let before: usize = self.graph.nodes()[..node.0]
            .iter()
            .map(|node| node.state().len())
            .sum();
        let name = self.graph.nodes()[node.0].name.clone();
        (name, self.tensors[before].shallow_clone())
    }

    fn concatenate(&mut self, index: usize, name: &str, output: &str) {
        let node = &self.graph.nodes()[index];
        let mut parts = vec![];
        for (position, &input) in node.inputs.iter().enumerate() {
            let Operation::Parameter { shape, .. } = &self.graph.nodes()[input.0].operation else {
                parts.push(self.values[input.0].clone());
                continue;
            };
            let (called, tensor) = self.parameter(input);
            let parameter = self.floats(&called, &tensor);
            let shape = self.integers(&format!("{name}/shape_{position}"), &shape[1..]);
            let batch = self.batch();
            let (whole, expanded) = (
                format!("{name}/whole_{position}"),
                format!("{name}/expanded_{position}"),
            );
            let axis = [("axis", Attribute::Integer(0))];
            self.operator("Concat", &whole, &[batch, shape], &whole, &axis);
            self.plain("Expand", &expanded, &[&parameter, &whole], &expanded);
            parts.push(expanded);
        }
        let axis = [("axis", Attribute::Integer(1))];
        self.operator("Concat", name, &parts, output, &axis);
    }

    /// The number of images, as a tensor of one integer.
    fn batch(&mut self) -> String {
        let name = "batch_length";
        if !self.knows_batch {
            self.knows_batch = true;
            let first = [
                ("start", Attribute::Integer(0)),
                ("end", Attribute::Integer(1)),
            ];
            self.operator("Shape", name, &[IMAGES.to_owned()], name, &first);
        }
        name.to_owned()
    }

    fn attention(&mut self, index: usize, name: &str, input: &str, output: &str, heads: i64) {
        let (tokens, width) = (self.shapes[index][0], self.shapes[index][1]);
        let part = |last: &str| format!("{name}/{last}");
        let split = self.integers(&part("split_shape"), &[0, tokens, 3, heads, width / heads]);
        let (parted, turned) = (part("parted"), part("turned"));
        self.plain("Reshape", &parted, &[input, &split], &parted);
        let order = [("perm", Attribute::Integers(&[2, 0, 3, 1, 4]))]; // [3, B, heads, N, C / heads]
        self.operator("Transpose", &turned, &[parted], &turned, &order);
        for (which, called) in ["queries", "keys", "values"].into_iter().enumerate() {
            let place = self.integer_scalar(&format!("place_{which}"), which as i64);
            let axis = [("axis", Attribute::Integer(0))];
            let called = part(called);
            self.operator("Gather", &called, &[turned.clone(), place], &called, &axis);
        }
        let order = [("perm", Attribute::Integers(&[0, 1, 3, 2]))];
        self.operator(
            "Transpose",
            &part("turned_keys"),
            &[part("keys")],
            &part("turned_keys"),
            &order,
        );
        let scale = self.scalar(&part("scale"), ((width / heads) as f64).sqrt().recip());
        self.plain(
            "Mul",
            &part("scaled"),
            &[&part("queries"), &scale],
            &part("scaled"),
        );
        self.plain(
            "MatMul",
            &part("scores"),
            &[&part("scaled"), &part("turned_keys")],
            &part("scores"),
        );
        let axis = [("axis", Attribute::Integer(-1))];
        self.operator(
            "Softmax",
            &part("weights"),
            &[part("scores")],
            &part("weights"),
            &axis,
        );
        self.plain(
            "MatMul",
            &part("mixed"),
            &[&part("weights"), &part("values")],
            &part("mixed"),
        );
        let order = [("perm", Attribute::Integers(&[0, 2, 1, 3]))];
        self.operator(
            "Transpose",
            &part("ordered"),
            &[part("mixed")],
            &part("ordered"),
            &order,
        );
        let joined = self.integers(&part("joined_shape"), &[0, tokens, width]);
        self.plain("Reshape", name, &[&part("ordered"), &joined], output);
    }
}

/// A name for each node: its own, or that of what it reads and what it does. No two are equal.
fn names(graph: &Graph) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let mut names: Vec<String> = vec![];
    for node in graph.nodes() {
        let base = if node.name.is_empty() {
            let read = node.inputs.first().map(|input| names[input.0].as_str());
            match read {
                Some(read) if !read.is_empty() => {
                    // The last word alone, so that names don't grow along the network.
                    let place = read.rsplit_once('/').map_or(read, |(place, _)| place);
                    format!("{place}/{}", word(&node.operation))
                }
                _ => word(&node.operation).to_owned(),
            }
        } else {
            node.name.trim_end_matches(['_', '.']).to_owned()
        };
        let mut name = base.clone();
        let mut count = 1;
        while !taken.insert(name.clone()) {
            count += 1;
            name = format!("{base}_{count}");
        }
        names.push(name);
    }
    names
}

fn word(operation: &Operation) -> &'static str {
    match operation {
        Operation::Image { .. } => "image",
        Operation::Parameter { .. } => "parameter",
        Operation::Convolution(_) => "convolution",
        Operation::BatchNorm { .. } | Operation::LayerNorm { .. } => "norm",
        Operation::Activation(Activation::Relu) => "relu",
        Operation::Activation(Activation::Relu6) => "relu6",
        Operation::Activation(Activation::Hardswish) => "hardswish",
        Operation::Activation(Activation::Hardsigmoid) => "hardsigmoid",
        Operation::Activation(Activation::Sigmoid) => "sigmoid",
        Operation::Activation(Activation::Silu) => "silu",
        Operation::Activation(Activation::Gelu) => "gelu",
        Operation::Add => "add",
        Operation::Multiply => "multiply",
        Operation::LayerScale { .. } => "scale",
        Operation::MaxPool { .. } => "max_pool",
        Operation::PadSame { .. } => "pad",
        Operation::GlobalAveragePool => "average",
        Operation::Flatten => "flatten",
        Operation::SubsampleAndPad { .. } => "subsample",
        Operation::Linear { .. } => "linear",
        Operation::Tokens => "tokens",
        Operation::ConcatenateTokens => "concatenate",
        Operation::AddPositions { .. } => "positions",
        Operation::Attention { .. } => "attention",
        Operation::SelectToken { .. } => "token",
    }
}
