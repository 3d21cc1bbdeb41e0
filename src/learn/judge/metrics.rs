//! What a classifier's outputs are worth: top-k, per class, confusions. Plain counting, exact on
//! every machine.
//!
//! Among equal logits the lower class ranks first; a logit that is no number ranks last.

use std::cmp::Ordering;

use tch::{Device, Kind, Tensor};

/// Results of one evaluation, as fractions.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    pub top1: f64,
    /// label among the best min(5, classes)
    pub top5: f64,
    /// top-1 within each class; none where no sample has that label
    pub per_class: Vec<Option<f64>>,
    /// counts by `[label][predicted]`
    pub confusion: Vec<Vec<u64>>,
    pub samples: usize,
}

/// Evaluates logits.
///
/// # Shapes
/// - `logits`: `[N, C]`, C = `classes`; `labels`: N values of 0..classes, N at least 1
pub fn evaluate(logits: &Tensor, labels: &[i64], classes: usize) -> Evaluation {
    let best: Vec<Vec<u32>> = rows(logits, classes)
        .chunks_exact(classes)
        .map(|row| best_classes(row, 5))
        .collect();
    evaluate_predictions(&best, labels, classes)
}

/// Evaluates rankings: per sample the classes from the best, at least one and up to five.
pub fn evaluate_predictions(ranked: &[Vec<u32>], labels: &[i64], classes: usize) -> Evaluation {
    assert!(
        !labels.is_empty() && ranked.len() == labels.len(),
        "BUG: one label per prediction, and at least one"
    );
    let mut confusion = vec![vec![0u64; classes]; classes];
    let mut among_five = 0usize;
    for (best, &label) in ranked.iter().zip(labels) {
        confusion[class_of(label, classes)][best[0] as usize] += 1;
        among_five += usize::from(best.iter().take(5).any(|&class| i64::from(class) == label));
    }
    let right: u64 = confusion
        .iter()
        .enumerate()
        .map(|(class, row)| row[class])
        .sum();
    let per_class = confusion
        .iter()
        .enumerate()
        .map(|(class, row)| {
            let samples: u64 = row.iter().sum();
            (samples > 0).then(|| row[class] as f64 / samples as f64)
        })
        .collect();
    let samples = labels.len();
    Evaluation {
        top1: right as f64 / samples as f64,
        top5: among_five as f64 / samples as f64,
        per_class,
        confusion,
        samples,
    }
}

/// The `k` best classes of each row with their softmax probability, best first.
///
/// # Shapes
/// - `logits`: `[N, C]`; returns N lists of min(k, C)
pub fn ranked_classes(logits: &Tensor, k: usize) -> Vec<Vec<(u32, f32)>> {
    let classes = logits.size()[1] as usize;
    rows(logits, classes)
        .chunks_exact(classes)
        .map(|row| {
            let best = best_classes(row, k);
            let highest = f64::from(row[best[0] as usize]);
            let weight = |logit: f32| (f64::from(logit) - highest).exp();
            let total: f64 = row.iter().map(|&logit| weight(logit)).sum();
            best.into_iter()
                .map(|class| (class, (weight(row[class as usize]) / total) as f32))
                .collect()
        })
        .collect()
}

fn rows(logits: &Tensor, classes: usize) -> Vec<f32> {
    assert!(
        classes > 0 && logits.dim() == 2 && logits.size()[1] as usize == classes,
        "BUG: logits of shape {:?} for {classes} classes",
        logits.size()
    );
    let flat = logits
        .detach()
        .to_kind(Kind::Float)
        .to_device(Device::Cpu)
        .contiguous()
        .reshape([-1]);
    Vec::try_from(flat).expect("BUG: a flat f32 tensor is a vector")
}

fn class_of(label: i64, classes: usize) -> usize {
    match usize::try_from(label) {
        Ok(class) if class < classes => class,
        _ => panic!("BUG: label {label} of {classes} classes"),
    }
}

