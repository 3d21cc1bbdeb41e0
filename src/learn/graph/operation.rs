//! The operations that a network is made of, and the tensors that each of them holds.

use tch::Kind;

/// How a weight begins; batch norms and layer norms begin as 1 and 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initial {
    /// Normal with variance 2 / (outputs · kernel area): torchvision's convolutions.
    KaimingNormalFanOut,
    /// Normal with variance 2 / (inputs · kernel area): the CIFAR ResNets.
    KaimingNormalFanIn,
    /// Uniform within ±1/√fan_in: PyTorch's default.
    Uniform,
    /// Uniform within ±1/√outputs: EfficientNet's classifier.
    UniformFanOut,
    /// Normal with this standard deviation.
    Normal {
        deviation: f64,
    },
    Constant(f64),
}

impl Initial {
    /// How the bias beside such a weight begins: as PyTorch's default beside the first uniform
    /// ones, else as zeros.
    fn bias(self, fan_in: i64) -> Role {
        match self {
            Initial::Uniform | Initial::KaimingNormalFanIn => Role::Bias { fan_in },
            _ => Role::Shift,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Convolution {
    pub inputs: i64,
    pub outputs: i64,
    /// Side of the square kernel.
    pub kernel: i64,
    pub stride: i64,
    pub padding: i64,
    pub groups: i64,
    pub bias: bool,
    pub initial: Initial,
}

impl Convolution {
    /// Without bias, in one group, padded to keep the size at stride 1.
    pub fn new(inputs: i64, outputs: i64, kernel: i64, stride: i64, initial: Initial) -> Self {
        Self {
            inputs,
            outputs,
            kernel,
            stride,
            padding: kernel / 2,
            groups: 1,
            bias: false,
            initial,
        }
    }

    /// Each channel by itself.
    pub fn depthwise(channels: i64, kernel: i64, stride: i64, initial: Initial) -> Self {
        Self {
            groups: channels,
            ..Self::new(channels, channels, kernel, stride, initial)
        }
    }

    pub fn with_bias(self) -> Self {
        Self { bias: true, ..self }
    }

    /// Multiplications to each output, with its addition.
    pub(crate) fn per_output(&self) -> i64 {
        self.inputs / self.groups * self.kernel * self.kernel
    }
}

/// A function of each number by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    Relu,
    /// Clamped to 0–6.
    Relu6,
    /// x · clamp(x + 3, 0, 6) / 6.
    Hardswish,
    /// clamp(x + 3, 0, 6) / 6.
    Hardsigmoid,
    Sigmoid,
    /// x · sigmoid(x), also called swish.
    Silu,
    /// x · Φ(x), exact.
    Gelu,
}

/// How a position embedding made for one grid of patches serves another one: bicubic, with the
/// conventions of its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// Corners aligned: torchvision's `interpolate_embeddings`.
    AlignedCorners,
    /// Scaled by (patches + 0.1) / grid: DINO, and DINOv2 without registers.
    Offset,
    /// Antialiased: DINOv2 with registers.
    Antialiased,
}

/// What a node computes. Shapes are of its inputs and its result.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// The images given to the forward pass: `[B, channels, H, W]`.
    Image {
        channels: i64,
    },
    /// A trained tensor of its own, called as the node: `[1, …]`, the same for every image.
    Parameter {
        shape: Vec<i64>,
        initial: Initial,
    },
    /// A tensor that belongs to the state but that nothing reads; begins as zeros.
    Unread {
        shape: Vec<i64>,
    },
    /// `[B, inputs, H, W]` → `[B, outputs, H', W']`; tensors `weight` and maybe `bias`.
    Convolution(Convolution),
    /// Same shape; tensors `weight`, `bias`, `running_mean`, `running_var`, `num_batches_tracked`.
    /// Of `[B, C, H, W]` or `[B, C]`.
    BatchNorm {
        channels: i64,
        epsilon: f64,
        momentum: f64,
        /// Whether the bias is learned; else it is there, as PyTorch wants it, and stays 0.
        offset: bool,
    },
    /// Over the last dimension; tensors `weight`, `bias`.
    LayerNorm {
        length: i64,
        epsilon: f64,
    },
    Activation(Activation),
    /// Sum of two inputs of one shape.
    Add,
    /// `[B, C, H, W]` times `[B, C, 1, 1]`: squeeze-excite's last step.
    Multiply,
    /// Times a tensor `gamma` over the last dimension.
    LayerScale {
        length: i64,
        initial: f64,
    },
    MaxPool {
        kernel: i64,
        stride: i64,
        padding: i64,
    },
    /// Zeros around the image so that a window of `kernel` and `stride` without padding gives ⌈H /
    /// stride⌉ rows: TensorFlow's `SAME`, one more below and to the right where the count is odd.
    PadSame {
        kernel: i64,
        stride: i64,
    },
    /// `[B, C, H, W]` → `[B, C, 1, 1]`.
    GlobalAveragePool,
    /// `[B, …]` → `[B, product]`.
    Flatten,
    /// Every `stride`th row and column, zero channels added: the CIFAR ResNets' shortcut without
    /// weights (option A).
    SubsampleAndPad {
        stride: i64,
        before: i64,
        after: i64,
    },
    /// `[B, …, inputs]` → `[B, …, outputs]`; tensors `weight` and maybe `bias`.
    Linear {
        inputs: i64,
        outputs: i64,
        bias: bool,
        initial: Initial,
    },
    /// `[B, C, H, W]` → `[B, H · W, C]`.
    Tokens,
    /// `[B or 1, n, C]` and more of them → `[B, sum of n, C]`.
    ConcatenateTokens,
    /// Tokens `[B, prefix + H' · W', C]` plus positions `[1, prefix + grid², C]`, brought to the
    /// grid of the third input, the patches `[B, C, H', W']`.
    AddPositions {
        prefix: i64,
        grid: i64,
        interpolation: Interpolation,
    },
    /// Queries, keys and values `[B, N, 3 · C]` → `[B, N, C]`: softmax(q kᵀ / √(C / heads)) v in
    /// each head.
    Attention {
        heads: i64,
    },
    /// `[B, N, C]` → `[B, C]`, the token at that index.
    SelectToken {
        index: i64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Role {
    Weight {
        initial: Initial,
    },
    /// Of a convolution or linear layer with that many inputs to each output.
    Bias {
        fan_in: i64,
    },
    /// Begins as 1.
    Scale,
    /// Begins as 0.
    Shift,
    /// Stays 0.
    NoShift,
    RunningMean,
    RunningVariance,
    BatchesTracked,
    /// Counted as a parameter, and read by nothing.
    Unread,
}

impl Role {
    pub fn trainable(self) -> bool {
        !matches!(
            self,
            Role::NoShift | Role::RunningMean | Role::RunningVariance | Role::BatchesTracked
        )
    }

    /// Whether a network computes the same without it.
    pub fn may_be_absent(self) -> bool {
        matches!(self, Role::NoShift | Role::BatchesTracked | Role::Unread)
    }
}

/// One entry of the state dict.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorSpec {
    pub name: String,
    pub shape: Vec<i64>,
    pub kind: Kind,
    pub role: Role,
}

impl Operation {
    /// The tensors of a node called `name`, in PyTorch's order. A name that ends in `_` is joined
    /// without a dot: PyTorch's attention calls its first layer `in_proj_weight`.
    pub(crate) fn state(&self, name: &str) -> Vec<TensorSpec> {
        let spec = |last: &str, shape: &[i64], role| TensorSpec {
            name: match last {
                "" => name.to_owned(),
                _ if name.ends_with('_') => format!("{name}{last}"),
                _ => format!("{name}.{last}"),
            },
            shape: shape.to_vec(),
            kind: if role == Role::BatchesTracked {
                Kind::Int64
            } else {
                Kind::Float
            },
            role,
        };
        let weighted = |shape: &[i64], fan_in: i64, bias: bool, initial: Initial| {
            let mut specs = vec![spec("weight", shape, Role::Weight { initial })];
            if bias {
                specs.push(spec("bias", &shape[..1], initial.bias(fan_in)));
            }
            specs
        };
        match self {
            Operation::Parameter { shape, initial } => {
                vec![spec("", shape, Role::Weight { initial: *initial })]
            }
            Operation::Unread { shape } => vec![spec("", shape, Role::Unread)],
            Operation::Convolution(convolution) => {
                let Convolution {
                    outputs, kernel, ..
                } = *convolution;
                let inputs = convolution.inputs / convolution.groups;
                weighted(
                    &[outputs, inputs, kernel, kernel],
                    convolution.per_output(),
                    convolution.bias,
                    convolution.initial,
                )
            }
            Operation::Linear {
                inputs,
                outputs,
                bias,
                initial,
            } => weighted(&[*outputs, *inputs], *inputs, *bias, *initial),
            Operation::BatchNorm {
                channels, offset, ..
            } => vec![
                spec("weight", &[*channels], Role::Scale),
                spec(
                    "bias",
                    &[*channels],
                    if *offset { Role::Shift } else { Role::NoShift },
                ),
                spec("running_mean", &[*channels], Role::RunningMean),
                spec("running_var", &[*channels], Role::RunningVariance),
                spec("num_batches_tracked", &[], Role::BatchesTracked),
            ],
            Operation::LayerNorm { length, .. } => vec![
                spec("weight", &[*length], Role::Scale),
                spec("bias", &[*length], Role::Shift),
            ],
            Operation::LayerScale { length, initial } => vec![spec(
                "gamma",
                &[*length],
                Role::Weight {
                    initial: Initial::Constant(*initial),
                },
            )],
            Operation::Image { .. }
            | Operation::Activation(_)
            | Operation::Add
            | Operation::Multiply
            | Operation::MaxPool { .. }
            | Operation::PadSame { .. }
            | Operation::GlobalAveragePool
            | Operation::Flatten
            | Operation::SubsampleAndPad { .. }
            | Operation::Tokens
            | Operation::ConcatenateTokens
            | Operation::AddPositions { .. }
            | Operation::Attention { .. }
            | Operation::SelectToken { .. } => vec![],
        }
    }

