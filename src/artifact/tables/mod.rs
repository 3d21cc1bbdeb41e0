//! A file for each kind of artifact: its rows, its writer, its reader.

pub(crate) mod embeddings;
pub(crate) mod files;
pub(crate) mod images;
pub(crate) mod matching;
pub(crate) mod metrics;
pub(crate) mod predictions;
pub(crate) mod rejected;
pub(crate) mod scattered;
pub(crate) mod seen;
pub(crate) mod views;
pub(crate) mod weights;

use std::path::Path;

use crate::on_disk::row::StoredRow;
use crate::schema::KINDS;
use crate::schema::failure::{self, Result};
use crate::schema::table::Table;

/// In the order of [`KINDS`].
pub(crate) const TABLES: [&Table; 8] = [
    images::ImageRow::TABLE,
    rejected::RejectedRow::TABLE,
    views::ViewRow::TABLE,
    embeddings::header::TABLE,
    weights::WeightRow::TABLE,
    predictions::PredictionRow::TABLE,
    metrics::MetricRow::TABLE,
    files::FileRow::TABLE,
];

pub(crate) fn table_of(kind: &str) -> Result<&'static Table> {
    let table = TABLES.into_iter().find(|table| table.kind == kind);
    table.ok_or_else(|| {
        failure::unexpected(
            Path::new(""),
            "artifact kind",
            format!("one of {}", KINDS.join(", ")),
            format!("`{kind}`"),
        )
    })
}
