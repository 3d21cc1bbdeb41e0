//! Which files a folder source had at a pipeline's last run, so that an explanation can name those that were added, removed or
//! changed since: `<cache>/v1/history/<pipeline>/<digest of the source's path>.tree`.
//!
//! The file begins with the folder's digest; a listing that doesn't read, or is of another digest, is none.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Result;
use fs_err as fs;
use serde::Serialize;

use crate::digest::Digest;
use crate::durable;
use crate::source::tree_digest;
use crate::stat_cache::Record;

/// A file of a folder source that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// The source, as written in the params.
    pub source: String,
    /// Inside the source.
    pub file: String,
    pub how: FileChanged,
}

/// How a file differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FileChanged {
    Added,
    Removed,
    Changed,
}

impl FileChanged {
    pub fn as_str(self) -> &'static str {
        match self {
            FileChanged::Added => "added",
            FileChanged::Removed => "removed",
            FileChanged::Changed => "changed",
        }
    }
}

/// Files of a folder, sorted by path, with their digests.
type Listing = Vec<(Vec<u8>, Digest)>;

/// Where the listing of a source lies in a pipeline's history folder.
fn path_in(folder: &Path, source: &str) -> PathBuf {
    folder.join(format!("{}.tree", Digest::of(source.as_bytes()).prefix(16)))
}

/// Whether the listing of that digest is kept already; reads its first bytes only.
pub(crate) fn is_kept(folder: &Path, source: &str, digest: Digest) -> bool {
    let mut kept = [0; 32];
    let read =
        fs::File::open(path_in(folder, source)).and_then(|mut file| file.read_exact(&mut kept));
    read.is_ok() && kept == digest.0
}

/// Keeps a listing in the place of an earlier one.
pub(crate) fn keep(folder: &Path, source: &str, digest: Digest, records: &[Record]) -> Result<()> {
    let mut bytes = digest.0.to_vec();
    for record in records {
        bytes.extend((record.path.len() as u32).to_le_bytes());
        bytes.extend(&record.path);
        bytes.extend(record.digest.0);
    }
    Ok(durable::write(&path_in(folder, source), &bytes)?)
}

/// The listing of a source when it had that digest.
pub(crate) fn read(folder: &Path, source: &str, digest: Digest) -> Option<Listing> {
    let bytes = fs::read(path_in(folder, source)).ok()?;
    let mut rest = bytes.strip_prefix(&digest.0)?;
    let mut listing = Listing::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (path, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let (file, after) = after.split_first_chunk::<32>()?;
        listing.push((path.to_vec(), Digest(*file)));
        rest = after;
    }
    let files = listing.iter().map(|(path, file)| (path.as_slice(), file));
    (tree_digest(files) == digest).then_some(listing)
}

/// What differs, sorted by file.
pub(crate) fn changes(source: &str, old: &Listing, new: &[Record]) -> Vec<FileChange> {
    let mut changes = Vec::new();
    let mut tell = |path: &[u8], how| {
        changes.push(FileChange {
            source: source.to_owned(),
            file: String::from_utf8_lossy(path).into_owned(),
            how,
        });
    };
    let mut old = old.iter().peekable();
    for record in new {
        while let Some((gone, _)) = old.next_if(|(path, _)| *path < record.path) {
            tell(gone, FileChanged::Removed);
        }
        match old.next_if(|(path, _)| *path == record.path) {
            None => tell(&record.path, FileChanged::Added),
            Some((_, digest)) if *digest != record.digest => {
                tell(&record.path, FileChanged::Changed);
            }
            Some(_) => {}
        }
    }
    for (gone, _) in old {
        tell(gone, FileChanged::Removed);
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat_cache::FileStat;

    fn record(path: &str, content: &str) -> Record {
        let stat = FileStat {
            size: 1,
            modified: 0,
            changed: 0,
            inode: 1,
        };
        Record {
            path: path.into(),
            stat,
            digest: Digest::of(content.as_bytes()),
            trusted: true,
        }
    }

    fn digest_of(records: &[Record]) -> Digest {
        tree_digest(
            records
                .iter()
                .map(|record| (record.path.as_slice(), &record.digest)),
        )
    }

    #[test]
    fn added_removed_and_changed_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let old = [
            record("a", "1"),
            record("b/c", "2"),
            record("d", "3"),
            record("z", "4"),
        ];
        assert!(!is_kept(folder.path(), "photos", digest_of(&old)));
        keep(folder.path(), "photos", digest_of(&old), &old).unwrap();
        assert!(is_kept(folder.path(), "photos", digest_of(&old)));
        let listing = read(folder.path(), "photos", digest_of(&old)).unwrap();
        let new = [record("a", "1"), record("b/c", "5"), record("c", "6")];
        let told: Vec<String> = changes("photos", &listing, &new)
            .iter()
            .map(|change| format!("{} {}", change.file, change.how.as_str()))
            .collect();
        assert_eq!(told, ["b/c changed", "c added", "d removed", "z removed"]);
        assert_eq!(changes("photos", &listing, &old), []);
    }

    #[test]
    fn a_listing_of_another_digest_or_a_damaged_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let old = [record("a", "1"), record("b", "2")];
        let digest = digest_of(&old);
        keep(folder.path(), "photos", digest, &old).unwrap();
        assert!(read(folder.path(), "photos", Digest::of(b"other")).is_none());
        assert!(read(folder.path(), "pictures", digest).is_none());
        let path = path_in(folder.path(), "photos");
        let bytes = fs::read(&path).unwrap();
        for length in 0..bytes.len() {
            fs::write(&path, &bytes[..length]).unwrap();
            assert!(read(folder.path(), "photos", digest).is_none(), "{length}");
        }
    }
}