    /// Shape of the result, without the batch dimension; `inputs` likewise.
    pub(crate) fn shape(&self, inputs: &[&[i64]]) -> Vec<i64> {
        let windows = |length: i64, kernel: i64, stride: i64, padding: i64| {
            (length + 2 * padding - kernel) / stride + 1
        };
        let input = inputs.first().copied().unwrap_or_default();
        let with_last = |last: i64| {
            let mut shape = input.to_vec();
            if let Some(length) = shape.last_mut() {
                *length = last;
            }
            shape
        };
        match self {
            Operation::Image { channels } => vec![*channels, input[1], input[2]],
            Operation::Parameter { shape, .. } | Operation::Unread { shape } => shape[1..].to_vec(),
            Operation::Convolution(Convolution {
                outputs,
                kernel,
                stride,
                padding,
                ..
            }) => vec![
                *outputs,
                windows(input[1], *kernel, *stride, *padding),
                windows(input[2], *kernel, *stride, *padding),
            ],
            Operation::MaxPool {
                kernel,
                stride,
                padding,
            } => vec![
                input[0],
                windows(input[1], *kernel, *stride, *padding),
                windows(input[2], *kernel, *stride, *padding),
            ],
            Operation::PadSame { kernel, stride } => {
                let padded = |length| {
                    let (before, after) = same_padding(length, *kernel, *stride);
                    before + length + after
                };
                vec![input[0], padded(input[1]), padded(input[2])]
            }
            Operation::GlobalAveragePool => vec![input[0], 1, 1],
            Operation::Flatten => vec![input.iter().product()],
            Operation::SubsampleAndPad {
                stride,
                before,
                after,
            } => vec![
                before + input[0] + after,
                windows(input[1], 1, *stride, 0),
                windows(input[2], 1, *stride, 0),
            ],
            Operation::Linear { outputs, .. } => with_last(*outputs),
            Operation::Tokens => vec![input[1] * input[2], input[0]],
            Operation::ConcatenateTokens => {
                vec![inputs.iter().map(|tokens| tokens[0]).sum(), input[1]]
            }
            Operation::Attention { .. } => vec![input[0], input[1] / 3],
            Operation::SelectToken { .. } => vec![input[1]],
            Operation::BatchNorm { .. }
            | Operation::LayerNorm { .. }
            | Operation::Activation(_)
            | Operation::Add
            | Operation::Multiply
            | Operation::LayerScale { .. }
            | Operation::AddPositions { .. } => input.to_vec(),
        }
    }

