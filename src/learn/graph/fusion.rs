//! Which nodes of a folded graph run as one step: a convolution or linear layer, what is added to
//! it, and its activation.
//!
//! Knows names and order; holds no tensor.

use crate::graph::{Activation, Convolution, Graph, NodeId, Operation};

/// What one step does; values are numbered as the graph's nodes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FusedAction {
    Convolution {
        layer: Convolution,
        activation: Option<Activation>,
        sum: Option<Addend>,
    },
    Linear {
        bias: bool,
        activation: Option<Activation>,
    },
    Other {
        operation: Operation,
        /// The first input may be overwritten.
        in_place: bool,
    },
}

/// What is added to a convolution before its activation, which is ReLU or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addend {
    pub value: usize,
    /// Nobody reads it afterwards.
    pub in_place: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FusedStep {
    pub action: FusedAction,
    pub inputs: Vec<usize>,
    /// The node whose result this is: the last one of the step.
    pub result: usize,
    /// Index of the step's first tensor in state-dict order.
    pub first_tensor: usize,
    /// Values that nobody reads after this step.
    pub finished: Vec<usize>,
}

struct Planner<'graph> {
    graph: &'graph Graph,
    /// Nodes that read each node.
    readers: Vec<Vec<usize>>,
    is_output: Vec<bool>,
    /// The step that a node belongs to.
    step_of: Vec<Option<usize>>,
    steps: Vec<FusedStep>,
}

/// The steps in order of execution.
pub(crate) fn steps(graph: &Graph) -> Vec<FusedStep> {
    let count = graph.nodes().len();
    let mut planner = Planner {
        graph,
        readers: vec![vec![]; count],
        is_output: vec![false; count],
        step_of: vec![None; count],
        steps: vec![],
    };
    for (index, node) in graph.nodes().iter().enumerate() {
        for input in &node.inputs {
            planner.readers[input.0].push(index);
        }
    }
    for NodeId(output) in graph.outputs() {
        planner.is_output[output] = true;
    }
    let mut first_tensor = 0;
    for (index, node) in graph.nodes().iter().enumerate() {
        if planner.step_of[index].is_none() {
            planner.add(index, first_tensor);
        }
        first_tensor += node.state().len();
    }
    planner.finish();
    planner.steps
}

