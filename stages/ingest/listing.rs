//! What there is to ingest, whatever holds it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use seedpipe_imaging::{DecodeError, Header};

use super::candidates::{Candidates, ImageCandidate};
use super::vocabulary::Vocabulary;
use super::{Ingest, folder::Folder, table::Tables, table_files};

/// A candidate that was read again.
pub struct ReadCandidate<'a> {
    pub candidate: &'a ImageCandidate,
    /// For people: its path below the source, with the row for Parquet.
    pub source: String,
    /// Or what there is instead.
    pub bytes: Result<Vec<u8>, &'static str>,
}

impl ReadCandidate<'_> {
    /// What an image is, or why it is none.
    pub fn header(
        &self,
        check: impl FnOnce(&[u8]) -> Result<Header, DecodeError>,
    ) -> Result<Header, String> {
        let bytes = self.bytes.as_ref();
        let bytes = bytes.map_err(|got| format!("expected an image, got {got}"))?;
        check(bytes).map_err(|error| error.to_string())
    }
}

/// The digest of an image, or of nothing.
pub fn digest_of(read: &Result<Vec<u8>, &'static str>) -> [u8; 32] {
    *blake3::hash(read.as_deref().unwrap_or_default()).as_bytes()
}

/// What a source is: tables, else a folder of image files.
pub struct Held {
    pub tables: Vec<PathBuf>,
    /// Where there are no tables.
    folder: Option<Folder>,
    /// What people should know of what was passed over.
    pub remarks: Vec<String>,
}

impl Held {
    pub fn at(path: &Path) -> Result<Held> {
        let mut remarks = Vec::new();
        let mut tables = table_files::tables_at(path)?;
        if !tables.is_empty() {
            return Ok(Held {
                tables,
                folder: None,
                remarks,
            });
        }
        let folder = Folder::open(path)?;
        // A repository may also hold a picture for its page.
        if path.is_dir() && folder.is_flat() {
            tables = match table_files::tables_below(path) {
                Err(_) if folder.len() > 0 => Vec::new(),
                found => found?,
            };
            if !tables.is_empty() && folder.len() > 0 {
                remarks.push(format!(
                    "passed over: {} image files beside the folder of Parquet files",
                    folder.len()
                ));
            }
        }
        Ok(Held {
            folder: tables.is_empty().then_some(folder),
            tables,
            remarks,
        })
    }

    /// - `path`: where it is
    pub fn open(self, ingest: &Ingest, path: &Path) -> Result<Listing> {
        Ok(match self.folder {
            Some(mut folder) => {
                folder.splits = ingest.splits;
                Listing::Folder(folder)
            }
            None => Listing::Tables(Tables::open(ingest, path, &self.tables)?),
        })
    }
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
    pub fn len(&self) -> usize {
        match self {
            Listing::Folder(folder) => folder.len(),
            Listing::Tables(tables) => tables.len(),
        }
    }

    /// Every image with its digest, in the order of paths and rows.
    pub fn candidates(&self, advance: Advance) -> Result<Candidates> {
        let mut candidates = match self {
            Listing::Folder(folder) => folder.candidates(advance)?,
            Listing::Tables(tables) => tables.candidates(advance)?,
        };
        candidates.remark_on_names();
        Ok(candidates)
    }

    /// Reads the candidates' bytes again, in order, some at a time.
    pub fn chunks(&self, candidates: &[ImageCandidate], size: usize, take: Taker) -> Result<()> {
        match self {
            Listing::Folder(folder) => folder.chunks(candidates, size, take),
            Listing::Tables(tables) => tables.chunks(candidates, size, take),
        }
    }

    /// Numbers and names of the candidates' classes.
    pub fn vocabulary(&self, candidates: &Candidates) -> Vocabulary {
        let declared = match self {
            Listing::Folder(_) => None,
            Listing::Tables(tables) => tables.declared.as_ref(),
        };
        Vocabulary::of(candidates, declared)
    }

    pub fn expectation(&self) -> &'static str {
        match self {
            Listing::Folder(_) => {
                "a folder holds CLASS/*.jpg, train/CLASS/*.jpg and test/CLASS/*.jpg, or images without classes"
            }
            Listing::Tables(tables) if tables.len() == 0 => "the Parquet file has no rows",
            Listing::Tables(_) => {
                "a Parquet file holds the images' files as bytes; a folder of Parquet files may also hold their paths, and the images"
            }
        }
    }
}
