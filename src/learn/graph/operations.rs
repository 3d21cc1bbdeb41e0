//! What each operation computes, in libtorch's functions; differentiable, in any precision and
//! memory layout.

use tch::{Kind, Tensor, no_grad};

use crate::graph::execution::Mode;
use crate::graph::operation::same_padding;
use crate::graph::{Activation, Convolution, Interpolation, Operation};

/// What an operation works on.
pub(crate) struct Operands<'run> {
    /// Indices of the inputs among `values`.
    pub inputs: &'run [usize],
    pub values: &'run [Option<Tensor>],
    /// The node's own tensors come first.
    pub tensors: &'run [Tensor],
    pub images: &'run Tensor,
    /// Whether training mode updates the batch norms' running statistics.
    pub keeps_statistics: bool,
}

impl Operands<'_> {
    pub fn input(&self, position: usize) -> &Tensor {
        self.values[self.inputs[position]]
            .as_ref()
            .expect("BUG: a value was freed before its reader")
    }
}

pub(crate) fn compute(operation: &Operation, operands: &Operands, mode: Mode) -> Tensor {
    let input = |position| operands.input(position);
    let own = operands.tensors;
    match operation {
        Operation::Image { .. } => operands.images.shallow_clone(),
        Operation::Parameter { .. } | Operation::Unread { .. } => own[0].shallow_clone(),
        Operation::Convolution(Convolution {
            stride,
            padding,
            groups,
            bias,
            ..
        }) => {
            let bias = bias.then(|| &own[1]);
            input(0).conv2d(&own[0], bias, [*stride; 2], [*padding; 2], [1; 2], *groups)
        }
        Operation::BatchNorm {
            epsilon, momentum, ..
        } => {
            let training = mode != Mode::Eval;
            if training && operands.keeps_statistics {
                let _ = own[4].shallow_clone().g_add_scalar_(1);
            }
            let running = !training || operands.keeps_statistics;
            let normalised = |input: &Tensor, running: Option<[&Tensor; 2]>| {
                let [mean, variance] = running.map_or([None; 2], |both| both.map(Some));
                let (weight, bias) = (Some(&own[0]), Some(&own[1]));
                input.batch_norm(
                    weight, bias, mean, variance, training, *momentum, *epsilon, true,
                )
            };
            let running = running.then(|| [&own[2], &own[3]]);
            match mode {
                Mode::TrainInParts(parts) => in_parts(input(0), parts.get(), running, normalised),
                _ => normalised(input(0), running),
            }
        }
        Operation::LayerNorm { length, epsilon } => {
            input(0).layer_norm([*length], Some(&own[0]), Some(&own[1]), *epsilon, true)
        }
        Operation::Activation(activation) => activate(*activation, input(0)),
        Operation::Add => input(0) + input(1),
        Operation::Multiply => input(0) * input(1),
        Operation::LayerScale { .. } => input(0) * &own[0],
        Operation::MaxPool {
            kernel,
            stride,
            padding,
        } => input(0).max_pool2d([*kernel; 2], [*stride; 2], [*padding; 2], [1; 2], false),
        Operation::PadSame { kernel, stride } => pad_same(input(0), *kernel, *stride),
        Operation::GlobalAveragePool => input(0).adaptive_avg_pool2d([1, 1]),
        Operation::Flatten => input(0).flatten(1, -1),
        Operation::SubsampleAndPad {
            stride,
            before,
            after,
        } => input(0)
            .slice(2, None, None, *stride)
            .slice(3, None, None, *stride)
            .constant_pad_nd([0, 0, 0, 0, *before, *after]),
        Operation::Linear { bias, .. } => {
            let bias = bias.then(|| &own[1]);
            input(0).linear(&own[0], bias)
        }
        Operation::Tokens => input(0).flatten(2, 3).transpose(1, 2),
        Operation::ConcatenateTokens => {
            let parts: Vec<&Tensor> = (0..operands.inputs.len()).map(input).collect();
            concatenate(&parts)
        }
        Operation::AddPositions {
            prefix,
            grid,
            interpolation,
        } => {
            let size = input(2).size();
            let positions = positions(input(1), *prefix, *grid, [size[2], size[3]], *interpolation);
            input(0) + positions
        }
        Operation::Attention { heads } => attention(input(0), *heads),
        Operation::SelectToken { index } => input(0).select(1, *index),
    }
}

