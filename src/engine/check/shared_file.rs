//! Bytes of files that have several names: they are kept once, and go with the last name.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fs_err as fs;

use crate::check::verify::files_below;

/// A file that has other names beside the one that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SharedFile {
    device_and_number: (u64, u64),
    bytes: u64,
    names: u64,
}

/// Bytes of the files below a folder that have no other name, and the files that have.
pub(crate) fn measured(folder: &Path) -> io::Result<(u64, Vec<SharedFile>)> {
    let (mut own, mut shared) = (0, Vec::new());
    for file in files_below(folder)? {
        // Gone, when a live run clears up beside.
        let Ok(found) = fs::symlink_metadata(file) else {
            continue;
        };
        if found.nlink() < 2 {
            own += found.len();
            continue;
        }
        shared.push(SharedFile {
            device_and_number: (found.dev(), found.ino()),
            bytes: found.len(),
            names: found.nlink(),
        });
    }
    Ok((own, shared))
}

/// How many names of each file were met.
#[derive(Debug, Clone, Default)]
pub(crate) struct Met(HashMap<(u64, u64), u64>);

impl Met {
    /// Bytes of those files that had not been met.
    pub fn first(&mut self, files: &[SharedFile]) -> u64 {
        self.bytes(files, |met, _| met == 1)
    }

    /// Bytes of those files that have no name left which was not met.
    pub fn last(&mut self, files: &[SharedFile]) -> u64 {
        self.bytes(files, |met, names| met == names)
    }

    fn bytes(&mut self, files: &[SharedFile], counts: impl Fn(u64, u64) -> bool) -> u64 {
        let files = files.iter().filter(|file| {
            let met = self.0.entry(file.device_and_number).or_default();
            *met += 1;
            counts(*met, file.names)
        });
        files.map(|file| file.bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_two_names_counts_once_and_goes_with_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["a", "b"] {
            fs::create_dir(path(name)).unwrap();
            fs::write(path(name).join("own"), [0; 3]).unwrap();
        }
        fs::write(path("a/bytes"), [0; 10]).unwrap();
        fs::hard_link(path("a/bytes"), path("b/bytes")).unwrap();
        let [a, b] = ["a", "b"].map(|name| measured(&path(name)).unwrap());
        assert_eq!((a.0, b.0), (3, 3));
        let mut met = Met::default();
        assert_eq!((met.first(&a.1), met.first(&b.1)), (10, 0));
        let mut met = Met::default();
        assert_eq!((met.last(&b.1), met.last(&a.1)), (0, 10));
    }
}
