//! The two directions in which some vectors differ most, by subspace iteration in f64: no
//! randomness but fixed starting vectors.

/// Directions that are iterated beside the two that are wanted, so that close ones converge.
const DIRECTIONS: usize = 6;
const ITERATIONS: usize = 60;
/// Rounds of rotations; entries beside the diagonal are nothing after five or six.
const JACOBI_SWEEPS: usize = 12;

/// Coordinates along the first two principal components, and their shares of the variance.
pub struct Principal {
    /// `[N]` of (first, second).
    pub places: Vec<[f64; 2]>,
    pub shares: [f64; 2],
}

/// # Shapes
/// - `values`: `[N, dimension]`, row-major; N at least 1
pub fn principal(values: &[f32], dimension: usize) -> Principal {
    let count = values.len() / dimension;
    let mut mean = vec![0.0; dimension];
    for row in values.chunks_exact(dimension) {
        for (sum, value) in mean.iter_mut().zip(row) {
            *sum += f64::from(*value) / count as f64;
        }
    }
    let centred: Vec<f64> = values
        .chunks_exact(dimension)
        .flat_map(|row| {
            row.iter()
                .zip(&mean)
                .map(|(value, mean)| f64::from(*value) - mean)
        })
        .collect();
    let total: f64 = centred.iter().map(|value| value * value).sum();
    let wanted = DIRECTIONS.min(dimension);
    let mut directions = start(wanted, dimension);
    orthonormalise(&mut directions);
    for _ in 0..ITERATIONS {
        directions = applied(&centred, dimension, &directions);
        orthonormalise(&mut directions);
    }
    // Iteration finds the span of all; within it, close variances are told apart at once.
    let directions = turned(&centred, dimension, &directions);
    let mut found: Vec<(f64, Vec<f64>)> = directions
        .into_iter()
        .map(|direction| {
            let along = centred
                .chunks_exact(dimension)
                .map(|row| dot(row, &direction));
            (along.map(|value| value * value).sum(), upright(direction))
        })
        .collect();
    found.sort_by(|left, right| right.0.total_cmp(&left.0));
    let share = |index: usize| match found.get(index) {
        Some((variance, _)) if total > 0.0 => variance / total,
        _ => 0.0,
    };
    let along = |row: &[f64], index: usize| {
        found
            .get(index)
            .map_or(0.0, |(_, direction)| dot(row, direction))
    };
    Principal {
        places: centred
            .chunks_exact(dimension)
            .map(|row| [along(row, 0), along(row, 1)])
            .collect(),
        shares: [share(0), share(1)],
    }
}

/// Vectors without structure, by a linear congruence.
fn start(count: usize, dimension: usize) -> Vec<Vec<f64>> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    };
    (0..count)
        .map(|_| (0..dimension).map(|_| next()).collect())
        .collect()
}

/// The covariance times each direction, but for a factor.
fn applied(centred: &[f64], dimension: usize, directions: &[Vec<f64>]) -> Vec<Vec<f64>> {
    use rayon::prelude::*;
    directions
        .par_iter()
        .map(|direction| {
            let mut product = vec![0.0; dimension];
            for row in centred.chunks_exact(dimension) {
                let along = dot(row, direction);
                for (sum, value) in product.iter_mut().zip(row) {
                    *sum += along * value;
                }
            }
            product
        })
        .collect()
}

/// Rayleigh and Ritz: other directions of the same span, along which the vectors vary
/// independently.
fn turned(centred: &[f64], dimension: usize, directions: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let count = directions.len();
    let images = applied(centred, dimension, directions);
    let covariance = directions
        .iter()
        .map(|direction| images.iter().map(|image| dot(direction, image)).collect());
    let turn = eigenvectors(covariance.collect());
    let turned = (0..count).map(|index| {
        let mut sum = vec![0.0; dimension];
        for (direction, turn) in directions.iter().zip(&turn) {
            for (sum, value) in sum.iter_mut().zip(direction) {
                *sum += turn[index] * value;
            }
        }
        sum
    });
    turned.collect()
}

/// Of a small symmetric matrix, as columns, by Jacobi's rotations.
fn eigenvectors(mut matrix: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let count = matrix.len();
    let mut vectors = vec![vec![0.0; count]; count];
    for (index, row) in vectors.iter_mut().enumerate() {
        row[index] = 1.0;
    }
    for _ in 0..JACOBI_SWEEPS {
        for p in 0..count {
            for q in p + 1..count {
                if matrix[p][q] == 0.0 {
                    continue;
                }
                // The angle that makes the two entries beside the diagonal zero.
                let theta = (matrix[q][q] - matrix[p][p]) / (2.0 * matrix[p][q]);
                let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let cosine = 1.0 / tangent.hypot(1.0);
                let sine = tangent * cosine;
                let rotate = |left: f64, right: f64| {
                    (cosine * left - sine * right, sine * left + cosine * right)
                };
                for row in matrix.iter_mut().chain(&mut vectors) {
                    (row[p], row[q]) = rotate(row[p], row[q]);
                }
                let (before, after) = matrix.split_at_mut(q);
                for (left, right) in before[p].iter_mut().zip(&mut after[0]) {
                    (*left, *right) = rotate(*left, *right);
                }
            }
        }
    }
    vectors
}