impl Planner<'_> {
    fn operation(&self, node: usize) -> &Operation {
        &self.graph.nodes()[node].operation
    }

    /// The only reader of a value that is no output.
    fn sole_reader(&self, node: usize) -> Option<usize> {
        match self.readers[node].as_slice() {
            [reader] if !self.is_output[node] => Some(*reader),
            _ => None,
        }
    }

    /// The activation that alone reads a node.
    fn activation_after(&self, node: usize) -> Option<(usize, Activation)> {
        let reader = self.sole_reader(node)?;
        match self.operation(reader) {
            Operation::Activation(activation) => Some((reader, *activation)),
            _ => None,
        }
    }

    fn add(&mut self, index: usize, first_tensor: usize) {
        let inputs: Vec<usize> = self.graph.nodes()[index]
            .inputs
            .iter()
            .map(|input| input.0)
            .collect();
        let mut members = vec![index];
        let action = match self.operation(index).clone() {
            Operation::Convolution(layer) => {
                let sum = self.sum_after(index);
                let activation = match sum {
                    None => self.activation_after(index),
                    Some((add, _)) => {
                        members.push(add);
                        let relu =
                            |(_, activation): &(usize, Activation)| *activation == Activation::Relu;
                        self.activation_after(add).filter(relu)
                    }
                };
                members.extend(activation.map(|(node, _)| node));
                FusedAction::Convolution {
                    layer,
                    activation: activation.map(|(_, activation)| activation),
                    sum: sum.map(|(_, addend)| addend),
                }
            }
            Operation::Linear { bias, .. } => {
                // Of the activations, oneDNN's linear layers know these.
                let known = |(_, activation): &(usize, Activation)| {
                    matches!(activation, Activation::Relu | Activation::Gelu)
                };
                let activation = self.activation_after(index).filter(known);
                members.extend(activation.map(|(node, _)| node));
                FusedAction::Linear {
                    bias,
                    activation: activation.map(|(_, activation)| activation),
                }
            }
            operation => {
                let in_place = matches!(
                    operation,
                    Operation::Activation(_) | Operation::Add | Operation::Multiply
                ) && !inputs[1..].contains(&inputs[0])
                    && self.readers[inputs[0]]
                        .iter()
                        .all(|&reader| reader <= index)
                    && !self.is_output[inputs[0]]
                    && self.has_memory_of_its_own(inputs[0]);
                FusedAction::Other {
                    operation,
                    in_place,
                }
            }
        };
        for &member in &members {
            self.step_of[member] = Some(self.steps.len());
        }
        self.steps.push(FusedStep {
            action,
            inputs,
            result: members[members.len() - 1],
            first_tensor,
            finished: vec![],
        });
    }

    /// The addition that alone reads a convolution, when the other summand is there already.
    fn sum_after(&self, convolution: usize) -> Option<(usize, Addend)> {
        let add = self.sole_reader(convolution)?;
        if *self.operation(add) != Operation::Add {
            return None;
        }
        let inputs = &self.graph.nodes()[add].inputs;
        let value = inputs
            .iter()
            .map(|input| input.0)
            .find(|&input| input != convolution)?;
        self.step_of[value]?;
        let read_before = |&reader: &usize| reader == add || reader < convolution;
        let in_place = self.readers[value].iter().all(read_before)
            && !self.is_output[value]
            && self.has_memory_of_its_own(value);
        Some((add, Addend { value, in_place }))
    }

    /// Whether a node's result is a fresh tensor, and no view of another one.
    fn has_memory_of_its_own(&self, node: usize) -> bool {
        matches!(
            self.operation(node),
            Operation::Convolution(_)
                | Operation::BatchNorm { .. }
                | Operation::LayerNorm { .. }
                | Operation::Linear { .. }
                | Operation::Activation(_)
                | Operation::Add
                | Operation::Multiply
                | Operation::MaxPool { .. }
                | Operation::LayerScale { .. }
        )
    }

    /// Notes after which step each value is read no more.
    fn finish(&mut self) {
        for node in 0..self.readers.len() {
            let readers = self.readers[node].iter();
            let last = readers.filter_map(|&reader| self.step_of[reader]).max();
            if let Some(last) = last
                && !self.is_output[node]
            {
                self.steps[last].finished.push(node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Architecture;
    use crate::graph::folding;
    use crate::torch::tensors::from_slice_f32;
    use tch::Tensor;

    fn folded_steps(name: &str) -> Vec<FusedStep> {
        let graph = Architecture::named(name).graph().unwrap();
        let zeros = |shape: &[i64]| {
            from_slice_f32(shape, &vec![0.0; shape.iter().product::<i64>() as usize])
        };
        let tensors: Vec<Tensor> = graph
            .state()
            .iter()
            .map(|spec| zeros(&spec.shape))
            .collect();
        steps(&folding::fold(&graph, &tensors).graph)
    }

    #[test]
    fn a_resnet_is_convolutions_with_everything_fused_and_two_pools() {
        let steps = folded_steps("resnet18");
        let convolutions = steps
            .iter()
            .filter(|step| matches!(step.action, FusedAction::Convolution { .. }))
            .count();
        assert_eq!(convolutions, 20);
        // Image, max pool, global pool, flatten.
        assert_eq!(steps.len(), 24);
        let sums = steps.iter().filter_map(|step| match &step.action {
            FusedAction::Convolution {
                sum: Some(sum),
                activation,
                ..
            } => Some((sum.in_place, *activation)),
            _ => None,
        });
        assert_eq!(
            sums.collect::<Vec<_>>(),
            [(true, Some(Activation::Relu)); 8]
        );
    }

    #[test]
    fn squeeze_excite_reads_the_activated_convolution_and_overwrites_it() {
        let steps = folded_steps("efficientnet_b0");
        let multiplications: Vec<bool> = steps
            .iter()
            .filter_map(|step| match &step.action {
                FusedAction::Other {
                    operation: Operation::Multiply,
                    in_place,
                } => Some(*in_place),
                _ => None,
            })
            .collect();
        // The channels are read by the pool, too, but before: the multiplication is their last
        // reader.
        assert_eq!(multiplications, [true; 16]);
        assert!(
            steps.iter().all(|step| !matches!(
                &step.action,
                FusedAction::Other {
                    operation: Operation::Activation(_),
                    ..
                }
            )),
            "every activation is fused"
        );
    }
}
