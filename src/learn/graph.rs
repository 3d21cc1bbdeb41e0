//! A network as data: nodes of named operations, each with its state-dict prefix and its inputs.
//!
//! Knows names, shapes and counts; holds no tensor. From a graph come the forward pass (`execution`), the state-dict
//! names and shapes in PyTorch's order, and the parameter and multiply-add counts. Nodes are in order of execution,
//! which is the order in which PyTorch registers the modules.

use tch::Kind;

/// Index of a node in [`Graph::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(pub(crate) usize);

/// How a weight begins; biases begin as `uniform ±1/√fan_in`, batch norms as 1 and 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initial {
    /// Normal with variance 2 / (outputs · kernel area): torchvision's ResNets.
    KaimingNormalFanOut,
    /// Normal with variance 2 / (inputs · kernel area): the CIFAR ResNets.
    KaimingNormalFanIn,
    /// Uniform within ±1/√fan_in: PyTorch's default.
    Uniform,
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
}

/// What a node computes. Shapes are of its inputs and its result.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// The images given to the forward pass: `[B, channels, H, W]`.
    Image {
        channels: i64,
    },
    /// `[B, inputs, H, W]` → `[B, outputs, H', W']`; tensors `weight` and maybe `bias`.
    Convolution(Convolution),
    /// Same shape; tensors `weight`, `bias`, `running_mean`, `running_var`, `num_batches_tracked`.
    BatchNorm {
        channels: i64,
        epsilon: f64,
        momentum: f64,
    },
    Relu,
    /// Sum of two inputs of one shape.
    Add,
    MaxPool {
        kernel: i64,
        stride: i64,
        padding: i64,
    },
    /// `[B, C, H, W]` → `[B, C, 1, 1]`.
    GlobalAveragePool,
    /// `[B, …]` → `[B, product]`.
    Flatten,
    /// Every `stride`th row and column, zero channels added: the CIFAR ResNets' shortcut without weights (option A).
    SubsampleAndPad {
        stride: i64,
        before: i64,
        after: i64,
    },
    /// `[B, inputs]` → `[B, outputs]`; tensors `weight` and maybe `bias`.
    Linear {
        inputs: i64,
        outputs: i64,
        bias: bool,
        initial: Initial,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub operation: Operation,
    /// State-dict prefix such as `layer1.0.conv1`; empty where there are no tensors.
    pub name: String,
    pub inputs: Vec<NodeId>,
}

/// What a tensor is for; says how it begins and whether it is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Role {
    Weight {
        initial: Initial,
    },
    /// Of a convolution or linear layer with that many inputs to each output.
    Bias {
        fan_in: i64,
    },
    Scale,
    Shift,
    RunningMean,
    RunningVariance,
    BatchesTracked,
}

impl Role {
    pub fn trainable(self) -> bool {
        !matches!(
            self,
            Role::RunningMean | Role::RunningVariance | Role::BatchesTracked
        )
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

/// The graph of one network. `features` is what a backbone yields; `logits` and `embedding` where it has such ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    nodes: Vec<Node>,
    features: NodeId,
    logits: Option<NodeId>,
    embedding: Option<NodeId>,
}

impl Graph {
    pub(crate) fn new(
        nodes: Vec<Node>,
        features: NodeId,
        logits: Option<NodeId>,
        embedding: Option<NodeId>,
    ) -> Self {
        Self {
            nodes,
            features,
            logits,
            embedding,
        }
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Node of `[B, D]`.
    pub fn features(&self) -> NodeId {
        self.features
    }

    /// Node of `[B, classes]`.
    pub fn logits(&self) -> Option<NodeId> {
        self.logits
    }

    /// Node of `[B, head.out]`.
    pub fn embedding(&self) -> Option<NodeId> {
        self.embedding
    }

    /// Every tensor in PyTorch's state-dict order.
    pub fn state(&self) -> Vec<TensorSpec> {
        self.nodes.iter().flat_map(node_state).collect()
    }

    /// Trainable numbers.
    pub fn parameter_count(&self) -> u64 {
        self.state()
            .iter()
            .filter(|spec| spec.role.trainable())
            .map(|spec| spec.shape.iter().product::<i64>().unsigned_abs())
            .sum()
    }

    /// Shape of every node's result for one image, without the batch dimension.
    pub fn shapes(&self, height: i64, width: i64) -> Vec<Vec<i64>> {
        let mut shapes: Vec<Vec<i64>> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let shape = match node.inputs.first() {
                None => node_shape(&node.operation, &[0, height, width]),
                Some(input) => node_shape(&node.operation, &shapes[input.0]),
            };
            shapes.push(shape);
        }
        shapes
    }

