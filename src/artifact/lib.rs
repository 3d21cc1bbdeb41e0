//! The artifacts on disk: one file per kind with its rows, its writer and its reader, the logical
//! content digest over them, what `show` prints, and the reading of a user's own Parquet.
//!
//! The only crate that names arrow, parquet or polars; none of their types is in its public
//! interface. It knows nothing of stages, caches, tensors or pixels: an output is a list of Parquet
//! files ("parts") in logical row order, whose metadata and schema agree.
//!
//! A writer writes straight to the path that it is given; atomic publication and fsync are the
//! store's. A reader never trusts a file: a wrong kind, a wrong schema, truncation or garbage is an
//! [`Refusal`](seedpipe_base::Refusal) that names the file, never a panic.
//!
//! The rooms, each knowing only those before it: `schema`, `on_disk`, `tables`, `foreign`,
//! `content`.

mod content;
mod foreign;
mod on_disk;
mod schema;
mod tables;

pub use content::codec::{
    ContentDigest, IMBALANCE, digest, headline, interval_of, is_fraction, is_headline, last_values,
};
pub use content::compare::{compare, compare_rows};
pub use content::described::{Described, DescribedColumn, described};
pub use content::show::{Preview, preview};
pub use content::summary::{Figure, Summary, summaries};
pub use foreign::source::{
    SourceBatches, SourceLabel, SourceRow, SourceTable, guessed_columns, holds_images,
};
pub use foreign::source_columns::SourceColumns;
pub use on_disk::apart::{BytesWriter, Cells, StoredBytes, is_apart};
pub use on_disk::distinct::Distinct;
pub use on_disk::table::{TableReader, TableWriter};
pub use schema::failure::Result;
pub use schema::metadata::Metadata;
pub use schema::{
    EMBEDDINGS, FILES, IMAGES, KINDS, METRICS, PREDICTIONS, REJECTED, VIEWS, WEIGHTS,
};
pub use tables::embeddings::header::{EmbeddingsHeader, Of, Precision};
pub use tables::embeddings::{Embeddings, EmbeddingsReader, EmbeddingsWriter};
pub use tables::files::{FileRow, FilesReader, FilesWriter};
pub use tables::images::reader::{Image, ImagesReader};
pub use tables::images::{ImageRow, ImagesWriter};
pub use tables::matching::{ImageKey, places_among};
pub use tables::metrics::{MetricRow, MetricsReader, MetricsWriter};
pub use tables::predictions::{PredictionRow, PredictionsReader, PredictionsWriter};
pub use tables::rejected::{RejectedReader, RejectedRow, RejectedWriter};
pub use tables::scattered::Places;
pub use tables::seen::reader::SeenReader;
pub use tables::seen::{SeenRow, SeenWriter};
pub use tables::views::{Scale, ViewRow, ViewsReader, ViewsWriter};
pub use tables::weights::{Dtype, WeightRow, WeightsReader, WeightsWriter};