/// Gram and Schmidt, the first direction kept; one that vanishes becomes zero.
fn orthonormalise(directions: &mut [Vec<f64>]) {
    for index in 0..directions.len() {
        let (before, rest) = directions.split_at_mut(index);
        let direction = &mut rest[0];
        let length_before = dot(direction, direction).sqrt();
        for other in before.iter() {
            let along = dot(direction, other);
            for (value, other) in direction.iter_mut().zip(other) {
                *value -= along * other;
            }
        }
        let length = dot(direction, direction).sqrt();
        let factor = if length > 1e-10 * length_before && length > 0.0 {
            1.0 / length
        } else {
            0.0
        };
        direction.iter_mut().for_each(|value| *value *= factor);
    }
}

/// With its largest part positive, so that the sign is nobody's choice.
fn upright(mut direction: Vec<f64>) -> Vec<f64> {
    let largest = direction.iter().copied().fold(0.0f64, |best, value| {
        if value.abs() > best.abs() {
            value
        } else {
            best
        }
    });
    if largest < 0.0 {
        direction.iter_mut().for_each(|value| *value = -*value);
    }
    direction
}

/// In eight sums, which the compiler makes vectors of.
fn dot(left: &[f64], right: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (left_chunks, left_rest) = left.as_chunks::<8>();
    let (right_chunks, right_rest) = right.as_chunks::<8>();
    for (left, right) in left_chunks.iter().zip(right_chunks) {
        for lane in 0..8 {
            sums[lane] += left[lane] * right[lane];
        }
    }
    let rest: f64 = left_rest.iter().zip(right_rest).map(|(l, r)| l * r).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_axes_of_a_cloud_are_found() {
        // Points at ±3 along (1, 1, 0)/√2, ±2 along (0, 0, 1), ±1 along (1, -1, 0)/√2, around (5,
        // 6, 7).
        let root = 0.5f32.sqrt();
        let axes = [
            ([root, root, 0.0], 3.0),
            ([0.0, 0.0, 1.0], 2.0),
            ([root, -root, 0.0], 1.0),
        ];
        let mut values = Vec::new();
        for (axis, length) in axes {
            for sign in [1.0, -1.0] {
                let centre = [5.0, 6.0, 7.0];
                values.extend((0..3).map(|index| centre[index] + sign * length * axis[index]));
            }
        }
        let found = principal(&values, 3);
        let expected = [9.0 / 14.0, 4.0 / 14.0];
        for (share, expected) in found.shares.iter().zip(expected) {
            assert!((share - expected).abs() < 1e-5, "{:?}", found.shares);
        }
        assert!(
            (found.places[0][0] - 3.0).abs() < 1e-4,
            "{:?}",
            found.places
        );
        assert!((found.places[1][0] + 3.0).abs() < 1e-4);
        assert!((found.places[2][1].abs() - 2.0).abs() < 1e-4);
    }

    #[test]
    fn close_variances_are_told_apart() {
        // Points at ± the root of each variance along each axis: the axes are the components.
        let variances = [1.0f32, 0.98, 0.96, 0.5, 0.4, 0.3, 0.2, 0.1];
        let mut values = Vec::new();
        for (axis, variance) in variances.iter().enumerate() {
            for sign in [1.0, -1.0] {
                let mut point = vec![0.0; variances.len()];
                point[axis] = sign * variance.sqrt();
                values.extend(point);
            }
        }
        let found = principal(&values, variances.len());
        let expected = [[1.0, 0.0], [-1.0, 0.0], [0.0, 0.98f64.sqrt()]];
        for (place, expected) in found.places.iter().zip(expected) {
            for (place, expected) in place.iter().zip(expected) {
                assert!((place - expected).abs() < 1e-4, "{:?}", found.places);
            }
        }
        let total: f32 = variances.iter().sum();
        assert!((found.shares[1] - f64::from(0.98 / total)).abs() < 1e-6);
    }

    #[test]
    fn equal_vectors_have_no_direction() {
        let found = principal(&[1.0; 12], 4);
        assert_eq!(found.shares, [0.0, 0.0]);
        assert!(found.places.iter().flatten().all(|place| *place == 0.0));
        assert_eq!(principal(&[2.0, 3.0], 1).shares[1], 0.0);
    }
}
