//! The forward pass of a graph as TorchScript source, one line an operation.

use std::fmt::Write;

use super::TorchScriptOptions;
use crate::deploy::deployment::Deployment;
use crate::graph::{Activation, Convolution, Graph, Interpolation, Node, NodeId, Operation};

/// What libtorch calls `torch.half` and `torch.float`; TorchScript source knows the numbers alone.
const HALF: i64 = 5;
const FLOAT: i64 = 6;

/// `def forward(self, images: Tensor) -> Dict[str, Tensor]`.
pub(super) fn forward(deployment: &Deployment, options: &TorchScriptOptions) -> String {
    let graph = &deployment.graph;
    let mut lines = Lines::default();
    if options.normalise {
        for (name, values) in [
            ("mean", deployment.preprocessing.mean),
            ("std", deployment.preprocessing.std),
        ] {
            let values = values.map(|value| float(value.into())).join(", ");
            lines.add(format!(
                "{name} = torch.reshape(torch.tensor([{values}], dtype=images.dtype, device=images.device), [1, 3, 1, 1])"
            ));
        }
        lines.add("images = (images - mean) / std".to_owned());
    }
    if options.half {
        lines.add(format!("images = images.to({HALF})"));
    }
    for index in 0..graph.nodes().len() {
        operation(graph, index, &mut lines);
    }
    let outputs = [
        ("logits", graph.logits()),
        ("features", Some(graph.features())),
    ];
    let entries: Vec<String> = outputs
        .into_iter()
        .filter_map(|(name, node)| Some(format!("\"{name}\": {}.to({FLOAT})", value(node?))))
        .collect();
    format!(
        "def forward(self, images: Tensor) -> Dict[str, Tensor]:\n{}    return {{{}}}\n",
        lines.0,
        entries.join(", ")
    )
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, line: String) {
        writeln!(self.0, "    {line}").expect("BUG: a string that can't grow");
    }
}

fn value(node: NodeId) -> String {
    format!("value{}", node.0)
}

/// A number that is a float in TorchScript too.
fn float(value: f64) -> String {
    let text = format!("{value:?}");
    if text.contains(['.', 'e']) {
        text
    } else {
        format!("{text}.0")
    }
}

/// `self.layer1.0.conv1.weight` in a way that the language has.
fn attribute(name: &str) -> String {
    name.split('.').fold("self".to_owned(), |object, part| {
        if part.starts_with(|letter: char| letter.is_ascii_digit()) {
            format!("getattr({object}, \"{part}\")")
        } else {
            format!("{object}.{part}")
        }
    })
}

fn operation(graph: &Graph, index: usize, lines: &mut Lines) {
    let node = &graph.nodes()[index];
    let target = value(NodeId(index));
    let read: Vec<String> = node.inputs.iter().map(|&input| value(input)).collect();
    let own: Vec<String> = node
        .state()
        .iter()
        .map(|spec| attribute(&spec.name))
        .collect();
    let expression = match &node.operation {
        Operation::PadSame { kernel, stride } => {
            return pad_same(&target, &read[0], *kernel, *stride, lines);
        }
        Operation::AddPositions {
            prefix,
            grid,
            interpolation,
        } => return add_positions(&target, &read, *prefix, *grid, *interpolation, lines),
        Operation::Attention { heads } => return attention(&target, &read[0], *heads, lines),
        Operation::ConcatenateTokens => concatenate(graph, node, &read),
        plain => expression(plain, &read, &own),
    };
    lines.add(format!("{target} = {expression}"));
}

/// Of an operation that is one call.
fn expression(operation: &Operation, read: &[String], own: &[String]) -> String {
    let first = read.first().map_or("images", String::as_str);
    let bias = |has: bool| if has { own[1].as_str() } else { "None" };
    match operation {
        Operation::Image { .. } => "images".to_owned(),
        Operation::Parameter { .. } | Operation::Unread { .. } => own[0].clone(),
        Operation::Convolution(Convolution {
            stride,
            padding,
            groups,
            bias: has,
            ..
        }) => format!(
            "torch.conv2d({first}, {}, {}, [{stride}, {stride}], [{padding}, {padding}], [1, 1], {groups})",
            own[0],
            bias(*has)
        ),
        Operation::BatchNorm {
            epsilon, momentum, ..
        } => format!(
            "torch.batch_norm({first}, {}, False, {}, {}, False)",
            own[..4].join(", "),
            float(*momentum),
            float(*epsilon)
        ),
        Operation::LayerNorm { length, epsilon } => format!(
            "torch.layer_norm({first}, [{length}], {}, {}, {})",
            own[0],
            own[1],
            float(*epsilon)
        ),
        Operation::Activation(activation) => activate(*activation, first),
        Operation::Add => format!("{first} + {}", read[1]),
        Operation::Multiply => format!("{first} * {}", read[1]),
        Operation::LayerScale { .. } => format!("{first} * {}", own[0]),
        Operation::MaxPool {
            kernel,
            stride,
            padding,
        } => format!(
            "torch.max_pool2d({first}, [{kernel}, {kernel}], [{stride}, {stride}], [{padding}, {padding}], [1, 1], False)"
        ),
        Operation::GlobalAveragePool => format!("torch.adaptive_avg_pool2d({first}, [1, 1])"),
        Operation::Flatten => format!("torch.flatten({first}, 1)"),
        Operation::SubsampleAndPad {
            stride,
            before,
            after,
        } => format!(
            "torch.constant_pad_nd({first}[:, :, ::{stride}, ::{stride}], [0, 0, 0, 0, {before}, {after}])"
        ),
        Operation::Linear { bias: has, .. } => {
            format!("torch.linear({first}, {}, {})", own[0], bias(*has))
        }
        Operation::Tokens => format!("torch.transpose(torch.flatten({first}, 2), 1, 2)"),
        Operation::SelectToken { index } => format!("torch.select({first}, 1, {index})"),
        Operation::PadSame { .. }
        | Operation::AddPositions { .. }
        | Operation::Attention { .. }
        | Operation::ConcatenateTokens => panic!("BUG: {operation:?} takes more than one call"),
    }
}

