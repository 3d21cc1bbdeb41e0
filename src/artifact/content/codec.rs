//! What the engine asks about outputs without knowing their columns: content digest and rows,
//! headline metrics.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::content::content_digest;
use crate::on_disk::part::Positions;
use crate::on_disk::parts::PartList;
use crate::schema::failure::Result;
use crate::schema::{EMBEDDINGS, METRICS};
use crate::tables::metrics::MetricsReader;
use crate::tables::table_of;

/// How the name of the figure ends that says how imbalanced the judged classes are, where they are.
pub const IMBALANCE: &str = "class_imbalance";

/// Figures in which every class counts the same: of balanced classes they are no headline, since
/// they say what the accuracy does.
const OF_CLASSES: [&str; 2] = ["balanced_accuracy", "macro_f1"];

/// An output's logical content, and how many rows it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentDigest {
    /// BLAKE3; its byte form is described in `content.rs`.
    pub digest: [u8; 32],
    pub rows: u64,
}

/// Digests an output of `kind`, given its parts in logical row order. Fails where a part is not of
/// this kind or is damaged.
pub fn digest(kind: &str, parts: &[PathBuf]) -> Result<ContentDigest> {
    let parts = open(kind, parts)?;
    Ok(ContentDigest {
        digest: content_digest(&parts)?,
        rows: parts.rows() as u64,
    })
}

/// Opens an output of `kind` for reading all of it.
pub(crate) fn open(kind: &str, parts: &[PathBuf]) -> Result<PartList> {
    let positions = if kind == EMBEDDINGS {
        Positions::Load
    } else {
        Positions::Skip
    };
    PartList::open(parts, &[table_of(kind)?], positions)
}

/// What an end of a 95 % interval is the end of: `knn_top1` of `knn_top1_low`.
pub fn interval_of(name: &str) -> Option<&str> {
    name.strip_suffix("_low")
        .or_else(|| name.strip_suffix("_high"))
}

/// Whether a metric, or the end of one's interval, is a share whose changes are told in points. The
/// name may begin with a split.
pub fn is_fraction(name: &str) -> bool {
    let name = interval_of(name).unwrap_or(name);
    // `knn_top1_k10` is one as well.
    let name = match name.rsplit_once("_k") {
        Some((name, k)) if k.parse::<u32>().is_ok() => name,
        _ => name,
    };
    let ends_with = |ending: &&str| name.ends_with(*ending);
    [
        "top1",
        "top5",
        "retrieval_map",
        "neighbours_in_common",
        "by_chance",
        "rank_correlation",
        "clusters_found",
    ]
    .iter()
    .any(ends_with)
        || OF_CLASSES.iter().any(ends_with)
}

/// Whether a metric, or the one that it is an end of the interval of, is among the `headline` ones.
pub fn is_headline(name: &str, headline: &[&str]) -> bool {
    headline.contains(&interval_of(name).unwrap_or(name))
}

/// For `metrics/v1`: `split/name` → the value of the last step, for metrics of these names and the
/// ends of their intervals. Other kinds have none.
pub fn headline(kind: &str, parts: &[PathBuf], names: &[&str]) -> Result<BTreeMap<String, f64>> {
    if kind != METRICS {
        return Ok(BTreeMap::new());
    }
    let rows = last_values(parts)?;
    let says = |name: &str| name.ends_with(IMBALANCE) && !name.contains('/');
    let is_imbalanced = rows.keys().any(|(_, name)| says(name));
    let is_wanted = |name: &str| {
        let of_classes = OF_CLASSES
            .iter()
            .any(|ending| interval_of(name).unwrap_or(name).ends_with(ending));
        is_headline(name, names) && (is_imbalanced || !of_classes)
    };
    let rows = rows.into_iter();
    let wanted = rows.filter(|((_, name), _)| is_wanted(name));
    Ok(wanted
        .map(|((split, name), value)| (format!("{split}/{name}"), value))
        .collect())
}

/// Of `metrics/v1`: (split, name) → the value of the last step; of several rows of one step, the
/// last.
pub fn last_values(parts: &[PathBuf]) -> Result<BTreeMap<(String, String), f64>> {
    let mut last: BTreeMap<(String, String), (u64, f64)> = BTreeMap::new();
    for row in MetricsReader::open(parts)?.read_all()? {
        let latest = last
            .entry((row.split, row.name))
            .or_insert((row.step, row.value));
        if row.step >= latest.0 {
            *latest = (row.step, row.value);
        }
    }
    let values = last.into_iter();
    Ok(values.map(|(key, (_, value))| (key, value)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::metadata::Metadata;
    use crate::tables::metrics::{MetricRow, MetricsWriter};

    fn row(step: u64, split: &str, name: &str, value: f64) -> MetricRow {
        MetricRow {
            step,
            split: split.into(),
            name: name.into(),
            value,
        }
    }

    #[test]
    fn the_headline_is_the_last_step_of_evaluation_metrics() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.parquet");
        let mut writer = MetricsWriter::create(&path, &Metadata::new()).unwrap();
        writer
            .write(&[
                row(2, "train", "loss", 0.5),
                row(1, "train", "loss", 0.9),
                row(2, "train", "learning_rate", 0.1),
                row(0, "test", "knn_top1", 0.75),
                row(0, "test", "knn_top1_low", 0.7),
                row(0, "test", "knn_top1_k10_low", 0.6),
                row(0, "val", "knn_top1", 0.5),
            ])
            .unwrap();
        writer.finish().unwrap();
        let names = ["loss", "knn_top1", "top1"];
        let headline = headline(METRICS, std::slice::from_ref(&path), &names).unwrap();
        let expected = [
            ("test/knn_top1", 0.75),
            ("test/knn_top1_low", 0.7),
            ("train/loss", 0.5),
            ("val/knn_top1", 0.5),
        ];
        assert_eq!(
            headline,
            expected
                .map(|(name, value)| (name.to_string(), value))
                .into()
        );
        assert!(
            super::headline("images/v1", &[path], &names)
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn balanced_scores_are_a_headline_where_classes_are_imbalanced() {
        let names = ["top1", "macro_f1"];
        let of = |rows: &[MetricRow]| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("m.parquet");
            let mut writer = MetricsWriter::create(&path, &Metadata::new()).unwrap();
            writer.write(rows).unwrap();
            writer.finish().unwrap();
            let found = headline(METRICS, &[path], &names).unwrap();
            found.into_keys().collect::<Vec<_>>()
        };
        let mut rows = vec![
            row(0, "test", "top1", 0.9),
            row(0, "test", "macro_f1", 0.5),
            row(0, "test", "macro_f1_low", 0.4),
        ];
        assert_eq!(of(&rows), ["test/top1"]);
        rows.push(row(0, "test", "class_imbalance", 9.0));
        let expected = ["test/macro_f1", "test/macro_f1_low", "test/top1"];
        assert_eq!(of(&rows), expected);
    }

    #[test]
    fn shares_are_told_in_points() {
        for name in [
            "knn_top1_k10",
            "test/macro_f1_low",
            "linear_balanced_accuracy",
        ] {
            assert!(is_fraction(name), "{name}");
        }
        for name in ["loss", "class_imbalance", "top1/class_k2", "queue_k10"] {
            assert!(!is_fraction(name), "{name}");
        }
    }

    #[test]
    fn an_output_without_parts_is_refused() {
        assert!(digest(METRICS, &[]).is_err());
    }
}
