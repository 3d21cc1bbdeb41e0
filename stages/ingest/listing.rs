//! What there is to ingest, whatever holds it.

use std::path::Path;

use anyhow::Result;

use super::candidates::{Candidates, ImageCandidate};
use super::{Ingest, folder::Folder, table::Tables};

/// A candidate that was read again.
pub struct ReadCandidate<'a> {
    pub candidate: &'a ImageCandidate,
    /// For people: its path below the source, with the row for Parquet.
    pub source: String,
    pub bytes: Vec<u8>,
}

pub enum Listing {
    Folder(Folder),
    Tables(Tables),
}

/// Takes some candidates with their bytes, in order.
pub type Taker<'a> = &'a mut dyn FnMut(Vec<ReadCandidate>) -> Result<()>;

/// Told how many more images have been read; an error stops the reading.
pub type Advance<'a> = &'a (dyn Fn(u64) -> Result<()> + Sync);

impl Listing {
    pub fn open(ingest: &Ingest, path: &Path) -> Result<Listing> {
        match Tables::open(ingest, path)? {
            Some(tables) => Ok(Listing::Tables(tables)),
            None => Ok(Listing::Folder(Folder::open(path)?)),
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Listing::Folder(folder) => folder.len(),
            Listing::Tables(tables) => tables.len(),
        }
    }

    /// Every image with its digest, in the order of paths and rows.
    pub fn candidates(&self, advance: Advance) -> Result<Candidates> {
        match self {
            Listing::Folder(folder) => folder.candidates(advance),
            Listing::Tables(tables) => tables.candidates(advance),
        }
    }

    /// Reads the candidates' bytes again, in order, some at a time.
    pub fn chunks(&self, candidates: &[ImageCandidate], size: usize, take: Taker) -> Result<()> {
        match self {
            Listing::Folder(folder) => folder.chunks(candidates, size, take),
            Listing::Tables(tables) => tables.chunks(candidates, size, take),
        }
    }

    /// The names of the classes 0, 1, … where the source declares them.
    pub fn class_names(&self) -> Option<Vec<String>> {
        match self {
            Listing::Folder(_) => None,
            Listing::Tables(tables) => tables.class_names(),
        }
    }

    pub fn expectation(&self) -> &'static str {
        match self {
            Listing::Folder(_) => {
                "a folder holds CLASS/*.jpg, train/CLASS/*.jpg and test/CLASS/*.jpg, or images without classes"
            }
            Listing::Tables(_) => "the Parquet file has no rows",
        }
    }
}