fn activate(activation: Activation, input: &str) -> String {
    match activation {
        Activation::Relu => format!("torch.relu({input})"),
        Activation::Relu6 => format!("torch.clamp({input}, 0.0, 6.0)"),
        Activation::Hardswish => format!("torch.hardswish({input})"),
        Activation::Hardsigmoid => format!("torch.hardsigmoid({input})"),
        Activation::Sigmoid => format!("torch.sigmoid({input})"),
        Activation::Silu => format!("torch.silu({input})"),
        Activation::Gelu => format!("torch.gelu({input}, approximate=\"none\")"),
    }
}

/// As `same_padding`.
fn pad_same(target: &str, input: &str, kernel: i64, stride: i64, lines: &mut Lines) {
    for (name, dimension) in [("rows", 2), ("columns", 3)] {
        lines.add(format!("{name} = {input}.size({dimension})"));
        lines.add(format!(
            "{name} = max(({name} + {stride} - 1) // {stride} * {stride} - {stride} + {kernel} - {name}, 0)"
        ));
    }
    lines.add(format!(
        "{target} = torch.constant_pad_nd({input}, [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2])"
    ));
}

/// As `operations::positions`.
fn add_positions(
    target: &str,
    read: &[String],
    prefix: i64,
    grid: i64,
    interpolation: Interpolation,
    lines: &mut Lines,
) {
    let [tokens, positions, patches] = read else {
        panic!("BUG: positions of {} inputs", read.len());
    };
    let resize = match interpolation {
        Interpolation::AlignedCorners => {
            "torch.upsample_bicubic2d(grid, [rows, columns], True, None, None)".to_owned()
        }
        Interpolation::Offset => format!(
            "torch.upsample_bicubic2d(grid, [rows, columns], False, (rows + 0.1) / {grid}, (columns + 0.1) / {grid})"
        ),
        Interpolation::Antialiased => {
            "torch._upsample_bicubic2d_aa(grid, [rows, columns], False, None, None)".to_owned()
        }
    };
    for line in [
        format!("rows = {patches}.size(2)"),
        format!("columns = {patches}.size(3)"),
        format!("positions = {positions}"),
        format!("if rows != {grid} or columns != {grid}:"),
        format!(
            "    grid = torch.permute(torch.reshape(positions[:, {prefix}:], [1, {grid}, {grid}, -1]), [0, 3, 1, 2])"
        ),
        format!("    grid = torch.permute({resize}, [0, 2, 3, 1])"),
        format!(
            "    positions = torch.cat([positions[:, :{prefix}], torch.reshape(grid, [1, rows * columns, -1])], 1)"
        ),
        format!("{target} = {tokens} + positions"),
    ] {
        lines.add(line);
    }
}

fn attention(target: &str, input: &str, heads: i64, lines: &mut Lines) {
    for line in [
        format!("batch, tokens, width = {input}.size(0), {input}.size(1), {input}.size(2) // 3"),
        format!(
            "parts = torch.permute(torch.reshape({input}, [batch, tokens, 3, {heads}, width // {heads}]), [2, 0, 3, 1, 4])"
        ),
        "mixed = torch.scaled_dot_product_attention(parts[0], parts[1], parts[2])".to_owned(),
        format!("{target} = torch.reshape(torch.transpose(mixed, 1, 2), [batch, tokens, width])"),
    ] {
        lines.add(line);
    }
}

fn concatenate(graph: &Graph, node: &Node, read: &[String]) -> String {
    let parts: Vec<String> = node
        .inputs
        .iter()
        .zip(read)
        .map(|(input, part)| match graph.nodes()[input.0].operation {
            Operation::Parameter { .. } => {
                format!("{part}.expand([images.size(0), -1, -1])")
            }
            _ => part.clone(),
        })
        .collect();
    format!("torch.cat([{}], 1)", parts.join(", "))
}
