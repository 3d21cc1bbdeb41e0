//! SwAV (arXiv 2006.09882): views of an image are to agree on its cluster. Each whole view is
//! assigned to prototypes by Sinkhorn and Knopp's algorithm, evenly over the batch; every other
//! view predicts that assignment.
//!
//! Follows the official code (github facebookresearch/swav, `main_swav.py`); golden values:
//! `tests/reference/swav.py`.

use tch::{Kind, Tensor, no_grad};

use super::seed::normalise;

/// Soft assignments of samples to prototypes: the transport plan of equal weight for every
/// prototype and every sample that `iterations` of Sinkhorn's algorithm reach from exp(scores /
/// epsilon). Without gradient.
///
/// Each iteration makes the prototypes' weights equal, then the samples'. Done on logarithms, where
/// the greatest is subtracted from each sum: no epsilon overflows or leaves a prototype without
/// weight, in f32 either.
///
/// # Shapes
/// - `scores`: `[B, K]`, similarities of samples and prototypes
/// - `epsilon` above 0: the smaller, the harder the assignments; `iterations`: the official code's
///   3
/// - returns `[B, K]`, rows sum to 1
pub(crate) fn sinkhorn(scores: &Tensor, epsilon: f64, iterations: usize) -> Tensor {
    assert!(
        scores.dim() == 2,
        "BUG: scores of shape {:?}, expected [B, K]",
        scores.size()
    );
    assert!(epsilon > 0.0, "BUG: epsilon {epsilon}, expected above 0");
    no_grad(|| {
        let mut logarithms = scores.detach() / epsilon; // [B, K]
        for _ in 0..iterations {
            logarithms = &logarithms - logarithms.logsumexp(0, true); // columns sum to 1
            logarithms = &logarithms - logarithms.logsumexp(1, true); // rows sum to 1
        }
        logarithms.softmax(1, None::<Kind>)
    })
}

/// Assignments of a batch that is balanced together with samples seen earlier, so that few samples
/// meet many prototypes.
///
/// # Shapes
/// - `scores`: `[B, K]`; `earlier`: `[Q, K]`, if any
/// - returns `[B, K]`, rows sum to 1
pub fn assignments_among(
    scores: &Tensor,
    earlier: Option<&Tensor>,
    epsilon: f64,
    iterations: usize,
) -> Tensor {
    match earlier {
        None => sinkhorn(scores, epsilon, iterations),
        Some(earlier) => {
            let all = Tensor::cat(&[earlier.detach(), scores.detach()], 0);
            sinkhorn(&all, epsilon, iterations).narrow(0, earlier.size()[0], scores.size()[0])
        }
    }
}

/// Mean over the batch of the cross-entropy between assignments and what a view's scores predict, a
/// scalar.
///
/// # Shapes
/// - `scores`: `[B, K]`, with graph
/// - `assignments`: `[B, K]`, rows sum to 1; they get no gradient
pub(crate) fn prediction_loss(scores: &Tensor, assignments: &Tensor, temperature: f64) -> Tensor {
    assert_eq!(
        scores.size(),
        assignments.size(),
        "BUG: scores and assignments are to have one shape [B, K]"
    );
    assert!(
        temperature > 0.0,
        "BUG: temperature {temperature}, expected above 0"
    );
    let predicted = (scores / temperature).log_softmax(1, None::<Kind>); // [B, K]
    let weighted = assignments.detach() * predicted;
    -weighted.sum_dim_intlist(1, false, None).mean(None::<Kind>)
}

/// The swapped prediction: every view predicts the assignment of each assigned view but itself; the
/// mean of all, a scalar.
///
/// # Shapes
/// - `scores`: for each view of the images `[B, K]`; the assigned (whole) views come first
/// - `assignments`: for each of the first views `[B, K]`
pub fn swapped_prediction(scores: &[Tensor], assignments: &[Tensor], temperature: f64) -> Tensor {
    assert!(
        scores.len() >= 2 && (1..=scores.len()).contains(&assignments.len()),
        "BUG: swapped prediction of {} views with {} assignments",
        scores.len(),
        assignments.len()
    );
    let others = (scores.len() - 1) as f64;
    let terms: Vec<Tensor> = assignments
        .iter()
        .enumerate()
        .flat_map(|(assigned, assignment)| {
            scores
                .iter()
                .enumerate()
                .filter(move |(view, _)| *view != assigned)
                .map(move |(_, scores)| prediction_loss(scores, assignment, temperature))
        })
        .collect();
    Tensor::stack(&terms, 0).sum(None::<Kind>) / (others * assignments.len() as f64)
}

/// Sets the prototypes' lengths to 1, in place and outside of any graph: before each step, as the
/// official code does.
///
/// # Shapes
/// - `prototypes`: `[K, D]`
pub fn normalise_prototypes(prototypes: &Tensor) {
    no_grad(|| prototypes.shallow_clone().copy_(&normalise(prototypes)));
}

