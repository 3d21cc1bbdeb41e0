//! An image folder: `CLASS/*.jpg`, `SPLIT/CLASS/*.jpg`, or images without classes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rayon::prelude::*;
use seedpipe_engine::walk;

use super::candidates::{Candidates, Class, ImageCandidate};
use super::listing::{Advance, ReadCandidate, Taker};
use crate::shared::image_folder::{ImageFolder, is_linked};

/// First folders that name a split, and the split.
const SPLITS: &[(&str, &str)] = &[
    ("train", "train"),
    ("training", "train"),
    ("test", "test"),
    ("testing", "test"),
    ("val", "val"),
    ("valid", "val"),
    ("validation", "val"),
];

pub struct Folder {
    root: PathBuf,
    /// Image files below the root, by path.
    files: Vec<PathBuf>,
}

impl Folder {
    /// A file alone.
    pub fn of_file(file: &Path) -> Result<Folder> {
        let name = file.file_name().context("BUG: a file without a name")?;
        Ok(Folder {
            root: file.parent().unwrap_or(Path::new("")).to_owned(),
            files: vec![name.into()],
        })
    }

    /// The images of a folder.
    pub fn of(root: &Path, images: ImageFolder) -> Folder {
        Folder {
            root: root.to_owned(),
            files: images.into_files(),
        }
    }

    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// For people: where a candidate is.
    pub fn source(&self, candidate: &ImageCandidate) -> String {
        let file = &self.files[candidate.place().0];
        file.to_string_lossy().into_owned()
    }

    /// Whether only a link leads to it.
    pub fn is_linked(&self, candidate: &ImageCandidate) -> bool {
        is_linked(&self.root, &self.files[candidate.place().0])
    }

    fn read(&self, file: &Path) -> Result<Result<Vec<u8>, &'static str>> {
        Ok(walk::read(&self.root.join(file))?)
    }

    pub fn candidates(&self, advance: Advance) -> Result<Candidates> {
        let digests: Vec<[u8; 32]> = self
            .files
            .par_iter()
            .map(|file| {
                let bytes = self.read(file)?;
                advance(1)?;
                Ok(walk::digest_of(&bytes).0)
            })
            .collect::<Result<_>>()?;
        let mut candidates = Candidates::default();
        candidates.all.reserve_exact(digests.len());
        for ((index, file), digest) in self.files.iter().enumerate().zip(digests) {
            let (split, name) = place(file);
            let class = Class {
                label: name.clone(),
                named: true,
                label_name: name,
            };
            candidates.push((index, 0), digest, &class, &split)?;
        }
        Ok(candidates)
    }

    pub fn chunks(&self, candidates: &[ImageCandidate], size: usize, take: Taker) -> Result<()> {
        for chunk in candidates.chunks(size) {
            let read = chunk
                .par_iter()
                .map(|candidate| {
                    Ok(ReadCandidate {
                        candidate,
                        source: self.source(candidate),
                        bytes: self.read(&self.files[candidate.place().0])?,
                    })
                })
                .collect::<Result<_>>()?;
            take(read)?;
        }
        Ok(())
    }
}

/// Split and class of an image by its path below the root.
fn place(file: &Path) -> (String, Option<String>) {
    let mut folders: Vec<String> = file
        .parent()
        .into_iter()
        .flat_map(Path::components)
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    let split = folders.first().and_then(|first| {
        SPLITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(first))
    });
    if split.is_some() {
        folders.remove(0);
    }
    (
        split.map_or("train", |(_, split)| split).to_owned(),
        folders.into_iter().next(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(path: &str) -> (String, Option<String>) {
        place(Path::new(path))
    }

    #[test]
    fn folders_give_split_and_class() {
        assert_eq!(
            placed("train/Apple/a.jpg"),
            ("train".into(), Some("Apple".into()))
        );
        assert_eq!(
            placed("Validation/Apple/deep/a.jpg"),
            ("val".into(), Some("Apple".into()))
        );
        assert_eq!(
            placed("Apple/a.jpg"),
            ("train".into(), Some("Apple".into()))
        );
        assert_eq!(placed("test/a.jpg"), ("test".into(), None));
        assert_eq!(placed("a.jpg"), ("train".into(), None));
    }
}