    /// Length of a node's result `[B, length]`.
    pub fn length(&self, node: NodeId) -> i64 {
        // Pooled over the whole image, so any size large enough gives the same.
        self.shapes(256, 256)[node.0].iter().product()
    }

    /// Multiplications with additions of convolutions and linear layers, for one image.
    pub fn multiply_adds(&self, height: i64, width: i64) -> u64 {
        let shapes = self.shapes(height, width);
        let count: i64 = self
            .nodes
            .iter()
            .zip(&shapes)
            .map(|(node, shape)| match &node.operation {
                Operation::Convolution(convolution) => {
                    let per_output = convolution.inputs / convolution.groups
                        * convolution.kernel
                        * convolution.kernel;
                    shape.iter().product::<i64>() * per_output
                }
                Operation::Linear {
                    inputs, outputs, ..
                } => inputs * outputs,
                _ => 0,
            })
            .sum();
        count.unsigned_abs()
    }
}

fn node_state(node: &Node) -> Vec<TensorSpec> {
    let spec = |last: &str, shape: &[i64], role| TensorSpec {
        name: format!("{}.{last}", node.name),
        shape: shape.to_vec(),
        kind: if role == Role::BatchesTracked {
            Kind::Int64
        } else {
            Kind::Float
        },
        role,
    };
    match &node.operation {
        Operation::Convolution(convolution) => {
            let inputs = convolution.inputs / convolution.groups;
            let kernel = convolution.kernel;
            let fan_in = inputs * kernel * kernel;
            let role = Role::Weight {
                initial: convolution.initial,
            };
            let mut specs = vec![spec(
                "weight",
                &[convolution.outputs, inputs, kernel, kernel],
                role,
            )];
            if convolution.bias {
                specs.push(spec("bias", &[convolution.outputs], Role::Bias { fan_in }));
            }
            specs
        }
        Operation::Linear {
            inputs,
            outputs,
            bias,
            initial,
        } => {
            let mut specs = vec![spec(
                "weight",
                &[*outputs, *inputs],
                Role::Weight { initial: *initial },
            )];
            if *bias {
                specs.push(spec("bias", &[*outputs], Role::Bias { fan_in: *inputs }));
            }
            specs
        }
        Operation::BatchNorm { channels, .. } => vec![
            spec("weight", &[*channels], Role::Scale),
            spec("bias", &[*channels], Role::Shift),
            spec("running_mean", &[*channels], Role::RunningMean),
            spec("running_var", &[*channels], Role::RunningVariance),
            spec("num_batches_tracked", &[], Role::BatchesTracked),
        ],
        _ => vec![],
    }
}

fn node_shape(operation: &Operation, input: &[i64]) -> Vec<i64> {
    let windows = |length: i64, kernel: i64, stride: i64, padding: i64| {
        (length + 2 * padding - kernel) / stride + 1
    };
    match operation {
        Operation::Image { channels } => vec![*channels, input[1], input[2]],
        Operation::Convolution(Convolution {
            outputs,
            kernel,
            stride,
            padding,
            ..
        }) => {
            vec![
                *outputs,
                windows(input[1], *kernel, *stride, *padding),
                windows(input[2], *kernel, *stride, *padding),
            ]
        }
        Operation::MaxPool {
            kernel,
            stride,
            padding,
        } => {
            vec![
                input[0],
                windows(input[1], *kernel, *stride, *padding),
                windows(input[2], *kernel, *stride, *padding),
            ]
        }
        Operation::GlobalAveragePool => vec![input[0], 1, 1],
        Operation::Flatten => vec![input.iter().product()],
        Operation::SubsampleAndPad {
            stride,
            before,
            after,
        } => {
            vec![
                before + input[0] + after,
                windows(input[1], 1, *stride, 0),
                windows(input[2], 1, *stride, 0),
            ]
        }
        Operation::Linear { outputs, .. } => vec![*outputs],
        Operation::BatchNorm { .. } | Operation::Relu | Operation::Add => input.to_vec(),
    }
}
