//! The artifacts on disk: one file per kind with its rows, its writer and its reader, the logical content digest over them, what `show`
//! prints, and the reading of a user's own Parquet.
//!
//! The only crate that names arrow, parquet or polars; none of their types is in its public interface. It knows nothing of stages, caches,
//! tensors or pixels: an output is a list of Parquet files ("parts") in logical row order, whose metadata and schema agree.
//!
//! A writer writes straight to the path that it is given; atomic publication and fsync are the store's. A reader never trusts a file: a
//! wrong kind, a wrong schema, truncation or garbage is an [`ArtifactError`] that names the file, never a panic.

mod codec;
mod columns;
mod compare;
mod content;
mod described;
mod distinct;
mod embeddings;
mod error;
mod file;
mod files;
mod footer;
mod images;
mod images_reader;
mod matching;
mod metadata;
mod metrics;
mod page;
mod part;
mod parts;
mod predictions;
mod rejected;
mod scattered;
mod schema;
mod seen;
mod seen_reader;
mod show;
mod source;
mod source_columns;
mod table;
mod vectors;
mod views;
mod weights;
mod write;

pub use codec::{ContentDigest, HEADLINE_METRICS, digest, headline};
pub use compare::{Difference, Tolerance, WorstRow, compare, compare_rows};
pub use described::{ARTIFACT_DESCRIPTIONS, DescribedColumn, described_columns};
pub use distinct::Distinct;
pub use embeddings::{
    Embeddings, EmbeddingsHeader, EmbeddingsReader, EmbeddingsWriter, Of, Precision,
};
pub use error::{ArtifactError, Result};
pub use files::{FileRow, FilesReader, FilesWriter};
pub use images::{ImageRow, ImagesWriter};
pub use images_reader::{Image, ImagesReader};
pub use matching::{ImageKey, places_among};
pub use metadata::Metadata;
pub use metrics::{MetricRow, MetricsReader, MetricsWriter};
pub use predictions::{PredictionRow, PredictionsReader, PredictionsWriter};
pub use rejected::{RejectedReader, RejectedRow, RejectedWriter};
pub use scattered::Places;
pub use schema::{
    EMBEDDINGS, FILES, IMAGES, KINDS, METRICS, PREDICTIONS, REJECTED, VIEWS, WEIGHTS,
};
pub use seen::{SeenRow, SeenWriter};
pub use seen_reader::SeenReader;
pub use show::{Preview, preview};
pub use source::{SourceBatches, SourceLabel, SourceRow, SourceTable, guessed_columns};
pub use source_columns::SourceColumns;
pub use table::{TableReader, TableWriter};
pub use views::{OperationName, Scale, ViewFilter, ViewRow, ViewsReader, ViewsWriter};
pub use weights::{Dtype, WeightRow, WeightsReader, WeightsWriter};
