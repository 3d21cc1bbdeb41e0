//! Gradient checkpointing (arXiv 1604.06174): a forward pass that keeps the inputs of some segments
//! of the network instead of every activation, and a backward pass that computes the activations
//! again, segment by segment. A third more work, and a fraction of the memory; gradients and
//! batch-norm statistics are those of the plain passes, bit for bit on a CPU. (Only where gradients
//! of several passes are added to gradients that are there already, the order of the sums differs.)
//!
//! While a [`Recomputing`] lives, every training-mode forward pass of its thread whose graph is
//! recorded is cut. The network's last segment is in the loss's graph as ever; its backward pass
//! ends at the segment's input, and [`Recomputing::backward`] goes on from there. So the caller
//! writes
//!
//! ```text
//! let recomputing = Recomputing::begin();
//! let loss = …;                              // any number of forward passes, of any number of networks
//! recomputing.backward(&loss);               // instead of loss.backward()
//! ```
//!
//! Where to cut is found in the graph: after steps whose result is all that is read later. Among
//! them those are taken that make the kept inputs and the largest segment's activations together
//! smallest at the images' size.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use tch::{Tensor, no_grad};

use crate::graph::Graph;
use crate::graph::execution::{Given, Mode, Program};
use crate::network::Precision;
use crate::network::autocast::Autocast;
use crate::torch::shim;

thread_local! {
    /// The passes to be continued backwards, in the order in which they were made; none: nothing is
    /// cut.
    static TAPE: RefCell<Option<Vec<Pass>>> = const { RefCell::new(None) };
}

/// Forward passes of this thread are cut as long as this lives. Not to be nested.
pub struct Recomputing {
    this_thread: PhantomData<*const ()>,
}

impl Recomputing {
    pub fn begin() -> Self {
        TAPE.set(Some(Vec::new()));
        Self {
            this_thread: PhantomData,
        }
    }

    /// The gradients of `loss` by all parameters, added to theirs: `loss.backward()`, continued
    /// through the segments that were cut off.
    ///
    /// # Panics
    /// As `loss.backward()` does.
    pub fn backward(self, loss: &Tensor) {
        let passes = TAPE.take().unwrap_or_default();
        loss.backward();
        for pass in passes.into_iter().rev() {
            pass.backward();
        }
    }
}

impl Drop for Recomputing {
    fn drop(&mut self) {
        TAPE.set(None);
    }
}

/// Whether this thread cuts what it records.
pub(crate) fn is_on() -> bool {
    TAPE.with_borrow(Option::is_some) && shim::grad_enabled()
}

/// A forward pass whose activations are gone.
struct Pass {
    program: Arc<Program>,
    tensors: Vec<Tensor>,
    images: Tensor,
    mode: Mode,
    precision: Precision,
    /// The segments to be computed again, in the graph's order, and the input of each: none for the
    /// first.
    segments: Vec<(Range<usize>, Option<Tensor>)>,
    /// The input of the last segment, a leaf that gets its gradient with the loss.
    leaf: Tensor,
}

/// The outputs of a forward pass in training mode, recorded on this thread's tape.
pub(crate) fn run(
    program: &Arc<Program>,
    graph: &Graph,
    tensors: &[Tensor],
    images: &Tensor,
    mode: Mode,
    precision: Precision,
) -> Vec<Tensor> {
    let given = Given {
        tensors,
        images,
        mode,
        keeps_statistics: true,
    };
    let device = images.device();
    let mut kept = Vec::new();
    let mut entry: Option<Tensor> = None;
    let mut ranges = segments(program, graph, images);
    let last = ranges.pop().unwrap_or(0..program.len());
    no_grad(|| {
        let _autocast = Autocast::enter(device, precision);
        for range in ranges {
            let values = program.run_steps(range.clone(), entry.as_ref(), &given);
            let result = values.into_iter().next_back().flatten();
            kept.push((range, entry.take()));
            entry = result;
        }
    });
    let leaf = entry.map(|entry| {
        let learns = learns(program, tensors, last.start);
        entry.detach().set_requires_grad(learns)
    });
    let _autocast = Autocast::enter(device, precision);
    let outputs = program.results(&program.run_steps(last, leaf.as_ref(), &given));
    if let Some(leaf) = leaf.filter(Tensor::requires_grad) {
        let pass = Pass {
            program: program.clone(),
            tensors: tensors.iter().map(Tensor::shallow_clone).collect(),
            images: images.shallow_clone(),
            mode,
            precision,
            segments: kept,
            leaf,
        };
        TAPE.with_borrow_mut(|tape| tape.get_or_insert_default().push(pass));
    }
    outputs
}

