//! An immutable result in the store, with its manifest and the files that it names.

use std::io;
use std::path::PathBuf;

use fs_err as fs;
use rayon::prelude::*;

use crate::base::digest::Digest;
use crate::cache::manifest::{Manifest, PartRecord};

/// An immutable result in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Artifact {
    pub fingerprint: Digest,
    pub content: Digest,
    pub directory: PathBuf,
    pub manifest: Manifest,
}

impl Artifact {
    /// The files of an output in logical row order; empty for an output that doesn't exist.
    pub fn parts(&self, output: &str) -> Vec<PathBuf> {
        let Some(record) = self.manifest.outputs.get(output) else {
            return Vec::new();
        };
        let folder = self.directory.join(output);
        record
            .parts
            .iter()
            .map(|part| folder.join(&part.name))
            .collect()
    }

    /// Bytes of all files but the manifest.
    pub fn bytes(&self) -> u64 {
        self.manifest.bytes()
    }

    /// `(slot, part)` of every file.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &PartRecord)> {
        let outputs = self.manifest.outputs.iter();
        outputs
            .flat_map(|(slot, output)| output.parts.iter().map(move |part| (slot.as_str(), part)))
    }

    /// The first file that is not there, has another length, or is a link.
    pub(crate) fn first_fault(&self) -> Option<String> {
        for slot in self.manifest.outputs.keys() {
            if fs::symlink_metadata(self.directory.join(slot))
                .is_ok_and(|metadata| metadata.is_symlink())
            {
                return Some(format!("`{slot}`: expected a folder, got a link"));
            }
        }
        for (slot, part) in self.files() {
            let path = self.directory.join(slot).join(&part.name);
            // Of the entry itself: a link would lead out of the artifact.
            let found = match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_symlink() => "a link".to_owned(),
                Ok(metadata) if metadata.is_file() && metadata.len() == part.bytes => continue,
                Ok(metadata) => format!("{} bytes", metadata.len()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => "no such file".to_owned(),
                Err(error) => error.to_string(),
            };
            let file = format!("{slot}/{}", part.name);
            return Some(format!(
                "`{file}`: expected {} bytes, got {found}",
                part.bytes
            ));
        }
        None
    }

    /// Whether every file has the bytes that the manifest says.
    pub(crate) fn is_intact(&self) -> bool {
        let files: Vec<_> = self.files().collect();
        files.into_par_iter().all(|(slot, part)| {
            let path = self.directory.join(slot).join(&part.name);
            Digest::of_file(&path).is_ok_and(|found| found == part.blake3)
        })
    }
}
