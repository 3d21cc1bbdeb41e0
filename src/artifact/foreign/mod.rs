//! A user's own Parquet: which columns hold images, labels and splits.

pub(crate) mod source;
pub(crate) mod source_columns;
