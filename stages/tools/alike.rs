//! Whether two networks do the same: what they make of sampled images, whatever their numbers are.
//!
//! A long training goes another way after one rounding, and ends with other numbers that see images
//! alike. So features are compared by the similarities that they give the images among each other:
//! the cosine between both tables of similarities (centred kernel alignment, without the bias that
//! few images bring: Song et al. 2012). Logits say which class is which, so they are compared as
//! they are.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use seedpipe_artifact::WeightsReader;
use seedpipe_imaging::Decode;
use seedpipe_learn::network::{Output, Precision};
use tch::{Device, Kind, Tensor};

use crate::judging::evaluation::outputs_of;
use crate::pixels::pictures::Pictures;
use crate::shared::network_artifact::{ARCHITECTURE, Prepared, read_network};

/// Images that both networks look at, evenly spread over all.
const SAMPLE: usize = 256;
/// Fewer say nothing.
const LEAST: usize = 8;

type Take = fn(Output) -> Option<Tensor>;
type Compare = fn(&Tensor, &Tensor) -> f64;

/// How alike two stored networks are, from -1 to 1, by the output that is least alike; `None` where
/// the weights are no image network's, or there are too few images to tell.
///
/// - `images`: the parts of an images artifact
pub fn alike(stored: &[PathBuf], again: &[PathBuf], images: &[PathBuf]) -> Result<Option<f64>> {
    if images.is_empty() || !is_network(stored)? || !is_network(again)? {
        return Ok(None);
    }
    let pictures = Arc::new(Pictures::open_once(images, Decode::default())?);
    let count = pictures.images().rows();
    if count < LEAST {
        return Ok(None);
    }
    let step = count.div_ceil(SAMPLE);
    let rows: Vec<usize> = (0..count).step_by(step).collect();
    let of = |parts| read_network(parts, "the stage's weights", Device::Cpu);
    let (stored, again) = (of(stored)?, of(again)?);
    let seen = |network: &Prepared, take: Take| {
        let (rows, network) = (rows.clone(), (&network.network, &network.preprocessing));
        let (precision, device) = (Precision::F32, Device::Cpu);
        outputs_of(
            network.0, network.1, &pictures, rows, precision, device, take,
        )
    };
    let architecture = stored.network.architecture();
    let outputs: [(bool, Take, Compare); 3] = [
        (true, |output| Some(output.features), by_similarities),
        (
            architecture.head.is_some(),
            |output| output.embedding,
            by_similarities,
        ),
        (
            architecture.classes.is_some(),
            |output| output.logits,
            as_they_are,
        ),
    ];
    let mut least = 1.0_f64;
    for (_, take, compare) in outputs.into_iter().filter(|output| output.0) {
        let alike = compare(&seen(&stored, take)?, &seen(&again, take)?);
        // NaN is like nothing.
        least = if alike.is_nan() {
            -1.0
        } else {
            least.min(alike)
        };
    }
    Ok(Some(least))
}

/// A linear classifier's weights are none.
fn is_network(parts: &[PathBuf]) -> Result<bool> {
    let reader = WeightsReader::open(parts)?;
    let architecture = reader.metadata().get(ARCHITECTURE);
    let architecture = architecture.context("weights that don't say their architecture")?;
    Ok(!architecture.contains("\"linear_classifier\""))
}

/// Centred by column, `[rows, D]` f64.
fn centred(values: &Tensor) -> Tensor {
    let values = values.to_kind(Kind::Double);
    &values - values.mean_dim(0, true, Kind::Double)
}

fn dot(left: &Tensor, right: &Tensor) -> f64 {
    (left * right).sum(Kind::Double).double_value(&[])
}

/// The cosine of two tables; of two without any difference between rows it is 1.
fn cosine(left: &Tensor, right: &Tensor, dot: impl Fn(&Tensor, &Tensor) -> f64) -> f64 {
    match (dot(left, left), dot(right, right)) {
        (0.0, 0.0) => 1.0,
        (a, b) => dot(left, right) / (a * b).sqrt(),
    }
}

fn as_they_are(left: &Tensor, right: &Tensor) -> f64 {
    cosine(&centred(left), &centred(right), dot)
}

fn by_similarities(left: &Tensor, right: &Tensor) -> f64 {
    // An image's similarity to itself says nothing.
    let table = |values: &Tensor| {
        let values = centred(values);
        values.matmul(&values.tr()).fill_diagonal_(0.0, false)
    };
    let count = left.size()[0] as f64;
    // The unbiased estimate of the Hilbert-Schmidt independence criterion, but for its factor.
    let dependence = |left: &Tensor, right: &Tensor| {
        let sums = |table: &Tensor| table.sum_dim_intlist(0, false, Kind::Double);
        let (left_sums, right_sums) = (sums(left), sums(right));
        let total = |sums: &Tensor| sums.sum(Kind::Double).double_value(&[]);
        dot(left, right) + total(&left_sums) * total(&right_sums) / ((count - 1.0) * (count - 2.0))
            - 2.0 / (count - 2.0) * dot(&left_sums, &right_sums)
    };
    cosine(&table(left), &table(right), dependence)
}

#[cfg(test)]
mod tests {
    use seedpipe_learn::tensors::from_slice_f32;

    use super::*;

    /// `[rows, columns]` of numbers that follow no rule that is seen.
    fn noise(rows: i64, columns: i64, seed: u32) -> Tensor {
        let mut state = seed;
        let values: Vec<f32> = (0..rows * columns)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 24) as f32 - 0.5
            })
            .collect();
        from_slice_f32(&[rows, columns], &values)
    }

    #[test]
    fn features_that_are_turned_or_scaled_see_alike_and_others_do_not() {
        let features = noise(64, 8, 1);
        let turned = features.flip([1]) * 3.0 + 1.0;
        assert!(by_similarities(&features, &turned) > 0.999_999);
        let near = &features + noise(64, 8, 2) * 0.1;
        let alike = by_similarities(&features, &near);
        assert!((0.95..1.0).contains(&alike), "{alike}");
        // Of more values than images, where the plain alignment is near 1.
        let alike = by_similarities(&noise(64, 512, 3), &noise(64, 512, 4));
        assert!(alike.abs() < 0.1, "{alike}");
    }

    #[test]
    fn logits_whose_classes_are_exchanged_are_not_alike() {
        let logits = noise(64, 8, 1);
        assert!(as_they_are(&logits, &logits) > 0.999_999);
        assert!(as_they_are(&logits, &logits.flip([1])) < 0.5);
        assert!(as_they_are(&logits, &(&logits * f64::NAN)).is_nan());
        let constant = logits.zeros_like();
        assert_eq!(as_they_are(&constant, &constant), 1.0);
        assert!(as_they_are(&logits, &constant).is_nan());
    }
}