/// `Less` when class `a` ranks before class `b`.
fn better(row: &[f32], a: usize, b: usize) -> Ordering {
    let value = |class: usize| {
        if row[class].is_nan() {
            f32::NEG_INFINITY
        } else {
            row[class]
        }
    };
    let by_logit = value(b)
        .partial_cmp(&value(a))
        .expect("BUG: NaN was replaced");
    by_logit
        .then(row[a].is_nan().cmp(&row[b].is_nan()))
        .then(a.cmp(&b))
}

fn best_classes(row: &[f32], k: usize) -> Vec<u32> {
    let order = |&a: &u32, &b: &u32| better(row, a as usize, b as usize);
    let mut classes: Vec<u32> = (0..row.len() as u32).collect();
    if k < classes.len() {
        classes.select_nth_unstable_by(k, order);
        classes.truncate(k);
    }
    classes.sort_unstable_by(order);
    classes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn logits(values: &[f32], classes: i64) -> Tensor {
        Tensor::from_slice(values).reshape([-1, classes])
    }

    /// The share of rows in which fewer than `k` classes rank before the label.
    fn top_k_accuracy(logits: &Tensor, labels: &[i64], k: usize) -> f64 {
        let classes = logits.size()[1] as usize;
        let values = rows(logits, classes);
        let right = values
            .chunks_exact(classes)
            .zip(labels)
            .filter(|(row, label)| {
                let before = |&class: &usize| better(row, class, **label as usize).is_lt();
                (0..classes).filter(before).count() < k
            });
        right.count() as f64 / labels.len() as f64
    }

    #[test]
    fn three_samples_counted_by_hand() {
        let logits = logits(&[3.0, 1.0, 2.0, 0.0, 5.0, 5.0, 1.0, 0.0, 0.0], 3);
        let evaluation = evaluate(&logits, &[2, 1, 1], 3);
        assert_eq!(evaluation.top1, 1.0 / 3.0);
        assert_eq!(evaluation.top5, 1.0);
        assert_eq!(evaluation.per_class, [None, Some(0.5), Some(0.0)]);
        assert_eq!(evaluation.confusion, [[0, 0, 0], [1, 1, 0], [1, 0, 0]]);
        assert_eq!(evaluation.samples, 3);
    }

    #[test]
    fn probabilities_are_the_softmax() {
        let ranked = ranked_classes(&logits(&[0.0, 1.0, 0.0, 1.0], 4), 3);
        let e = std::f32::consts::E;
        let expected = [
            (1, e / (2.0 * e + 2.0)),
            (3, e / (2.0 * e + 2.0)),
            (0, 1.0 / (2.0 * e + 2.0)),
        ];
        for (got, want) in ranked[0].iter().zip(expected) {
            assert_eq!(got.0, want.0);
            assert!((got.1 - want.1).abs() < 1e-6);
        }
    }

    #[test]
    fn no_number_ranks_last() {
        let logits = logits(&[f32::NAN, f32::NEG_INFINITY, f32::INFINITY], 3);
        assert_eq!(evaluate(&logits, &[0], 3).confusion[0], [0, 0, 1]);
        assert_eq!(best_classes(&rows(&logits, 3), 3), [2, 1, 0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn evaluation_and_top_k_agree(
            values in prop::collection::vec((-3i8..3).prop_map(f32::from), 7 * 12),
            labels in prop::collection::vec(0i64..7, 12),
        ) {
            let logits = logits(&values, 7);
            let evaluation = evaluate(&logits, &labels, 7);
            prop_assert_eq!(evaluation.top1, top_k_accuracy(&logits, &labels, 1));
            prop_assert_eq!(evaluation.top5, top_k_accuracy(&logits, &labels, 5));
            prop_assert!(evaluation.top1 <= evaluation.top5);
            prop_assert_eq!(evaluation.confusion.iter().flatten().sum::<u64>(), 12);
            prop_assert_eq!(top_k_accuracy(&logits, &labels, 7), 1.0);
        }
    }
}