/// Cosine similarities of embeddings and prototypes, with graph to both.
///
/// # Shapes
/// - `embeddings`: `[B, D]`, any length (normalised here)
/// - `prototypes`: `[K, D]`, rows of length 1
/// - returns `[B, K]`
pub fn prototype_scores(embeddings: &Tensor, prototypes: &Tensor) -> Tensor {
    normalise(embeddings).matmul(&prototypes.tr())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::golden::assert_close;
    use crate::torch::random::normal;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    use serde_json::Value;

    const PRECISIONS: [(Kind, f64); 2] = [(Kind::Double, 1e-10), (Kind::Float, 1e-5)];

    fn numbers(value: &Value, into: &mut Vec<f64>, shape: &mut Vec<i64>, depth: usize) {
        match value {
            Value::Array(items) => {
                if shape.len() == depth {
                    shape.push(items.len() as i64);
                }
                for item in items {
                    numbers(item, into, shape, depth + 1);
                }
            }
            other => into.push(other.as_f64().unwrap()),
        }
    }

    /// Nested lists of numbers as a tensor.
    fn tensor(value: &Value, kind: Kind) -> Tensor {
        let (mut values, mut shape) = (Vec::new(), Vec::new());
        numbers(value, &mut values, &mut shape, 0);
        Tensor::from_slice(&values).reshape(&shape).to_kind(kind)
    }

    fn relative(got: &Tensor, expected: &Tensor) -> f64 {
        let length = |tensor: &Tensor| tensor.norm().double_value(&[]);
        length(&(got.to_kind(Kind::Double) - expected)) / length(expected)
    }

    #[test]
    fn golden_swav_assignments_loss_and_gradients() {
        let cases: Vec<Value> =
            serde_json::from_str(include_str!("../testdata/swav.json")).unwrap();
        assert!(cases.iter().any(|case| !case["queue"][0].is_null()));
        for (index, case) in cases.iter().enumerate() {
            for (kind, tolerance) in PRECISIONS {
                let place = format!("case {index} in {kind:?}");
                let number = |key: &str| case[key].as_f64().unwrap();
                let count = |key: &str| case[key].as_i64().unwrap();
                let (batch, crops) = (count("batch"), count("crops"));
                let prototypes = tensor(&case["prototypes"], kind);
                normalise_prototypes(&prototypes);
                let prototypes = prototypes.set_requires_grad(true);
                let embeddings = tensor(&case["embeddings"], kind).set_requires_grad(true);
                let scores = prototype_scores(&embeddings, &prototypes).split(batch, 0);
                assert_eq!(scores.len() as i64, crops);
                let assignments: Vec<Tensor> = (0..count("assigned") as usize)
                    .map(|view| {
                        let queue = &case["queue"][view];
                        let earlier = (!queue.is_null())
                            .then(|| tensor(queue, kind).matmul(&prototypes.detach().tr()));
                        assignments_among(
                            &scores[view],
                            earlier.as_ref(),
                            number("epsilon"),
                            count("iterations") as usize,
                        )
                    })
                    .collect();
                for (view, assignment) in assignments.iter().enumerate() {
                    let expected = tensor(&case["assignments"][view], Kind::Double);
                    let off = (assignment.to_kind(Kind::Double) - expected)
                        .abs()
                        .max()
                        .double_value(&[]);
                    assert!(off <= tolerance, "{place}: assignments off by {off:e}");
                }
                let loss = swapped_prediction(&scores, &assignments, number("temperature"));
                loss.backward();
                let got = loss.double_value(&[]);
                assert_close(&place, got, number("loss"), tolerance);
                for (leaf, name) in [
                    (&embeddings, "grad_embeddings"),
                    (&prototypes, "grad_prototypes"),
                ] {
                    let off = relative(&leaf.grad(), &tensor(&case[name], Kind::Double));
                    assert!(off <= tolerance, "{place}: {name} off by {off:e}");
                }
            }
        }
    }

    #[test]
    fn even_scores_are_assigned_evenly_and_equal_preferences_by_their_strength() {
        let even = sinkhorn(
            &Tensor::zeros([3, 4], (Kind::Double, tch::Device::Cpu)),
            0.05,
            3,
        );
        assert!((even - 0.25).abs().max().double_value(&[]) < 1e-15);
        // Both samples prefer prototype 0, the first one by e² more: balance leaves a/(1 − a) = e
        // to each sample's own.
        let scores = Tensor::from_slice(&[1.0f64, 0.0, 0.5, 0.0]).reshape([2, 2]);
        let found = sinkhorn(&scores, 0.25, 60);
        let own = 1f64.exp() / (1.0 + 1f64.exp());
        let expected = Tensor::from_slice(&[own, 1.0 - own, 1.0 - own, own]).reshape([2, 2]);
        assert!((found - expected).abs().max().double_value(&[]) < 1e-12);
    }

    #[test]
    fn converged_assignments_give_every_prototype_the_same_weight() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let scores = normal(&[12, 6], &mut rng).to_kind(Kind::Double);
        let found = sinkhorn(&scores, 0.5, 200);
        let of_prototypes = found.sum_dim_intlist(0, false, None);
        assert!((of_prototypes - 2.0).abs().max().double_value(&[]) < 1e-9);
    }

    #[test]
    fn rows_sum_to_one_in_f32_at_an_epsilon_where_the_exponential_would_overflow() {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let found = sinkhorn(&normal(&[64, 30], &mut rng), 1e-3, 3);
        assert!(bool::try_from(found.isfinite().all()).unwrap());
        let sums = found.sum_dim_intlist(1, false, None);
        assert!((sums - 1.0).abs().max().double_value(&[]) < 1e-5);
    }

    #[test]
    fn a_view_that_predicts_its_partners_assignment_exactly_loses_nothing_but_the_entropy() {
        let scores = Tensor::from_slice(&[0.3f64, 0.1, -0.2, 0.4]).reshape([2, 2]);
        let assignments = (&scores / 0.1).softmax(1, None::<Kind>);
        let loss = prediction_loss(&scores, &assignments, 0.1).double_value(&[]);
        let entropy = -(&assignments * assignments.log()).sum(None::<Kind>) / 2.0;
        assert!((loss - entropy.double_value(&[])).abs() < 1e-12);
    }
}
