//! The forward pass of a graph: compiled once into steps that know their tensors by index, run on
//! every batch.
//!
//! A value is dropped after its last reader; ReLU and addition overwrite their input when nothing
//! else reads it and autograd does not need it.

use std::num::NonZeroI64;
use std::ops::Range;

use tch::Tensor;

use crate::graph::operations::{self, Operands};
use crate::graph::{Activation, Graph, NodeId, Operation};

/// What batch norms normalise by: the batch's statistics, which update the running ones, or the
/// running ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Train,
    /// As on several devices that each have a part of the batch, in its order: a part is normalised
    /// by itself, and the running statistics follow the parts' mean (`SplitBatchNorm` of MoCo's
    /// CIFAR-10 demo).
    TrainInParts(NonZeroI64),
    Eval,
}

#[derive(Clone)]
struct ProgramStep {
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
#[derive(Clone)]
pub(crate) struct Program {
    steps: Vec<ProgramStep>,
    outputs: Vec<usize>,
}

impl Program {
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
            steps.push(ProgramStep {
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
        let given = Given {
            tensors,
            images,
            mode,
            keeps_statistics: true,
        };
        let values = self.run_steps(0..self.steps.len(), None, &given);
        self.results(&values)
    }

    /// The outputs among the values of a run up to the end.
    pub(crate) fn results(&self, values: &[Option<Tensor>]) -> Vec<Tensor> {
        let taken = |&output: &usize| {
            values[output]
                .as_ref()
                .expect("BUG: an output was freed")
                .shallow_clone()
        };
        self.outputs.iter().map(taken).collect()
    }

    /// Runs some steps. The values of those that nothing among them frees are in the result, at
    /// their index.
    ///
    /// - `entry`: the result of the step before, where the steps begin at a cut; it is never
    ///   overwritten
    pub(crate) fn run_steps(
        &self,
        steps: Range<usize>,
        entry: Option<&Tensor>,
        given: &Given,
    ) -> Vec<Option<Tensor>> {
        let mut values: Vec<Option<Tensor>> = Vec::with_capacity(steps.end);
        // What has no inputs is there everywhere: it costs nothing.
        values.extend(
            self.steps[..steps.start]
                .iter()
                .map(|step| step.inputs.is_empty().then(|| compute(step, &[], given))),
        );
        if let Some(entry) = entry {
            values[steps.start - 1] = Some(entry.shallow_clone());
        }
        for step in &self.steps[steps.clone()] {
            let kept = entry.is_some() && step.inputs.first() == Some(&(steps.start - 1));
            let value = if step.in_place && !kept {
                let mut first = values[step.inputs[0]]
                    .take()
                    .expect("BUG: a value was freed before its reader");
                match &step.operation {
                    Operation::Activation(Activation::Relu) => first.relu_(),
                    Operation::Add => first.g_add_(input(&values, step, 1)),
                    other => panic!("BUG: {other:?} is never done in place"),
                }
            } else {
                compute(step, &values, given)
            };
            for &finished in &step.finished {
                values[finished] = None;
            }
            values.push(Some(value));
        }
        values
    }

    /// Steps after which all that is read later is the step's own result, apart from what has no
    /// inputs, in ascending order. None lies at an output or after one.
    pub(crate) fn cuts(&self) -> Vec<usize> {
        let first_output = self.outputs.iter().copied().min().unwrap_or(0);
        let mut last_reader = vec![usize::MAX; self.steps.len()];
        for (index, step) in self.steps.iter().enumerate() {
            for &input in &step.inputs {
                last_reader[input] = index;
            }
        }
        let mut read_until = 0;
        let mut cuts = Vec::new();
        for (index, step) in self.steps[..first_output].iter().enumerate() {
            if step.inputs.is_empty() {
                continue;
            }
            if read_until <= index {
                cuts.push(index);
            }
            read_until = read_until.max(last_reader[index]);
        }
        cuts
    }

    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    /// Indices of the tensors of some steps, in state-dict order.
    pub(crate) fn tensors_of(&self, steps: Range<usize>, tensors: usize) -> Range<usize> {
        let first = |step: usize| {
            self.steps
                .get(step)
                .map_or(tensors, |step| step.first_tensor)
        };
        first(steps.start)..first(steps.end)
    }
}

/// What a run is given.
pub(crate) struct Given<'run> {
    /// The network's, in state-dict order.
    pub tensors: &'run [Tensor],
    pub images: &'run Tensor,
    pub mode: Mode,
    /// Whether training mode updates the batch norms' running statistics.
    pub keeps_statistics: bool,
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
    step: &ProgramStep,
    position: usize,
) -> &'values Tensor {
    values[step.inputs[position]]
        .as_ref()
        .expect("BUG: a value was freed before its reader")
}

fn compute(step: &ProgramStep, values: &[Option<Tensor>], given: &Given) -> Tensor {
    let operands = Operands {
        inputs: &step.inputs,
        values,
        tensors: &given.tensors[step.first_tensor..],
        images: given.images,
        keeps_statistics: given.keeps_statistics,
    };
    let mode = if step.frozen { Mode::Eval } else { given.mode };
    operations::compute(&step.operation, &operands, mode)
}