    /// What it needs of inputs of these shapes and doesn't find: what was expected, and what was
    /// got.
    pub(crate) fn misfit(&self, inputs: &[&[i64]]) -> Option<(String, String)> {
        let input = inputs.first().copied().unwrap_or_default();
        let numbers = |expected: i64, got: Option<&i64>| {
            let got = got.copied().unwrap_or_default();
            (got != expected).then(|| (format!("{expected} inputs"), got.to_string()))
        };
        let window = |kernel: i64, padding: i64| {
            let (height, width) = (input[1], input[2]);
            (kernel > height.min(width) + 2 * padding).then(|| {
                (
                    "a kernel that fits into the padded input".to_owned(),
                    format!("kernel {kernel}, padding {padding}, input {height}×{width}"),
                )
            })
        };
        match self {
            Operation::Convolution(layer) => {
                numbers(layer.inputs, input.first()).or_else(|| window(layer.kernel, layer.padding))
            }
            Operation::MaxPool {
                kernel, padding, ..
            } => window(*kernel, *padding),
            Operation::BatchNorm { channels, .. } => numbers(*channels, input.first()),
            Operation::LayerNorm { length, .. } | Operation::LayerScale { length, .. } => {
                numbers(*length, input.last())
            }
            Operation::Linear { inputs, .. } => numbers(*inputs, input.last()),
            Operation::Add if inputs[0] != inputs[1] => Some((
                "two inputs of one shape".to_owned(),
                format!("{:?} and {:?}", inputs[0], inputs[1]),
            )),
            _ => None,
        }
    }

