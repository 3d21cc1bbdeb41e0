//! What outputs may differ in between numerics classes, by artifact kind, and the comparison under it.
//!
//! Within a class nothing may differ. These are the defaults across classes; `verify.tolerance` in pipeline.yaml replaces them.

use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Context, Result};
use seedpipe_artifact::{
    Difference, EMBEDDINGS, METRICS, MetricRow, MetricsReader, PREDICTIONS, WEIGHTS,
};
use seedpipe_engine::{Comparison, Tolerance, WorstRow};

/// The default across numerics classes. Images, views, files and lists of rejected images are exact everywhere.
pub fn default_of(kind: &str) -> Tolerance {
    let exact = Tolerance::default();
    match kind {
        EMBEDDINGS => Tolerance {
            cosine: Some(0.999),
            ..exact
        },
        WEIGHTS => Tolerance {
            cosine: Some(0.95),
            ..exact
        },
        PREDICTIONS => Tolerance {
            max_abs: Some(0.1),
            ..exact
        },
        METRICS => Tolerance {
            points: Some(2.0),
            ..exact
        },
        _ => exact,
    }
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
    tolerance: &Tolerance,
) -> Result<Comparison> {
    if let (METRICS, Some(points), None) = (kind, tolerance.points, rows) {
        return compare_metrics(stored, again, points);
    }
    let bounds = seedpipe_artifact::Tolerance {
        max_abs: match (tolerance.max_abs, tolerance.cosine) {
            (Some(bound), _) => bound,
            (None, Some(_)) => f64::INFINITY,
            (None, None) => 0.0,
        },
        min_cosine: tolerance.cosine,
    };
    let difference = match rows {
        None => seedpipe_artifact::compare(kind, stored, again, &bounds)?,
        Some(rows) => {
            let rows = rows
                .iter()
                .map(|range| Ok(usize::try_from(range.start)?..usize::try_from(range.end)?))
                .collect::<Result<Vec<_>>>()
                .context("BUG: rows of an output that memory can't count")?;
            seedpipe_artifact::compare_rows(kind, stored, &rows, again, &bounds)?
        }
    };
    Ok(comparison(difference))
}

fn comparison(difference: Difference) -> Comparison {
    Comparison {
        equal: difference.equal,
        within: difference.within,
        rows: difference.rows,
        differing: difference.differing,
        max_abs: difference.max_abs,
        min_cosine: difference.min_cosine,
        worst: difference.worst.map(|worst| WorstRow {
            row: worst.row,
            column: worst.column,
            detail: worst.detail,
        }),
        metadata: difference.metadata,
        structure: difference.structure,
    }
}

/// Accuracies may differ by `points` percentage points, every other figure by `points` per cent of the larger one.
fn compare_metrics(stored: &[PathBuf], again: &[PathBuf], points: f64) -> Result<Comparison> {
    let stored = MetricsReader::open(stored)?.read_all()?;
    let again = MetricsReader::open(again)?.read_all()?;
    Ok(compare_metric_rows(&stored, &again, points))
}

fn compare_metric_rows(stored: &[MetricRow], again: &[MetricRow], points: f64) -> Comparison {
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
    let mut worst = 0.0;
    for (number, (before, now)) in stored.iter().zip(again).enumerate() {
        if before.value.to_bits() == now.value.to_bits() {
            continue;
        }
        comparison.differing += 1;
        let apart = (before.value - now.value).abs();
        let is_fraction = before.name.contains("top") || before.name.ends_with("accuracy");
        let whole = if is_fraction {
            1.0
        } else {
            before.value.abs().max(now.value.abs())
        };
        // NaN against a number is beyond every bound.
        let beyond = if apart.is_nan() {
            f64::INFINITY
        } else {
            100.0 * apart / whole.max(f64::MIN_POSITIVE)
        };
        comparison.max_abs = comparison.max_abs.max(apart);
        comparison.within &= beyond <= points;
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
        let near = compare_metric_rows(&stored, &[row("knn_top1", 0.51), row("loss", 2.01)], 2.0);
        assert!(near.within && !near.equal, "{near:?}");
        assert_eq!(near.differing, 2);
        let worst = near.worst.unwrap();
        assert_eq!((worst.row, worst.column.as_str()), (0, "value"));
        for far in [
            [row("knn_top1", 0.53), row("loss", 2.0)],
            [row("knn_top1", 0.50), row("loss", 2.1)],
            [row("knn_top1", f64::NAN), row("loss", 2.0)],
            [row("knn_top5", 0.50), row("loss", 2.0)],
        ] {
            assert!(!compare_metric_rows(&stored, &far, 2.0).within, "{far:?}");
        }
        assert!(compare_metric_rows(&stored, &stored, 0.0).equal);
    }

    #[test]
    fn pixels_views_and_files_are_exact_everywhere() {
        for kind in ["images/v1", "views/v1", "rejected/v1", "files/v1"] {
            assert_eq!(default_of(kind), Tolerance::default());
        }
    }
}
