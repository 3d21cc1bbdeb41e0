//! What a source of images holds, before there is a pipeline: looked at as `ingest` will.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use anyhow::{Result, bail};
use rayon::prelude::*;
use seedpipe_artifact::SourceColumns;
use seedpipe_base::Refusal;
use seedpipe_engine::Aside;
use seedpipe_imaging::{Format, Limits, check, inspect};

use super::CHUNK;
use super::labelled::{Guessed, open_guessed};
use super::listing::ReadCandidate;

/// Of more images only the headers are read: decoding all of them takes as long as `ingest` itself.
const DECODED: usize = 20_000;

/// What is in a folder of images or in Parquet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Images that can be read.
    pub images: usize,
    /// By format's name.
    pub formats: BTreeMap<&'static str, usize>,
    /// Readable images by split.
    pub splits: BTreeMap<String, usize>,
    /// Readable images with a label, by split.
    pub labelled: BTreeMap<String, usize>,
    /// Distinct labels.
    pub classes: usize,
    /// Pixels of the shorter sides: smallest, median, largest.
    pub shorter_side: [u32; 3],
    /// Parquet's columns beside the images, found by their usual names.
    pub columns: SourceColumns,
    /// What can't be read: source and reason.
    pub broken: Vec<(String, String)>,
    /// What people should know: of classes and splits, what was passed over, and which images are
    /// there more than once.
    pub remarks: Vec<String>,
}

/// Looks at every image.
///
/// # Errors
/// When the source can't be read or holds no image.
pub fn survey(path: &Path) -> Result<Survey> {
    let Guessed {
        ingest,
        columns,
        listing,
        mut remarks,
    } = open_guessed(path, None)?;
    let hashing = Aside::begin("hashing", "images", listing.len() as u64);
    let mut candidates = listing.candidates(&|count| {
        hashing.advance(count);
        Ok(())
    })?;
    drop(hashing);
    candidates.number_occurrences();
    let vocabulary = listing.vocabulary(&candidates);
    remarks.extend(candidates.remarks.iter().cloned());
    let decodes = candidates.all.len() <= DECODED;
    let limits = Limits {
        pixels: ingest.max_pixels,
    };
    let mut found = Survey {
        columns,
        remarks,
        ..Survey::default()
    };
    let (mut sides, mut labels) = (Vec::new(), BTreeSet::new());
    let mut bad = HashSet::new();
    let aside = Aside::begin("looking", "images", candidates.all.len() as u64);
    listing.chunks(&candidates.all, CHUNK, &mut |chunk: Vec<ReadCandidate>| {
        aside.advance(chunk.len() as u64);
        let looked: Vec<_> = chunk
            .into_par_iter()
            .map(|image| {
                let seen = image.header(|bytes| match decodes {
                    true => check(bytes, &limits),
                    false => inspect(bytes, &limits),
                });
                (image.candidate, image.source, seen)
            })
            .collect();
        for (candidate, source, image) in looked {
            match image {
                Ok(header) => {
                    found.images += 1;
                    sides.push(header.width.min(header.height));
                    *found.formats.entry(header.format.name()).or_default() += 1;
                    *found
                        .splits
                        .entry(candidates.split(candidate).to_owned())
                        .or_default() += 1;
                    if let (Some(label), _) = vocabulary.class(candidate) {
                        let split = candidates.split(candidate).to_owned();
                        *found.labelled.entry(split).or_default() += 1;
                        labels.insert(*label);
                    }
                }
                Err(reason) => {
                    found.broken.push((source, reason));
                    bad.insert(candidate.digest);
                }
            }
        }
        Ok(())
    })?;
    drop(aside);
    if found.images == 0 {
        let broken = found.broken.first();
        let broken = broken.map(|(source, reason)| format!("`{source}`: {reason}"));
        let reason = broken.or_else(|| found.remarks.first().cloned());
        let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
        bail!(
            Refusal::failure(format!(
                "`{}`: expected images ({}), got none{reason}",
                path.display(),
                Format::KNOWN
            ))
            .hint(listing.expectation())
        );
    }
    let copies = listing.copies(&candidates, &vocabulary, |digest| !bad.contains(digest))?;
    found.remarks.extend(copies);
    sides.sort_unstable();
    found.shorter_side = [sides[0], sides[sides.len() / 2], sides[sides.len() - 1]];
    found.classes = labels.len();
    Ok(found)
}
