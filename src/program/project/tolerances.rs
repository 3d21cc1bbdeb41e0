//! What outputs may differ in between numerics classes, by artifact kind, and the comparison under
//! it.
//!
//! Within a class nothing may differ. These are the defaults across classes; `verify.tolerance` in
//! pipeline.yaml replaces them.
//!
//! A long training goes another way after one rounding: measured between two CPU classes, one of a
//! distilled student's tensors kept a cosine of 0.34 only, while its final figures stayed. So
//! trainings are judged by their figures at the end, and networks by what they make of sampled
//! images.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Context, Result};
use seedpipe_artifact::{
    EMBEDDINGS, IMAGES, METRICS, MetricRow, MetricsReader, PREDICTIONS, PredictionRow,
    PredictionsReader, WEIGHTS, is_headline,
};
use seedpipe_base::{Comparison, Tolerance, WorstRow};
use seedpipe_engine::Judging;
use seedpipe_stages::tools::Alike;

/// The default across numerics classes. Images, views, files and lists of rejected images are exact
/// everywhere.
pub fn default_of(kind: &str) -> Tolerance {
    let exact = Tolerance::default();
    match kind {
        EMBEDDINGS => Tolerance {
            cosine: Some(0.999),
            ..exact
        },
        // Of networks by what they see; of other weights by their numbers. Names, shapes and types
        // must be equal, and no number become NaN.
        WEIGHTS => Tolerance {
            cosine: Some(0.999),
            ..exact
        },
        PREDICTIONS => Tolerance {
            points: Some(5.0),
            ..exact
        },
        METRICS => Tolerance {
            points: Some(2.0),
            ..exact
        },
        _ => exact,
    }
}

/// Compares stored weights with weights made again: networks by how alike they see images of the
/// stage's inputs, whatever their numbers; others by their numbers.
///
/// # Errors
/// When either can't be read, or a network is none.
pub fn compare_weights(
    stored: &[PathBuf],
    again: &[PathBuf],
    judging: &Judging,
    alike: Option<Alike>,
) -> Result<Comparison> {
    let free = Tolerance {
        cosine: Some(-1.0),
        ..judging.tolerance
    };
    let compare = |tolerance| seedpipe_artifact::compare(WEIGHTS, stored, again, tolerance);
    let form = compare(&free)?;
    let (Some(least), Some(alike), true) = (judging.tolerance.cosine, alike, form.within) else {
        return Ok(compare(&judging.tolerance)?);
    };
    let inputs = judging.inputs.values().flatten();
    let images = inputs.clone().find(|input| input.kind == IMAGES);
    let images = images.map_or(&[][..], |input| &input.parts);
    Ok(match alike(stored, again, images)? {
        None => compare(&judging.tolerance)?,
        Some(seen_alike) => Comparison {
            within: seen_alike >= least,
            seen_alike: Some(seen_alike),
            ..form
        },
    })
}

/// Compares a stored output, or some rows of it, with one made again.
///
/// # Errors
/// When either can't be read.
pub fn compare(
    kind: &str,
    stored: &[PathBuf],
    rows: Option<&[Range<u64>]>,
    again: &[PathBuf],
    judging: &Judging,
) -> Result<Comparison> {
    let (tolerance, headline) = (&judging.tolerance, judging.headline);
    match (kind, tolerance.points, rows) {
        (METRICS, Some(points), None) => {
            let read = |parts| MetricsReader::open(parts)?.read_all();
            let (stored, again) = (read(stored)?, read(again)?);
            return Ok(compare_metric_rows(&stored, &again, points, headline));
        }
        (PREDICTIONS, Some(points), None) => {
            let read = |parts| PredictionsReader::open(parts)?.read_all();
            return Ok(compare_predictions(&read(stored)?, &read(again)?, points));
        }
        _ => {}
    }
    let Some(rows) = rows else {
        return Ok(seedpipe_artifact::compare(kind, stored, again, tolerance)?);
    };
    let rows = rows
        .iter()
        .map(|range| Ok(usize::try_from(range.start)?..usize::try_from(range.end)?))
        .collect::<Result<Vec<_>>>()
        .context("BUG: rows of an output that memory can't count")?;
    Ok(seedpipe_artifact::compare_rows(
        kind, stored, &rows, again, tolerance,
    )?)
}

