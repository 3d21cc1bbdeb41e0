//! How many images of each split a source holds, told from names before anything is read: what a
//! plan reckons with until `ingest` has run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Ingest;
use super::listing::{Held, Listing};

/// Bytes of tables that are read for their columns: with more, the splits stay unknown.
const READ: u64 = 256 << 20;
/// Files that stand for a folder's others.
const SAMPLE: usize = 8;

/// Images of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceCounts {
    /// By split.
    pub splits: BTreeMap<String, u64>,
    /// Of a folder: some of the files, spread over it.
    pub sample: Vec<PathBuf>,
}

/// What `ingest` will make of a source; `None` where only reading tells it.
///
/// # Errors
/// When the source can't be looked at.
pub fn counts(ingest: &Ingest, path: &Path) -> Result<Option<SourceCounts>> {
    let held = Held::at(path, ingest.image_column.as_deref())?;
    let bytes: u64 = held.tables.iter().map(|table| length(table)).sum();
    let mut found = SourceCounts::default();
    match held.open(ingest, path)? {
        Listing::Folder(folder) => {
            for split in folder.splits_of_files() {
                *found.splits.entry(split).or_default() += 1;
            }
            found.sample = folder.spread(SAMPLE);
        }
        Listing::Tables(tables) if ingest.split_column.is_none() => {
            for (split, rows) in tables.rows_by_split() {
                *found.splits.entry(split.to_owned()).or_default() += rows as u64;
            }
        }
        Listing::Tables(_) if bytes > READ => return Ok(None),
        Listing::Tables(tables) => {
            let candidates = tables.candidates(&|_| Ok(()))?;
            for candidate in &candidates.all {
                let split = candidates.split(candidate).to_owned();
                *found.splits.entry(split).or_default() += 1;
            }
        }
    }
    let train = found.splits.get("train").copied().unwrap_or(0);
    for (split, share) in &ingest.hash_split {
        let moved = (train as f64 * share).round() as u64;
        *found.splits.entry(split.clone()).or_default() += moved;
        let left = found.splits.entry("train".to_owned()).or_default();
        *left = left.saturating_sub(moved);
    }
    for (split, count) in &ingest.take {
        if let Some(there) = found.splits.get_mut(split) {
            *there = (*there).min(*count as u64);
        }
    }
    Ok(Some(found))
}

/// Of a source that is a folder of images: some of the files, spread over it.
///
/// # Errors
/// When the source can't be looked at.
pub fn sample(ingest: &Ingest, path: &Path) -> Result<Vec<PathBuf>> {
    let held = Held::at(path, ingest.image_column.as_deref())?;
    Ok(match held.open(ingest, path)? {
        Listing::Folder(folder) => folder.spread(SAMPLE),
        Listing::Tables(_) => Vec::new(),
    })
}

fn length(file: &Path) -> u64 {
    fs_err::metadata(file).map_or(0, |metadata| metadata.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn counted(params: serde_json::Value, files: &[&str]) -> SourceCounts {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, "no image, and nobody looks").unwrap();
        }
        let ingest: Ingest = serde_json::from_value(params).unwrap();
        counts(&ingest, folder.path()).unwrap().unwrap()
    }

    #[test]
    fn names_params_and_shares_say_how_many_images_a_split_will_have() {
        let files = ["train/a/1.jpg", "train/a/2.jpg", "Testing/a/3.jpg"];
        let found = counted(json!({"source": ""}), &files);
        let expected = BTreeMap::from([("train".to_owned(), 2), ("test".to_owned(), 1)]);
        assert_eq!((found.splits, found.sample.len()), (expected, 3));

        let many: Vec<String> = (0..40).map(|number| format!("a/{number}.jpg")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let params = json!({"source": "", "hash_split": {"test": 0.25}, "take": {"train": 7}});
        let found = counted(params, &many);
        let expected = BTreeMap::from([("train".to_owned(), 7), ("test".to_owned(), 10)]);
        assert_eq!((found.splits, found.sample.len()), (expected, SAMPLE));
    }
}