/// A batch norm of each part of a batch by itself; of what they make of the running statistics, the
/// mean stays.
///
/// # Shapes
/// - `input`: `[B, …]`; the first of the parts have an image more where B is not divisible
fn in_parts(
    input: &Tensor,
    parts: i64,
    running: Option<[&Tensor; 2]>,
    normalised: impl Fn(&Tensor, Option<[&Tensor; 2]>) -> Tensor,
) -> Tensor {
    // Each part starts from the same running statistics.
    let copies = running.map(|both| both.map(|one| one.unsqueeze(0).repeat([parts, 1])));
    let results: Vec<Tensor> = input
        .tensor_split(parts, 0)
        .iter()
        .zip(0..)
        .map(|(part, number)| {
            let own = copies
                .as_ref()
                .map(|both| both.each_ref().map(|one| one.get(number)));
            normalised(part, own.as_ref().map(|both| both.each_ref()))
        })
        .collect();
    if let (Some(running), Some(copies)) = (running, copies) {
        for (one, copies) in running.into_iter().zip(copies) {
            let mean = copies.mean_dim(0, false, None);
            no_grad(|| one.shallow_clone().copy_(&mean));
        }
    }
    Tensor::cat(&results, 0)
}

pub(crate) fn activate(activation: Activation, input: &Tensor) -> Tensor {
    match activation {
        Activation::Relu => input.relu(),
        Activation::Relu6 => input.relu6(),
        Activation::Hardswish => input.hardswish(),
        Activation::Hardsigmoid => input.hardsigmoid(),
        Activation::Sigmoid => input.sigmoid(),
        Activation::Silu => input.silu(),
        Activation::Gelu => input.gelu("none"),
    }
}

pub(crate) fn pad_same(image: &Tensor, kernel: i64, stride: i64) -> Tensor {
    let size = image.size();
    let (above, below) = same_padding(size[2], kernel, stride);
    let (left, right) = same_padding(size[3], kernel, stride);
    if [above, below, left, right] == [0; 4] {
        return image.shallow_clone();
    }
    image.constant_pad_nd([left, right, above, below])
}

/// # Shapes
/// - `parts`: `[B, n, C]`, or `[1, n, C]` for all images
/// - returns `[B, sum of n, C]`
pub(crate) fn concatenate(parts: &[&Tensor]) -> Tensor {
    let batch = parts.iter().map(|part| part.size()[0]).max().unwrap_or(1);
    let kind = parts.last().map_or(Kind::Float, |part| part.kind());
    let parts: Vec<Tensor> = parts
        .iter()
        .map(|part| part.to_kind(kind).expand([batch, -1, -1], false))
        .collect();
    Tensor::cat(&parts, 1)
}

/// # Shapes
/// - `embedding`: `[1, prefix + grid², C]`
/// - returns `[1, prefix + rows · columns, C]`
pub(crate) fn positions(
    embedding: &Tensor,
    prefix: i64,
    grid: i64,
    [rows, columns]: [i64; 2],
    interpolation: Interpolation,
) -> Tensor {
    if [rows, columns] == [grid, grid] {
        return embedding.shallow_clone();
    }
    // Interpolation is done in f32, as by DINOv2.
    let patches = embedding
        .slice(1, prefix, None, 1)
        .to_kind(Kind::Float)
        .reshape([1, grid, grid, -1])
        .permute([0, 3, 1, 2]);
    let size = [rows, columns];
    let resized = match interpolation {
        Interpolation::AlignedCorners => patches.upsample_bicubic2d(size, true, None, None),
        Interpolation::Offset => {
            let scale = |length: i64| (length as f64 + 0.1) / grid as f64;
            patches.upsample_bicubic2d(size, false, scale(rows), scale(columns))
        }
        Interpolation::Antialiased => {
            patches.internal_upsample_bicubic2d_aa(size, false, None, None)
        }
    };
    let resized = resized
        .permute([0, 2, 3, 1])
        .reshape([1, rows * columns, -1])
        .to_kind(embedding.kind());
    Tensor::cat(&[embedding.slice(1, 0, prefix, 1), resized], 1)
}

/// # Shapes
/// - `queries_keys_values`: `[B, N, 3 · C]`
/// - returns `[B, N, C]`
pub(crate) fn attention(queries_keys_values: &Tensor, heads: i64) -> Tensor {
    let size = queries_keys_values.size();
    let (batch, tokens, width) = (size[0], size[1], size[2] / 3);
    let parts = queries_keys_values
        .reshape([batch, tokens, 3, heads, width / heads])
        .permute([2, 0, 3, 1, 4]); // [3, B, heads, N, C / heads]
    Tensor::scaled_dot_product_attention(
        &parts.get(0),
        &parts.get(1),
        &parts.get(2),
        None::<&Tensor>,
        0.0,
        false,
        None,
        false,
    )
    .transpose(1, 2)
    .reshape([batch, tokens, width])
}
