//! What a classifier's outputs are worth: top-k, per class, confusions. Plain counting, exact on
//! every machine.
//!
//! Among equal logits the class comes first that the caller places first: by something that is not
//! its number, so that other numbers for the same classes change no figure. A logit that is no
//! number ranks last.

use std::cmp::Ordering;

use tch::{Device, Kind, Tensor};

use crate::judge::class_scores::{ClassCounts, ClassScores, class_scores, imbalance};

/// Results of one evaluation, as fractions.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    pub top1: f64,
    /// label among the best min(5, classes)
    pub top5: f64,
    pub scores: ClassScores,
    /// times that the largest class is as large as the smallest, where classes are imbalanced
    pub imbalance: Option<f64>,
    /// top-1 within each class; none where no sample has that label
    pub per_class: Vec<Option<f64>>,
    /// counts by `[label][predicted]`
    pub confusion: Vec<Vec<u64>>,
    pub samples: usize,
}

/// Evaluates logits.
///
/// # Shapes
/// - `logits`: `[N, C]`; `labels`: N values of 0..C, N at least 1
/// - `places`: C, each class's place among those with an equal logit
pub fn evaluate(logits: &Tensor, labels: &[i64], places: &[u32]) -> Evaluation {
    let classes = places.len();
    let best: Vec<Vec<u32>> = rows(logits, classes)
        .chunks_exact(classes)
        .map(|row| best_classes(row, places, 5))
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
    let counts: Vec<ClassCounts> = (0..classes)
        .map(|class| ClassCounts {
            labelled: confusion[class].iter().sum(),
            predicted: confusion.iter().map(|row| row[class]).sum(),
            right: confusion[class][class],
        })
        .collect();
    let right: u64 = counts.iter().map(|class| class.right).sum();
    let per_class = counts
        .iter()
        .map(|class| (class.labelled > 0).then(|| class.right as f64 / class.labelled as f64));
    let samples = labels.len();
    Evaluation {
        top1: right as f64 / samples as f64,
        top5: among_five as f64 / samples as f64,
        scores: class_scores(counts.iter().copied()),
        imbalance: imbalance(&counts),
        per_class: per_class.collect(),
        confusion,
        samples,
    }
}

/// The `k` best classes of each row with their softmax probability, best first.
///
/// # Shapes
/// - `logits`: `[N, C]`; `places`: as for [`evaluate`]; returns N lists of min(k, C)
pub fn ranked_classes(logits: &Tensor, places: &[u32], k: usize) -> Vec<Vec<(u32, f32)>> {
    let classes = places.len();
    rows(logits, classes)
        .chunks_exact(classes)
        .map(|row| {
            let best = best_classes(row, places, k);
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
fn better(row: &[f32], places: &[u32], a: usize, b: usize) -> Ordering {
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
        .then(places[a].cmp(&places[b]))
}

fn best_classes(row: &[f32], places: &[u32], k: usize) -> Vec<u32> {
    let order = |&a: &u32, &b: &u32| better(row, places, a as usize, b as usize);
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
    fn top_k_accuracy(logits: &Tensor, labels: &[i64], places: &[u32], k: usize) -> f64 {
        let classes = logits.size()[1] as usize;
        let values = rows(logits, classes);
        let right = values
            .chunks_exact(classes)
            .zip(labels)
            .filter(|(row, label)| {
                let before = |&class: &usize| better(row, places, class, **label as usize).is_lt();
                (0..classes).filter(before).count() < k
            });
        right.count() as f64 / labels.len() as f64
    }

    #[test]
    fn three_samples_counted_by_hand() {
        let logits = logits(&[3.0, 1.0, 2.0, 0.0, 5.0, 5.0, 1.0, 0.0, 0.0], 3);
        let evaluation = evaluate(&logits, &[2, 1, 1], &[2, 0, 1]);
        assert_eq!(evaluation.top1, 1.0 / 3.0);
        assert_eq!(evaluation.top5, 1.0);
        assert_eq!(evaluation.per_class, [None, Some(0.5), Some(0.0)]);
        assert_eq!(evaluation.confusion, [[0, 0, 0], [1, 1, 0], [1, 0, 0]]);
        assert_eq!(evaluation.samples, 3);
    }

    #[test]
    fn probabilities_are_the_softmax() {
        let ranked = ranked_classes(&logits(&[0.0, 1.0, 0.0, 1.0], 4), &[0, 1, 2, 3], 3);
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
        assert_eq!(evaluate(&logits, &[0], &[0, 1, 2]).confusion[0], [0, 0, 1]);
        assert_eq!(best_classes(&rows(&logits, 3), &[0, 1, 2], 3), [2, 1, 0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn evaluation_and_top_k_agree(
            values in prop::collection::vec((-3i8..3).prop_map(f32::from), 7 * 12),
            labels in prop::collection::vec(0i64..7, 12),
            places in Just((0..7).collect::<Vec<u32>>()).prop_shuffle(),
        ) {
            let logits = logits(&values, 7);
            let evaluation = evaluate(&logits, &labels, &places);
            prop_assert_eq!(evaluation.top1, top_k_accuracy(&logits, &labels, &places, 1));
            prop_assert_eq!(evaluation.top5, top_k_accuracy(&logits, &labels, &places, 5));
            prop_assert!(evaluation.top1 <= evaluation.top5);
            prop_assert_eq!(evaluation.confusion.iter().flatten().sum::<u64>(), 12);
            prop_assert_eq!(top_k_accuracy(&logits, &labels, &places, 7), 1.0);
        }

        #[test]
        fn other_numbers_for_the_same_classes_change_no_figure(
            values in prop::collection::vec((-2i8..2).prop_map(f32::from), 7 * 12),
            labels in prop::collection::vec(0i64..7, 12),
            places in Just((0..7).collect::<Vec<u32>>()).prop_shuffle(),
            number in Just((0..7).collect::<Vec<usize>>()).prop_shuffle(),
        ) {
            let mut renumbered = vec![0.0; values.len()];
            for (place, value) in values.iter().enumerate() {
                renumbered[place / 7 * 7 + number[place % 7]] = *value;
            }
            let mut their_places = vec![0; 7];
            for (class, place) in places.iter().enumerate() {
                their_places[number[class]] = *place;
            }
            let theirs: Vec<i64> = labels.iter().map(|&label| number[label as usize] as i64).collect();
            let one = evaluate(&logits(&values, 7), &labels, &places);
            let other = evaluate(&logits(&renumbered, 7), &theirs, &their_places);
            prop_assert_eq!((one.top1, one.top5), (other.top1, other.top5));
            prop_assert_eq!((one.scores, one.imbalance), (other.scores, other.imbalance));
            for class in 0..7 {
                prop_assert_eq!(one.per_class[class], other.per_class[number[class]]);
                for taken in 0..7 {
                    prop_assert_eq!(
                        one.confusion[class][taken],
                        other.confusion[number[class]][number[taken]]
                    );
                }
            }
        }
    }
}