/// Of a difference of two fractions in percentage points.
const ROUNDING: f64 = 1e-9;
/// Other figures than accuracies may differ by this many per cent for each point.
const PER_CENT_A_POINT: f64 = 10.0;

/// How far two figures of a name are apart: accuracies in percentage points, others in per cent of
/// the larger one, of which ten are a point.
fn points_apart(name: &str, before: f64, now: f64) -> f64 {
    let apart = (before - now).abs();
    let points = if name.contains("top") || name.ends_with("accuracy") {
        100.0 * apart
    } else {
        let larger = before.abs().max(now.abs());
        100.0 * apart / larger.max(f64::MIN_POSITIVE) / PER_CENT_A_POINT
    };
    // NaN against a number is beyond every bound.
    if points.is_nan() {
        f64::INFINITY
    } else {
        points
    }
}

/// Whether a figure may be another one within the tolerance.
pub fn may_be(name: &str, before: f64, now: f64, tolerance: &Tolerance) -> bool {
    before.to_bits() == now.to_bits()
        || tolerance
            .points
            .is_some_and(|points| points_apart(name, before, now) <= points + ROUNDING)
}

/// The headline figures at their last step decide: accuracies may differ by `points` percentage
/// points, every other figure by ten times as many per cent of the larger one. Earlier steps and
/// figures of single classes, which rest on few images, are only counted.
fn compare_metric_rows(
    stored: &[MetricRow],
    again: &[MetricRow],
    points: f64,
    headline: &[&str],
) -> Comparison {
    let mut comparison = Comparison {
        within: true,
        rows: again.len() as u64,
        ..Comparison::default()
    };
    let name = |row: &MetricRow| format!("step {} {}/{}", row.step, row.split, row.name);
    let names = |rows: &[MetricRow]| rows.iter().map(name).collect::<Vec<_>>();
    if names(stored) != names(again) {
        comparison.within = false;
        comparison.structure = Some(format!(
            "other figures: {} rows against {}",
            stored.len(),
            again.len()
        ));
        return comparison;
    }
    let mut last = BTreeMap::new();
    for row in stored {
        let step = last.entry((&row.split, &row.name)).or_insert(row.step);
        *step = row.step.max(*step);
    }
    let mut worst = f64::NEG_INFINITY;
    for (number, (before, now)) in stored.iter().zip(again).enumerate() {
        if before.value.to_bits() == now.value.to_bits() {
            continue;
        }
        comparison.differing += 1;
        let apart = (before.value - now.value).abs();
        let beyond = points_apart(&before.name, before.value, now.value);
        let is_last = last[&(&before.split, &before.name)] == before.step;
        let decides = is_last && is_headline(&before.name, headline);
        if !decides && apart.is_finite() {
            continue;
        }
        comparison.max_abs = comparison.max_abs.max(apart);
        comparison.within &= beyond <= points + ROUNDING;
        if beyond > worst {
            worst = beyond;
            comparison.worst = Some(WorstRow {
                row: number as u64,
                column: "value".to_owned(),
                detail: format!("{}: {} against {}", name(before), before.value, now.value),
            });
        }
    }
    comparison.equal = comparison.differing == 0;
    comparison
}

