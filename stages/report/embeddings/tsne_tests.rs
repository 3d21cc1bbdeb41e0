//! Against scikit-learn's numbers (tests/reference/tsne.py), and against the divergence's own
//! slope.

use serde::Deserialize;

use super::*;

/// What the script wrote.
#[derive(Deserialize)]
struct Golden {
    dimension: usize,
    /// `[N, dimension]`.
    values: Vec<f32>,
    perplexity: f64,
    /// `[N, N]`: `_joint_probabilities_nn`.
    joint: Vec<Vec<f64>>,
    /// `[N]` places, and the gradient of the divergence there by `_kl_divergence`.
    places: Vec<[f32; 2]>,
    gradient: Vec<[f64; 2]>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../../tests/fixtures/tsne.json")).unwrap()
}

fn dense(affinities: &Affinities) -> Vec<Vec<f64>> {
    let count = affinities.rows.len();
    let mut dense = vec![vec![0.0; count]; count];
    for (index, row) in affinities.rows.iter().enumerate() {
        for &(other, share) in row {
            dense[index][other] = f64::from(share);
        }
    }
    dense
}

#[test]
fn affinities_are_those_of_scikit_learn() {
    let golden = golden();
    let found = dense(&Affinities::of(
        &golden.values,
        golden.dimension,
        golden.perplexity,
    ));
    let mut compared = 0;
    for (found, expected) in found.iter().zip(&golden.joint) {
        for (found, expected) in found.iter().zip(expected) {
            // Both stop halving at 1e-5 of the entropy.
            assert!(
                (found - expected).abs() < 1e-4 * expected.max(1e-3),
                "{found} {expected}"
            );
            compared += usize::from(*expected > 0.0);
        }
    }
    assert!(compared > 100, "{compared}");
    let sum: f64 = found.iter().flatten().sum();
    assert!((sum - 1.0).abs() < 1e-5, "{sum}");
}

#[test]
fn the_gradient_is_that_of_scikit_learn() {
    let golden = golden();
    let rows = golden.joint.iter().map(|row| {
        let entries = row.iter().enumerate().filter(|(_, share)| **share > 0.0);
        entries
            .map(|(other, share)| (other, *share as f32))
            .collect()
    });
    let affinities = Affinities {
        rows: rows.collect(),
    };
    let found = gradient(&affinities, &golden.places, 1.0);
    let largest = golden
        .gradient
        .iter()
        .flatten()
        .fold(0.0f64, |most, value| most.max(value.abs()));
    for (found, expected) in found.iter().zip(&golden.gradient) {
        for axis in 0..2 {
            let error = (f64::from(found[axis]) - expected[axis]).abs();
            assert!(error < 1e-4 * largest, "{found:?} {expected:?}");
        }
    }
}

/// Three clouds of 40 points around corners of a cube, 8 wide.
fn clouds() -> (Vec<f32>, Vec<usize>) {
    let mut state: u32 = 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    let (mut values, mut of) = (Vec::new(), Vec::new());
    for index in 0..120 {
        let cloud = index % 3;
        of.push(cloud);
        values.extend((0..8).map(|axis| next() + if axis == cloud { 4.0 } else { 0.0 }));
    }
    (values, of)
}

#[test]
fn clouds_stay_apart_and_the_map_is_always_the_same() {
    let (values, of) = clouds();
    let start = crate::report::embeddings::pca::principal(&values, 8).places;
    let map = tsne(&values, 8, &start);
    let mut right = 0;
    for (index, place) in map.iter().enumerate() {
        let distance =
            |other: &[f64; 2]| (place[0] - other[0]).powi(2) + (place[1] - other[1]).powi(2);
        let nearest = (0..map.len())
            .filter(|other| *other != index)
            .min_by(|left, right| distance(&map[*left]).total_cmp(&distance(&map[*right])))
            .unwrap();
        right += usize::from(of[nearest] == of[index]);
    }
    assert_eq!(right, 120);
    let one = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    assert_eq!(one.install(|| tsne(&values, 8, &start)), map);
}

#[test]
fn few_and_equal_points_have_a_map_too() {
    assert_eq!(tsne(&[1.0, 2.0], 1, &[[0.0; 2]; 2]).len(), 2);
    let equal = tsne(&[1.0; 20], 2, &[[0.0; 2]; 10]);
    assert!(equal.iter().flatten().all(|place| place.is_finite()));
}
