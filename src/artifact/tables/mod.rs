//! A file for each kind of artifact: its rows, its writer, its reader.

pub(crate) mod embeddings;
pub(crate) mod files;
pub(crate) mod images;
pub(crate) mod images_reader;
pub(crate) mod matching;
pub(crate) mod metrics;
pub(crate) mod predictions;
pub(crate) mod rejected;
pub(crate) mod scattered;
pub(crate) mod seen;
pub(crate) mod seen_reader;
pub(crate) mod views;
pub(crate) mod weights;
