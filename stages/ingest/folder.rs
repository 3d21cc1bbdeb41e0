//! An image folder: `CLASS/*.jpg`, `SPLIT/CLASS/*.jpg`, or images without classes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rayon::prelude::*;
use seedpipe_imaging::Format;

use super::candidates::{Candidates, Class, ImageCandidate};
use super::listing::{Advance, ReadCandidate, Taker};

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
    /// Image files below the root, sorted.
    files: Vec<PathBuf>,
}

impl Folder {
    pub fn open(root: &Path) -> Result<Folder> {
        let mut files = Vec::new();
        if root.is_file() {
            let name = root.file_name().context("BUG: a file without a name")?;
            return Ok(Folder {
                root: root.parent().unwrap_or(Path::new(".")).to_owned(),
                files: vec![name.into()],
            });
        }
        walk(root, root, &mut files)?;
        files.sort();
        Ok(Folder {
            root: root.to_owned(),
            files,
        })
    }

    pub fn len(&self) -> usize {
        self.files.len()
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
                    let file = &self.files[candidate.place().0];
                    Ok(ReadCandidate {
                        candidate,
                        source: file.to_string_lossy().into_owned(),
                        bytes: fs_err::read(self.root.join(file))?,
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