/// `points` per cent of the images may have another best class.
fn compare_predictions(
    stored: &[PredictionRow],
    again: &[PredictionRow],
    points: f64,
) -> Comparison {
    let mut comparison = Comparison {
        rows: again.len() as u64,
        ..Comparison::default()
    };
    let images = |rows: &[PredictionRow]| -> Vec<(u32, Option<i32>)> {
        rows.iter().map(|row| (row.image_id, row.label)).collect()
    };
    if images(stored) != images(again) {
        comparison.structure = Some(format!(
            "other images or labels: {} rows against {}",
            stored.len(),
            again.len()
        ));
        return comparison;
    }
    let mut other = 0;
    for (number, (before, now)) in stored.iter().zip(again).enumerate() {
        comparison.differing += u64::from(before != now);
        let (first, second) = (before.classes.first(), now.classes.first());
        if first != second {
            other += 1;
            comparison.worst.get_or_insert(WorstRow {
                row: number as u64,
                column: "classes".to_owned(),
                detail: format!("image {}: {first:?} against {second:?}", before.image_id),
            });
        }
    }
    comparison.within = 100.0 * f64::from(other) <= points * stored.len() as f64;
    comparison.equal = comparison.differing == 0;
    comparison
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, value: f64) -> MetricRow {
        MetricRow {
            step: 3,
            split: "test".into(),
            name: name.into(),
            value,
        }
    }

    #[test]
    fn accuracies_are_compared_by_points_and_losses_by_per_cent() {
        let stored = [row("knn_top1", 0.50), row("loss", 2.0)];
        let compare = |again: &[MetricRow], points| {
            compare_metric_rows(&stored, again, points, &["knn_top1", "loss"])
        };
        let near = compare(&[row("knn_top1", 0.51), row("loss", 2.1)], 2.0);
        assert!(near.within && !near.equal, "{near:?}");
        assert_eq!(near.differing, 2);
        let worst = near.worst.unwrap();
        assert_eq!((worst.row, worst.column.as_str()), (0, "value"));
        for far in [
            [row("knn_top1", 0.53), row("loss", 2.0)],
            [row("knn_top1", 0.50), row("loss", 2.6)],
            [row("knn_top1", f64::NAN), row("loss", 2.0)],
            [row("knn_top5", 0.50), row("loss", 2.0)],
        ] {
            assert!(!compare(&far, 2.0).within, "{far:?}");
        }
        assert!(compare(&stored, 0.0).equal);
        let others =
            compare_metric_rows(&stored, &[row("knn_top1", 0.9), row("loss", 9.0)], 2.0, &[]);
        assert!(others.within && others.differing == 2, "{others:?}");
    }

    #[test]
    fn the_last_step_of_a_figure_decides() {
        let early = |value| MetricRow {
            step: 1,
            ..row("loss", value)
        };
        let stored = [early(9.0), row("loss", 2.0)];
        let other = compare_metric_rows(&stored, &[early(5.0), row("loss", 2.0)], 2.0, &["loss"]);
        assert!(
            other.within && !other.equal && other.differing == 1,
            "{other:?}"
        );
    }

    #[test]
    fn some_images_may_have_another_best_class() {
        let rows = |best: i32| -> Vec<PredictionRow> {
            let row = |image_id| PredictionRow {
                image_id,
                label: Some(1),
                classes: vec![if image_id == 7 { best } else { 1 }, 2],
                probabilities: vec![0.6, 0.4],
            };
            (0..20).map(row).collect()
        };
        let one = compare_predictions(&rows(1), &rows(2), 5.0);
        assert!(one.within && !one.equal, "{one:?}");
        assert_eq!(one.worst.unwrap().row, 7);
        assert!(!compare_predictions(&rows(1), &rows(2), 4.9).within);
        assert!(!compare_predictions(&rows(1), &rows(1)[1..], 5.0).within);
        assert!(compare_predictions(&rows(1), &rows(1), 0.0).equal);
    }

    #[test]
    fn pixels_views_and_files_are_exact_everywhere() {
        for kind in ["images/v1", "views/v1", "rejected/v1", "files/v1"] {
            assert_eq!(default_of(kind), Tolerance::default());
        }
    }
}