    /// Multiplications with additions of convolutions, linear layers and attention; `result`
    /// without the batch dimension.
    pub(crate) fn multiply_adds(&self, result: &[i64]) -> i64 {
        match self {
            Operation::Convolution(convolution) => {
                result.iter().product::<i64>() * convolution.per_output()
            }
            Operation::Linear { inputs, .. } => result.iter().product::<i64>() * inputs,
            // Every token with every token, once for the weights and once for the values.
            Operation::Attention { .. } => 2 * result[0] * result[0] * result[1],
            _ => 0,
        }
    }
}

/// Zeros before and after `length` pixels, see [`Operation::PadSame`].
pub(crate) fn same_padding(length: i64, kernel: i64, stride: i64) -> (i64, i64) {
    let windows = (length + stride - 1) / stride;
    let total = ((windows - 1) * stride + kernel - length).max(0);
    (total / 2, total - total / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_gives_one_window_to_each_stride() {
        assert_eq!(same_padding(224, 3, 2), (0, 1));
        assert_eq!(same_padding(112, 5, 2), (1, 2));
        assert_eq!(same_padding(65, 5, 2), (2, 2));
        assert_eq!(same_padding(7, 3, 1), (1, 1));
        assert_eq!(same_padding(4, 1, 2), (0, 0));
    }

    #[test]
    fn a_name_that_ends_in_an_underscore_is_joined_without_a_dot() {
        let linear = Operation::Linear {
            inputs: 2,
            outputs: 3,
            bias: true,
            initial: Initial::Normal { deviation: 0.02 },
        };
        let state = linear.state("attention.in_proj_");
        assert_eq!(state[0].name, "attention.in_proj_weight");
        assert_eq!(
            (state[1].name.as_str(), state[1].role),
            ("attention.in_proj_bias", Role::Shift)
        );
    }
}