/// Whether anything before a step is trained.
fn learns(program: &Program, tensors: &[Tensor], step: usize) -> bool {
    tensors[program.tensors_of(0..step, tensors.len())]
        .iter()
        .any(Tensor::requires_grad)
}

impl Pass {
    fn backward(self) {
        let Pass {
            program,
            tensors,
            images,
            mode,
            precision,
            segments,
            leaf,
        } = self;
        let mut gradient = leaf.grad();
        drop(leaf);
        let given = Given {
            tensors: &tensors,
            images: &images,
            mode,
            keeps_statistics: false,
        };
        for (range, entry) in segments.into_iter().rev() {
            if !gradient.defined() {
                return;
            }
            let entry = entry.map(|entry| {
                let learns = learns(&program, &tensors, range.start);
                entry.detach().set_requires_grad(learns)
            });
            let result = {
                let _autocast = Autocast::enter(images.device(), precision);
                let values = program.run_steps(range, entry.as_ref(), &given);
                values.into_iter().next_back().flatten()
            };
            let result = result.expect("BUG: a segment without a result");
            shim::backward(&result, &gradient)
                .unwrap_or_else(|error| panic!("the backward pass of a segment: {error}"));
            gradient = entry.map_or_else(Tensor::new, |entry| entry.grad());
        }
    }
}

/// The steps of each segment, in order; the last one holds the outputs.
fn segments(program: &Program, graph: &Graph, images: &Tensor) -> Vec<Range<usize>> {
    let size = images.size();
    let sizes: Vec<f64> = graph
        .shapes(size[2], size[3])
        .iter()
        .map(|shape| shape.iter().product::<i64>() as f64)
        .collect();
    let cuts = program.cuts();
    let total: f64 = sizes.iter().sum();
    let best = (1..=cuts.len())
        .map(|count| cut_into(&cuts, &sizes, total / count as f64))
        .min_by(|one, other| held(one, &sizes).total_cmp(&held(other, &sizes)));
    let mut start = 0;
    let mut segments = Vec::new();
    for cut in best.unwrap_or_default() {
        segments.push(start..cut + 1);
        start = cut + 1;
    }
    segments.push(start..program.len());
    segments
}

/// Cuts so that no segment has more than `bound` of activations, where the possible ones allow it.
fn cut_into(cuts: &[usize], sizes: &[f64], bound: f64) -> Vec<usize> {
    let mut chosen = Vec::new();
    let mut start = 0;
    for (index, &cut) in cuts.iter().enumerate() {
        let next = cuts.get(index + 1).map_or(sizes.len(), |next| next + 1);
        if sizes[start..next].iter().sum::<f64>() > bound {
            chosen.push(cut);
            start = cut + 1;
        }
    }
    chosen
}

/// Numbers that a pass holds at its worst: the inputs of all segments and the activations of the
/// largest one.
fn held(cuts: &[usize], sizes: &[f64]) -> f64 {
    let inputs: f64 = cuts.iter().map(|&cut| sizes[cut]).sum();
    let mut start = 0;
    let mut largest: f64 = 0.0;
    for end in cuts.iter().map(|cut| cut + 1).chain([sizes.len()]) {
        largest = largest.max(sizes[start..end].iter().sum());
        start = end;
    }
    inputs + largest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Architecture;

    fn segments_of(name: &str, side: i64) -> (Vec<Range<usize>>, Vec<f64>) {
        let graph = Architecture::named(name).graph().unwrap();
        let images = Tensor::zeros([1, 3, side, side], (tch::Kind::Float, tch::Device::Cpu));
        let sizes = graph
            .shapes(side, side)
            .iter()
            .map(|shape| shape.iter().product::<i64>() as f64)
            .collect();
        (segments(&Program::new(&graph), &graph, &images), sizes)
    }

    #[test]
    fn segments_are_the_whole_network_and_hold_a_fraction_of_it() {
        for (name, side) in [
            ("resnet50", 224),
            ("cifar_resnet20", 32),
            ("efficientnet_b0", 224),
            ("mobilenet_v3_large", 224),
            ("vit_t_16", 224),
        ] {
            let (segments, sizes) = segments_of(name, side);
            assert_eq!(segments[0].start, 0);
            assert!(segments.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert_eq!(segments.last().unwrap().end, sizes.len());
            let cuts: Vec<usize> = segments[1..].iter().map(|next| next.start - 1).collect();
            let share = held(&cuts, &sizes) / sizes.iter().sum::<f64>();
            assert!(share < 0.4, "{name}: {share}, {segments:?}");
        }
    }
}
