//! The labelled images of a source outside a pipeline, read as `ingest` reads them, the columns of
//! tables found by their usual names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use seedpipe_artifact::{SourceColumns, guessed_columns};
use seedpipe_base::Refusal;
use seedpipe_imaging::Format;
use serde_json::json;

use super::Ingest;
use super::candidates::Candidates;
use super::listing::{Held, Listing, ReadCandidate};
use super::vocabulary::Vocabulary;

/// A source that is opened as `ingest` would with the usual columns.
pub struct Guessed {
    pub ingest: Ingest,
    pub columns: SourceColumns,
    pub listing: Listing,
    /// What people should know.
    pub remarks: Vec<String>,
}

/// - `label`: the column of labels, where it is named
pub fn open_guessed(path: &Path, label: Option<&str>) -> Result<Guessed> {
    let mut held = Held::at(path, None)?;
    let mut remarks = std::mem::take(&mut held.remarks);
    let mut columns = match held.tables.first() {
        Some(table) => guessed_columns(table)?,
        None => SourceColumns::default(),
    };
    if let Some(label) = label {
        columns.label = Some(label.to_owned());
    }
    let ingest: Ingest = serde_json::from_value(json!({
        "source": "", // the listing is opened by path
        "image_column": columns.image,
        "label_column": columns.label,
        "label_name_column": columns.label_name,
        "split_column": columns.split,
    }))
    .context("BUG: params of `ingest`")?;
    let listing = held.open(&ingest, path)?;
    if let (Listing::Tables(tables), None) = (&listing, &columns.label) {
        let unread = tables.unread_columns();
        if !unread.is_empty() {
            remarks.push(format!(
                "no column is known to hold labels among {unread}\nhint: name it by `label_column`"
            ));
        }
    }
    Ok(Guessed {
        ingest,
        columns,
        listing,
        remarks,
    })
}

/// Images with their classes.
pub struct LabelledSource {
    listing: Listing,
    candidates: Candidates,
    vocabulary: Vocabulary,
    /// Images without a label, which are left out.
    pub unlabelled: usize,
    /// What people should know.
    pub remarks: Vec<String>,
}

/// Number and name of a class.
pub type SourceClass = (i32, Option<String>);

pub struct LabelledImage {
    /// The file; of a table its row.
    pub name: PathBuf,
    /// Or what there is instead.
    pub bytes: Result<Vec<u8>, &'static str>,
    pub digest: [u8; 32],
    pub class: SourceClass,
}

impl LabelledSource {
    /// - `label`: a table's column of labels, where it is named
    /// - `split`: that split alone
    ///
    /// # Errors
    /// When the source can't be read or holds no labelled image.
    pub fn open(path: &Path, label: Option<&str>, split: Option<&str>) -> Result<Self> {
        let place = format!("`{}`", path.display());
        let guessed = open_guessed(path, label)?;
        let mut candidates = guessed.listing.candidates(&|_| Ok(()))?;
        if candidates.all.is_empty() {
            let got = format!("expected images ({}), got none", Format::KNOWN);
            bail!(
                Refusal::new(got)
                    .place(place)
                    .hint(guessed.listing.expectation())
            );
        }
        let mut remarks = guessed.remarks;
        remarks.extend(candidates.remarks.iter().cloned());
        let vocabulary = guessed.listing.vocabulary(&candidates);
        if let Some(split) = split {
            let splits = candidates
                .all
                .iter()
                .map(|one| candidates.split(one).to_owned());
            let splits: BTreeMap<String, ()> = splits.map(|split| (split, ())).collect();
            if !splits.contains_key(split) {
                let known: Vec<String> = splits.keys().map(|split| format!("`{split}`")).collect();
                let got = format!("expected one of {}, got `{split}`", known.join(", "));
                bail!(Refusal::new(got).place("--split"));
            }
            let all = std::mem::take(&mut candidates.all).into_iter();
            candidates.all = all.filter(|one| candidates.split(one) == split).collect();
        }
        let all = candidates.all.len();
        candidates
            .all
            .retain(|one| vocabulary.numbered(one).is_some());
        if candidates.all.is_empty() {
            let hint = match guessed.listing {
                Listing::Folder(_) => "put each class's images into a folder of its name",
                Listing::Tables(_) => "name the column of the labels by `--label-column`",
            };
            let got = format!("expected labelled images, got {all} without a label");
            bail!(Refusal::new(got).place(place).hint(hint));
        }
        Ok(Self {
            unlabelled: all - candidates.all.len(),
            listing: guessed.listing,
            candidates,
            vocabulary,
            remarks,
        })
    }

    /// The classes of the images.
    pub fn classes(&self) -> BTreeMap<SourceClass, usize> {
        let mut classes = BTreeMap::new();
        for candidate in &self.candidates.all {
            if let Some((number, name)) = self.vocabulary.numbered(candidate) {
                *classes
                    .entry((number, name.map(str::to_owned)))
                    .or_default() += 1;
            }
        }
        classes
    }

    /// Reads them in order, some at a time.
    pub fn chunks(
        &self,
        size: usize,
        take: &mut dyn FnMut(Vec<LabelledImage>) -> Result<()>,
    ) -> Result<()> {
        self.listing
            .chunks(&self.candidates.all, size, &mut |chunk: Vec<
                ReadCandidate,
            >| {
                let images = chunk.into_iter().filter_map(|read| {
                    let (number, name) = self.vocabulary.numbered(read.candidate)?;
                    Some(LabelledImage {
                        class: (number, name.map(str::to_owned)),
                        digest: read.candidate.digest,
                        name: match read.file {
                            Some((folder, file)) => folder.join(file),
                            None => read.source.into(),
                        },
                        bytes: read.bytes,
                    })
                });
                take(images.collect())
            })
    }
}
