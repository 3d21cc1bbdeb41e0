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
    .any(|ending| name.ends_with(ending))
}

/// Whether a metric, or the one that it is an end of the interval of, is among the `headline` ones.
pub fn is_headline(name: &str, headline: &[&str]) -> bool {
    headline.contains(&interval_of(name).unwrap_or(name))
}

/// For `metrics/v1`: `split/name` → the value of the last step, for metrics of these names and the
/// ends of their intervals; of several rows of one step, the last. Other kinds have none.
pub fn headline(kind: &str, parts: &[PathBuf], names: &[&str]) -> Result<BTreeMap<String, f64>> {
    if kind != METRICS {
        return Ok(BTreeMap::new());
    }
    let mut last: BTreeMap<String, (u64, f64)> = BTreeMap::new();
    for row in MetricsReader::open(parts)?.read_all()? {
        if !is_headline(&row.name, names) {
            continue;
        }
        let latest = last
            .entry(format!("{}/{}", row.split, row.name))
            .or_insert((row.step, row.value));
        if row.step >= latest.0 {
            *latest = (row.step, row.value);
        }
    }
    Ok(last
        .into_iter()
        .map(|(name, (_, value))| (name, value))
        .collect())
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
    fn an_output_without_parts_is_refused() {
        assert!(digest(METRICS, &[]).is_err());
    }
}
