//! An image folder: `CLASS/*.jpg`, `SPLIT/CLASS/*.jpg`, or images without classes.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rayon::prelude::*;
use seedpipe_imaging::Format;

use super::candidates::{Candidates, Class, ImageCandidate};
use super::listing::{Advance, ReadCandidate, Taker};
use super::names::text_of;
use super::splits::{self, Splits};

pub struct Folder {
    root: PathBuf,
    /// Image files below the root, sorted.
    files: Vec<PathBuf>,
    /// Whether the first folders are splits, where that is told.
    pub splits: Option<Splits>,
}

impl Folder {
    pub fn open(root: &Path) -> Result<Folder> {
        let mut files = Vec::new();
        if root.is_file() {
            let name = root.file_name().context("BUG: a file without a name")?;
            return Ok(Folder {
                root: root.parent().unwrap_or(Path::new(".")).to_owned(),
                files: vec![name.into()],
                splits: None,
            });
        }
        walk(root, root, &mut files)?;
        files.sort();
        Ok(Folder {
            root: root.to_owned(),
            files,
            splits: None,
        })
    }

    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether no image lies in a folder of its own.
    pub fn is_flat(&self) -> bool {
        let mut folders = self.files.iter().filter_map(|file| file.parent());
        folders.all(|folder| folder == Path::new(""))
    }

    pub fn candidates(&self, advance: Advance) -> Result<Candidates> {
        let digests: Vec<[u8; 32]> = self
            .files
            .par_iter()
            .map(|file| {
                let bytes = fs_err::read(self.root.join(file))?;
                advance(1)?;
                Ok(*blake3::hash(&bytes).as_bytes())
            })
            .collect::<Result<_>>()?;
        let (has_splits, remarks) = self.first_folders();
        let mut candidates = Candidates::default();
        candidates.remarks = remarks;
        candidates.all.reserve_exact(digests.len());
        for ((index, file), digest) in self.files.iter().enumerate().zip(digests) {
            let (split, name) = place(file, has_splits);
            let class = Class {
                label: name.map(|name| candidates.named(&name)),
                name: None,
            };
            candidates.push((index, 0), digest, &class, &split)?;
        }
        Ok(candidates)
    }

    /// Whether the first folders are splits, and what people should know of that.
    fn first_folders(&self) -> (bool, Vec<String>) {
        let at = |depth| {
            let folders = self.files.iter().filter_map(|file| {
                let folder = file.parent()?.components().nth(depth)?;
                Some(folder.as_os_str())
            });
            let folders: BTreeSet<&OsStr> = folders.collect();
            folders.into_iter().map(text_of).collect::<Vec<String>>()
        };
        let first = at(0);
        let (are_splits, remark) =
            splits::are_folders_splits(first.iter().map(String::as_str), self.splits);
        let mut remarks = Vec::from_iter(remark);
        if !are_splits && self.splits.is_none() {
            let words: Vec<String> = at(1)
                .iter()
                .filter(|name| splits::meaning(name).is_some())
                .map(|name| format!("`{name}`"))
                .collect();
            if !words.is_empty() {
                remarks.push(format!(
                    "folders called {} below the classes' folders say no splits\nhint: put them first, as `train/CLASS/*.jpg`, or point `source` at the folder that holds them",
                    words.join(", ")
                ));
            }
        }
        (are_splits, remarks)
    }

    pub fn chunks(&self, candidates: &[ImageCandidate], size: usize, take: Taker) -> Result<()> {
        for chunk in candidates.chunks(size) {
            let read = chunk
                .par_iter()
                .map(|candidate| {
                    let file = &self.files[candidate.place().0];
                    Ok(ReadCandidate {
                        candidate,
                        source: text_of(file.as_os_str()),
                        bytes: Ok(fs_err::read(self.root.join(file))?),
                    })
                })
                .collect::<Result<_>>()?;
            take(read)?;
        }
        Ok(())
    }
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        if path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'))
        {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, files)?;
        } else if Format::is_ending_of(&path) {
            files.push(
                path.strip_prefix(root)
                    .context("BUG: a path outside its root")?
                    .to_owned(),
            );
        }
    }
    Ok(())
}

/// Split and class of an image by its path below the root.
fn place(file: &Path, first_is_split: bool) -> (String, Option<String>) {
    let folders = file.parent().into_iter().flat_map(Path::components);
    let mut folders = folders.map(|folder| text_of(folder.as_os_str()));
    let split = if first_is_split { folders.next() } else { None };
    (
        split.map_or("train".to_owned(), |split| splits::named(&split).to_owned()),
        folders.next(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(path: &str, first_is_split: bool) -> (String, Option<String>) {
        place(Path::new(path), first_is_split)
    }

    #[test]
    fn folders_give_split_and_class() {
        for (path, first_is_split, split, class) in [
            ("train/Apple/a.jpg", true, "train", Some("Apple")),
            ("Validation/Apple/deep/a.jpg", true, "val", Some("Apple")),
            ("unlabeled/a.jpg", true, "unlabeled", None),
            ("test/a.jpg", true, "test", None),
            ("a.jpg", true, "train", None),
            ("train/train/a.jpg", true, "train", Some("train")),
            ("Apple/a.jpg", false, "train", Some("Apple")),
            ("train/deep/a.jpg", false, "train", Some("train")),
            ("a.jpg", false, "train", None),
        ] {
            let expected = (split.to_owned(), class.map(str::to_owned));
            assert_eq!(placed(path, first_is_split), expected, "{path}");
        }
    }
}
