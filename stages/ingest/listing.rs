//! What there is to ingest, whatever holds it.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use seedpipe_artifact::holds_images;
use seedpipe_base::Refusal;
use seedpipe_base::text::count;
use seedpipe_engine::walk;
use seedpipe_imaging::{DecodeError, Header};

use super::candidates::{Candidates, ImageCandidate};
use super::vocabulary::Vocabulary;
use super::{Ingest, folder::Folder, table::Tables, table_files};
use crate::shared::copies::{Seen, remarks};
use crate::shared::image_folder::{ImageFolder, is_linked};

/// A candidate that was read again.
pub struct ReadCandidate<'a> {
    pub candidate: &'a ImageCandidate,
    /// For people: its path below the source, with the row for Parquet.
    pub source: String,
    /// Or what there is instead.
    pub bytes: Result<Vec<u8>, &'static str>,
    /// The folder and the file below it, where it is one.
    pub file: Option<(&'a Path, PathBuf)>,
}

impl ReadCandidate<'_> {
    /// What an image is, or why it is none.
    pub fn header(
        &self,
        check: impl FnOnce(&[u8]) -> Result<Header, DecodeError>,
    ) -> Result<Header, String> {
        let bytes = self.bytes.as_ref();
        let bytes = bytes.map_err(|got| format!("expected an image, got {got}"))?;
        check(bytes).map_err(|error| {
            let mut file = self.file.iter();
            match file.any(|(folder, file)| is_linked(folder, file)) {
                true => error.unquoted().to_string(),
                false => error.to_string(),
            }
        })
    }
}

/// The digest of an image, or of nothing.
pub fn digest_of(read: &Result<Vec<u8>, &'static str>) -> [u8; 32] {
    walk::digest_of(read).0
}

/// What a source is: tables where any of them holds images, else a folder of image files.
pub struct Held {
    pub tables: Vec<PathBuf>,
    /// Where there are no tables.
    folder: Option<Folder>,
    /// What users should know of what was passed over.
    pub remarks: Vec<String>,
}

impl Held {
    /// Looks at names, and at what the tables' columns are.
    ///
    /// - `column`: the image column, where the user names it
    pub fn at(path: &Path, column: Option<&str>) -> Result<Held> {
        if !path.is_dir() {
            if let Err(fault) = walk::check(path)? {
                let got = format!("expected a file or a folder, got {fault}");
                bail!(Refusal::failure(got).place(format!("`{}`", path.display())));
            }
            let tables = table_files::tables_at(path)?;
            let folder = tables.is_empty().then(|| Folder::of_file(path));
            return Ok(Held {
                tables,
                folder: folder.transpose()?,
                remarks: Vec::new(),
            });
        }
        let images = ImageFolder::open(path)?;
        let mut remarks = images.remarks();
        let mut tables = table_files::tables_at(path)?;
        // A repository may also hold a picture for its page.
        if tables.is_empty() && images.is_flat() {
            tables = match table_files::tables_below(path) {
                Err(_) if !images.is_empty() => Vec::new(),
                found => found?,
            };
        }
        let looked: Result<Vec<_>> = tables.iter().map(|table| look(table, column)).collect();
        let mut looked = looked?;
        let any_holds = looked.contains(&Ok(true));
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

    /// For people: where a candidate is.
    fn source(&self, candidate: &ImageCandidate) -> String {
        match self {
            Listing::Folder(folder) => folder.source(candidate),
            Listing::Tables(tables) => tables.source_of(candidate),
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

    /// A sentence on each kind of images that are there more than once.
    ///
    /// - `is_image`: whether a candidate of that digest could be read
    pub fn copies(
        &self,
        candidates: &Candidates,
        vocabulary: &Vocabulary,
        is_image: impl Fn(&[u8; 32]) -> bool,
    ) -> Result<Vec<String>> {
        let images = candidates.all.iter();
        let images: Vec<&ImageCandidate> = images.filter(|one| is_image(&one.digest)).collect();
        remarks(
            images.len(),
            |index| Seen {
                digest: &images[index].digest,
                occurrence: images[index].occurrence,
                class: vocabulary.numbered(images[index]),
                split: candidates.split(images[index]),
            },
            |index| Ok(self.source(images[index])),
        )
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
