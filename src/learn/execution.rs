//! The forward pass of a graph: compiled once into steps that know their tensors by index, run on every batch.
//!
//! A value is dropped after its last reader; ReLU and addition overwrite their input when nothing else reads it and
//! autograd does not need it.

use tch::Tensor;

use crate::graph::{Activation, Graph, NodeId, Operation};
use crate::operations::{self, Operands};

/// Whether batch norms use the batch's statistics (and update the running ones) or the running ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Train,
    Eval,
}

struct Step {
    operation: Operation,
    inputs: Vec<usize>,
    /// Index of the node's first tensor in state-dict order.
    first_tensor: usize,
    /// The first input may be overwritten.
    in_place: bool,
    /// Its tensors stay as they are: a batch norm uses the running statistics in every mode.
    frozen: bool,
    /// Nodes that nobody reads after this step.
    finished: Vec<usize>,
}

/// A graph made ready to run.
pub(crate) struct Plan {
    steps: Vec<Step>,
    outputs: Vec<usize>,
}

impl Plan {
    pub(crate) fn new(graph: &Graph) -> Self {
        let outputs: Vec<usize> = graph.outputs().iter().map(|output| output.0).collect();
        let nodes = graph.nodes();
        let readers = graph.readers();
        let last_reader = last_readers(graph);
        let mut tensor_count = 0;
        let mut steps = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            let inputs: Vec<usize> = node.inputs.iter().map(|input| input.0).collect();
            let in_place = matches!(
                node.operation,
                Operation::Activation(Activation::Relu) | Operation::Add
            ) && readers[inputs[0]] == 1
                && !inputs[1..].contains(&inputs[0])
                && keeps_no_result(&nodes[inputs[0]].operation);
            let mut finished: Vec<usize> = inputs
                .iter()
                .copied()
                .filter(|&input| last_reader[input] == index)
                .collect();
            finished.dedup();
            let operation = node.operation.clone();
            let first_tensor = tensor_count;
            tensor_count += node.state().len();
            steps.push(Step {
                operation,
                inputs,
                first_tensor,
                in_place,
                frozen: false,
                finished,
            });
        }
        Self { steps, outputs }
    }

    /// Runs the steps all of whose tensors are frozen as in evaluation, whatever the mode.
    ///
    /// - `frozen`: one for each tensor, in state-dict order
    pub(crate) fn freeze(&mut self, frozen: &[bool]) {
        for step in &mut self.steps {
            let count = step.operation.state("").len();
            let own = &frozen[step.first_tensor..step.first_tensor + count];
            step.frozen = count > 0 && own.iter().all(|&frozen| frozen);
        }
    }

    /// Results of features, logits and embedding, as far as the graph has them, in this order.
    ///
    /// `tensors` are the network's, in state-dict order; `images` `[B, 3, H, W]`.
    pub(crate) fn run(&self, tensors: &[Tensor], images: &Tensor, mode: Mode) -> Vec<Tensor> {
        let mut values: Vec<Option<Tensor>> = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let value = if step.in_place {
                let mut first = values[step.inputs[0]]
                    .take()
                    .expect("BUG: a value was freed before its reader");
                match &step.operation {
                    Operation::Activation(Activation::Relu) => first.relu_(),
                    Operation::Add => first.g_add_(input(&values, step, 1)),
                    other => panic!("BUG: {other:?} is never done in place"),
                }
            } else {
                let mode = if step.frozen { Mode::Eval } else { mode };
                compute(step, &values, tensors, images, mode)
            };
            for &finished in &step.finished {
                values[finished] = None;
            }
            values.push(Some(value));
        }
        let taken = |&output: &usize| {
            values[output]
                .as_ref()
                .expect("BUG: an output was freed")
                .shallow_clone()
        };
        self.outputs.iter().map(taken).collect()
    }
}

/// The node that reads each node's result last; `usize::MAX` for outputs and for what nobody reads.
pub(crate) fn last_readers(graph: &Graph) -> Vec<usize> {
    let mut last = vec![usize::MAX; graph.nodes().len()];
    for (index, node) in graph.nodes().iter().enumerate() {
        for input in &node.inputs {
            last[input.0] = index;
        }
    }
    for NodeId(output) in graph.outputs() {
        last[output] = usize::MAX;
    }
    last
}

/// Whether an operation's backward pass can do without its own result.
fn keeps_no_result(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Convolution(_)
            | Operation::BatchNorm { .. }
            | Operation::Add
            | Operation::Linear { .. }
            | Operation::LayerNorm { .. }
            | Operation::LayerScale { .. }
            | Operation::Multiply
    )
}

fn input<'values>(
    values: &'values [Option<Tensor>],
    step: &Step,
    position: usize,
) -> &'values Tensor {
    values[step.inputs[position]]
        .as_ref()
        .expect("BUG: a value was freed before its reader")
}

fn compute(
    step: &Step,
    values: &[Option<Tensor>],
    tensors: &[Tensor],
    images: &Tensor,
    mode: Mode,
) -> Tensor {
    let operands = Operands {
        inputs: &step.inputs,
        values,
        tensors: &tensors[step.first_tensor..],
        images,
    };
    operations::compute(&step.operation, &operands, mode)
}
