//! What there is to ingest, whatever holds it.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use seedpipe_artifact::holds_images;
use seedpipe_base::Refusal;
use seedpipe_base::text::count;
use seedpipe_engine::walk;
use seedpipe_imaging::{DecodeError, Header};

use super::candidates::{Candidates, ImageCandidate};
use super::table::parquet_files;
use super::{Ingest, folder::Folder, table::Tables};
use crate::shared::copies::{Seen, remarks};
use crate::shared::image_folder::ImageFolder;

/// A candidate that was read again.
pub struct ReadCandidate<'a> {
    pub candidate: &'a ImageCandidate,
    /// For people: its path below the source, with the row for Parquet.
    pub source: String,
    /// Or why it can't be read.
    pub bytes: Result<Vec<u8>, &'static str>,
}

pub enum Listing {
    Folder(Folder),
    Tables(Tables),
}

/// What a source is: tables where any of them holds images, else a folder of image files.
pub struct Held {
    pub tables: Vec<PathBuf>,
    /// Where there are no tables.
    folder: Option<Folder>,
    /// What users should know of what was passed over.
    pub remarks: Vec<String>,
}

/// Takes some candidates with their bytes, in order.
pub type Taker<'a> = &'a mut dyn FnMut(Vec<ReadCandidate>) -> Result<()>;

/// Told how many more images have been read; an error stops the reading.
pub type Advance<'a> = &'a (dyn Fn(u64) -> Result<()> + Sync);

impl Held {
    /// Looks at names, and at what the tables' columns are.
    ///
    /// - `column`: the image column, where the user names it
    pub fn at(path: &Path, column: Option<&str>) -> Result<Held> {
        let mut tables = parquet_files(path)?;
        if !path.is_dir() {
            if let Err(fault) = walk::check(path)? {
                let got = format!("expected a file or a folder, got {fault}");
                bail!(Refusal::failure(got).place(format!("`{}`", path.display())));
            }
            let folder = tables.is_empty().then(|| Folder::of_file(path));
            return Ok(Held {
                tables,
                folder: folder.transpose()?,
                remarks: Vec::new(),
            });
        }
        let images = ImageFolder::open(path)?;
        let mut remarks = images.remarks();
        let looked: Result<Vec<_>> = tables.iter().map(|table| look(table, column)).collect();
        let mut looked = looked?;
        let any_holds = looked.iter().any(|look| *look == Ok(true));
        if any_holds || images.is_empty() {
            // A table that can't be read may be one of several with images.
            if let Some(broken) = looked.iter().position(Result::is_err) {
                looked.swap_remove(broken)?;
            }
        }
        if any_holds || !images.is_empty() {
            let mut looked = looked.into_iter();
            tables.retain(|table| {
                let why = match looked.next() {
                    Some(Ok(false)) => " has no image column".to_owned(),
                    Some(Err(error)) => format!(": {}", error.message),
                    _ => return true,
                };
                let name = table.file_name().unwrap_or_default().to_string_lossy();
                remarks.push(format!("passed over: `{name}`{why}"));
                false
            });
        }
        if any_holds && !images.is_empty() {
            remarks.push(format!(
                "passed over, but for those that a row names: {} image files beside the tables",
                count(images.len() as u64)
            ));
        }
        Ok(Held {
            folder: tables.is_empty().then(|| Folder::of(path, images)),
            tables,
            remarks,
        })
    }

    pub fn open(self, ingest: &Ingest) -> Result<Listing> {
        Ok(match self.folder {
            Some(folder) => Listing::Folder(folder),
            None => Listing::Tables(Tables::open(ingest, self.tables)?),
        })
    }
}

/// Whether a table holds images, or why it can't be read.
fn look(table: &Path, column: Option<&str>) -> Result<Result<bool, Refusal>> {
    // What is no file is not opened: a pipe would never answer.
    Ok(match walk::check(table)? {
        Ok(()) => holds_images(table, column),
        Err(fault) => {
            let got = format!("expected a Parquet file, got {fault}");
            let refusal = Refusal::failure(got).place(format!("`{}`", table.display()));
            Err(refusal.hint("repair or remove it"))
        }
    })
}

impl Listing {
    pub fn len(&self) -> usize {
        match self {
            Listing::Folder(folder) => folder.len(),
            Listing::Tables(tables) => tables.len(),
        }
    }

    /// For people: where a candidate is.
    fn source(&self, candidate: &ImageCandidate) -> String {
        match self {
            Listing::Folder(folder) => folder.source(candidate),
            Listing::Tables(tables) => tables.source(candidate),
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

    /// What an image is, or why it is none.
    ///
    /// - `check`: of its bytes
    pub fn header(
        &self,
        image: &ReadCandidate,
        check: impl FnOnce(&[u8]) -> Result<Header, DecodeError>,
    ) -> Result<Header, String> {
        let bytes = image.bytes.as_ref();
        let bytes = bytes.map_err(|fault| format!("expected an image, got {fault}"))?;
        check(bytes).map_err(|error| {
            let is_linked = match self {
                Listing::Folder(folder) => folder.is_linked(image.candidate),
                Listing::Tables(_) => false,
            };
            match is_linked {
                true => error.unquoted().to_string(),
                false => error.to_string(),
            }
        })
    }

    /// A sentence on each kind of images that are there more than once.
    pub fn copies(
        &self,
        candidates: &Candidates,
        is_image: impl Fn(&[u8; 32]) -> bool,
    ) -> Result<Vec<String>> {
        let images: Vec<&ImageCandidate> = candidates
            .all
            .iter()
            .filter(|one| is_image(&one.digest))
            .collect();
        remarks(
            images.len(),
            |index| Seen {
                digest: &images[index].digest,
                occurrence: images[index].occurrence,
                class: candidates.class(images[index]).label.as_deref(),
                split: candidates.split(images[index]),
            },
            |index| Ok(self.source(images[index])),
        )
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
