//! A network in 8 bits: calibrated on images of the pipeline, compared with itself in f32 on
//! others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, Result};
use seedpipe_artifact::ImagesReader;
use seedpipe_engine::{Input, cancel};
use seedpipe_imaging::Decode;
use seedpipe_learn::architecture::Preprocessing;
use seedpipe_learn::deployment::{Deployment, Results};
use seedpipe_learn::metrics::ranked_classes;
use seedpipe_learn::quantisation::{Calibration, Quantisation, Quantised};
use tch::{Device, Tensor};

use crate::export::deliverable::Sample;
use crate::judging::evaluation::plain_view;
use crate::pixels::feed::{Feed, Frame, Job};
use crate::pixels::pictures::Pictures;
use crate::shared::network_artifact::{eval_policy, normalise};
use crate::shared::selection::{Classes, rows_of_split};

/// Images that the network sees at once.
const BATCH: usize = 32;

/// The grids, and what they cost: cosine of the features to f32, share of equal predictions,
/// accuracy before and after.
pub fn quantise(
    deployment: &Deployment,
    images: &Input,
    sample: &Sample,
) -> Result<(Quantisation, BTreeMap<String, f64>)> {
    let pictures = Arc::new(Pictures::open(&images.parts, Decode::Exact)?);
    let rows = |split: &Option<String>, usual: &str, count| {
        let split = match split {
            Some(split) => split.as_str(),
            None if pictures.images().rows_in(usual).is_empty() => "all",
            None => usual,
        };
        let rows = rows_of_split(pictures.images(), split)?;
        Ok::<_, anyhow::Error>(spread(&rows, count))
    };
    let mut calibration = Calibration::new(deployment);
    let seen = rows(&sample.split, "train", sample.images)?;
    each_batch(&pictures, &deployment.preprocessing, &seen, |pixels, _| {
        calibration.observe(pixels);
    })?;
    let quantised = calibration.finish();
    let judged = rows(&sample.test_split, "test", sample.test_images)?;
    let judged = others(&judged, &seen);
    let mut figures = compare(deployment, &quantised, &pictures, &judged)?;
    figures.insert("calibration_images".to_owned(), seen.len() as f64);
    figures.insert("test_images".to_owned(), judged.len() as f64);
    Ok((quantised.quantisation, figures))
}

/// That many rows, evenly spread over all of them.
fn spread(rows: &[usize], count: usize) -> Vec<usize> {
    let count = count.min(rows.len());
    (0..count)
        .map(|index| rows[index * rows.len() / count])
        .collect()
}

/// Without those that the network was calibrated on, unless there are no others.
fn others(judged: &[usize], seen: &[usize]) -> Vec<usize> {
    let seen: BTreeSet<usize> = seen.iter().copied().collect();
    let others: Vec<usize> = judged
        .iter()
        .copied()
        .filter(|row| !seen.contains(row))
        .collect();
    match others.is_empty() {
        true => judged.to_vec(),
        false => others,
    }
}

/// Calls with the pixels of each batch, `[B, 3, size, size]` f32, normalised, and its rows.
fn each_batch(
    pictures: &Arc<Pictures>,
    preprocessing: &Preprocessing,
    rows: &[usize],
    mut work: impl FnMut(&Tensor, &[usize]),
) -> Result<()> {
    let policy = eval_policy(preprocessing)?;
    let frame = Frame {
        batch: BATCH,
        size: policy.size,
        normalise: normalise(preprocessing),
    };
    let mut batches: Vec<Vec<usize>> = rows.chunks(BATCH).map(<[usize]>::to_vec).collect();
    let order = batches.clone();
    batches.reverse();
    let shared = pictures.clone();
    let mut feed = Feed::start(pictures.clone(), frame, Device::Cpu, move || {
        let jobs = batches.pop().map(|batch| {
            let jobs = batch.into_iter().map(|row| {
                let image = shared.images().image(row);
                Job {
                    image: row,
                    views: vec![plain_view(&policy, image.width, image.height)],
                }
            });
            jobs.collect()
        });
        Ok(jobs)
    })?;
    for rows in &order {
        cancel::check()?;
        let pixels = feed
            .next()?
            .context("BUG: fewer batches than were asked for")?;
        // The padding must not widen a range.
        work(&pixels.slice(0, 0, rows.len() as i64, 1).contiguous(), rows);
    }
    Ok(())
}

