//! An image folder: `CLASS/*.jpg`, `SPLIT/CLASS/*.jpg`, or images without classes.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rayon::prelude::*;
use seedpipe_base::text;
use seedpipe_engine::walk;

use super::candidates::{Candidates, Class, ImageCandidate};
use super::listing::{Advance, ReadCandidate, Taker};
use super::splits::{self, Splits};
use crate::shared::image_folder::ImageFolder;

/// Bytes of files that are read together, unless one alone has more.
const TOGETHER: u64 = 256 << 20;

pub struct Folder {
    root: PathBuf,
    /// Image files below the root, by path.
    files: Vec<PathBuf>,
    /// Whether the first folders are splits, where that is told.
    pub splits: Option<Splits>,
}

impl Folder {
    /// A file alone.
    pub fn of_file(file: &Path) -> Result<Folder> {
        let name = file.file_name().context("BUG: a file without a name")?;
        Ok(Folder {
            root: file.parent().unwrap_or(Path::new("")).to_owned(),
            files: vec![name.into()],
            splits: None,
        })
    }

    /// The images of a folder.
    pub fn of(root: &Path, images: ImageFolder) -> Folder {
        Folder {
            root: root.to_owned(),
            files: images.into_files(),
            splits: None,
        }
    }

    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// For people: where a candidate is.
    pub fn source(&self, candidate: &ImageCandidate) -> String {
        text::of_name(self.files[candidate.place().0].as_os_str())
    }

    fn read(&self, file: &Path) -> Result<Result<Vec<u8>, &'static str>> {
        Ok(walk::read(&self.root.join(file))?)
    }

    pub fn candidates(&self, advance: Advance) -> Result<Candidates> {
        let digests: Vec<[u8; 32]> = self
            .files
            .par_iter()
            .map(|file| {
                let digest = walk::digest(&self.root.join(file))?;
                advance(1)?;
                Ok(digest.0)
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
            folders
                .into_iter()
                .map(text::of_name)
                .collect::<Vec<String>>()
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

    /// The split of each file, told from its name.
    pub fn splits_of_files(&self) -> impl Iterator<Item = String> {
        let (has_splits, _) = self.first_folders();
        self.files.iter().map(move |file| place(file, has_splits).0)
    }

    /// At most so many of the files, spread over all.
    pub fn spread(&self, count: usize) -> Vec<PathBuf> {
        let step = self.files.len().div_ceil(count.max(1)).max(1);
        let files = self.files.iter().step_by(step);
        files.map(|file| self.root.join(file)).collect()
    }

    /// How many of the next candidates are read together.
    fn together(&self, candidates: &[ImageCandidate], most: usize) -> usize {
        let mut bytes = 0;
        let fit = candidates.iter().take(most).take_while(|candidate| {
            bytes += walk::length(&self.root.join(&self.files[candidate.place().0]));
            bytes <= TOGETHER
        });
        fit.count().max(1)
    }

    pub fn chunks(&self, candidates: &[ImageCandidate], size: usize, take: Taker) -> Result<()> {
        let mut rest = candidates;
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(self.together(rest, size));
            rest = after;
            let read = chunk
                .par_iter()
                .map(|candidate| {
                    let file = &self.files[candidate.place().0];
                    Ok(ReadCandidate {
                        candidate,
                        source: self.source(candidate),
                        bytes: self.read(file)?,
                        file: Some((self.root.as_path(), file.clone())),
                    })
                })
                .collect::<Result<_>>()?;
            take(read)?;
        }
        Ok(())
    }
}

/// Split and class of an image by its path below the root.
fn place(file: &Path, first_is_split: bool) -> (String, Option<String>) {
    let folders = file.parent().into_iter().flat_map(Path::components);
    let mut folders = folders.map(|folder| text::of_name(folder.as_os_str()));
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
