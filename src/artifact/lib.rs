//! The artifacts' schemas on disk: the only crate that names arrow, parquet or polars