fn compare(
    deployment: &Deployment,
    quantised: &Quantised,
    pictures: &Arc<Pictures>,
    rows: &[usize],
) -> Result<BTreeMap<String, f64>> {
    let (labels, places) = labels(pictures.images(), deployment.classes());
    let mut cosines: Vec<f64> = Vec::new();
    let (mut equal, mut labelled, mut right, mut right_rounded) = (0, 0, 0, 0);
    each_batch(pictures, &deployment.preprocessing, rows, |pixels, rows| {
        let (exact, rounded) = (deployment.forward(pixels), quantised.forward(pixels));
        let cosine = Tensor::cosine_similarity(&exact.features, &rounded.features, 1, 1e-12);
        cosines.extend((0..rows.len() as i64).map(|row| cosine.double_value(&[row])));
        let (Some(exact), Some(rounded)) =
            (predicted(&exact, &places), predicted(&rounded, &places))
        else {
            return;
        };
        for ((row, exact), rounded) in rows.iter().zip(exact).zip(rounded) {
            equal += usize::from(exact == rounded);
            if let Some(&label) = labels.get(row) {
                labelled += 1;
                right += usize::from(exact == label);
                right_rounded += usize::from(rounded == label);
            }
        }
    })?;
    let count = rows.len() as f64;
    let mut figures = BTreeMap::from([
        (
            "cosine_mean".to_owned(),
            cosines.iter().sum::<f64>() / count,
        ),
        (
            "cosine_min".to_owned(),
            cosines.iter().copied().fold(1.0, f64::min),
        ),
    ]);
    if deployment.classes().is_some() {
        figures.insert("agreement".to_owned(), equal as f64 / count);
    }
    if labelled > 0 {
        let share = |right: usize| right as f64 / f64::from(labelled);
        figures.insert("top1_fp32".to_owned(), share(right));
        figures.insert("top1_int8".to_owned(), share(right_rounded));
    }
    Ok(figures)
}

/// The best class of each image; equal ones, of which 8 bits make many, as everywhere that judges.
fn predicted(results: &Results, places: &[u32]) -> Option<Vec<usize>> {
    let best = ranked_classes(results.logits.as_ref()?, places, 1);
    Some(best.iter().map(|best| best[0].0 as usize).collect())
}

/// Row → class, where the images have as many classes as the network, and each class's place among
/// equals.
fn labels(images: &ImagesReader, classes: Option<i64>) -> (BTreeMap<usize, usize>, Vec<u32>) {
    let known = Classes::of(images).ok();
    let Some(known) = known.filter(|known| classes == Some(known.len() as i64)) else {
        return (
            BTreeMap::new(),
            (0..).take(classes.unwrap_or(0) as usize).collect(),
        );
    };
    let rows = 0..images.rows();
    let labels = rows.filter_map(|row| Some((row, known.class(images.image(row).label?)?)));
    (labels.collect(), known.places().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_over_all_rows() {
        assert_eq!(spread(&[3, 5, 7, 9, 11], 2), [3, 7]);
        assert_eq!(spread(&[3, 5], 9), [3, 5]);
        assert!(spread(&[], 9).is_empty());
    }

    #[test]
    fn images_of_the_calibration_are_judged_only_when_there_are_no_others() {
        assert_eq!(others(&[1, 2, 3, 4], &[2, 4, 6]), [1, 3]);
        assert_eq!(others(&[2, 4], &[2, 4]), [2, 4]);
    }
}
