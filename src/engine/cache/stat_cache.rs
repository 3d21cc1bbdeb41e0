//! Which source files were hashed before: `<cache>/v1/stat/<digest of the root's path>.bin`, one
//! file a source root.
//!
//! A record holds for a file whose size, modification time, change time and inode are what they
//! were. Times have the clock's grain, so a file that changed within 2 seconds before it was hashed
//! might change again unseen: its record is not trusted. A cache file that doesn't read is no
//! cache.

use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use fs_err as fs;

use crate::base::digest::Digest;
use crate::base::{durable, untrusted};

const MAGIC: &[u8] = b"seedpipe stat cache 1\n";
/// How long before its hashing a file must have been at rest.
const SETTLED_NANOSECONDS: i128 = 2_000_000_000;

/// What `stat` says of a file; times in nanoseconds since 1970.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileStat {
    pub size: u64,
    pub modified: i128,
    pub changed: i128,
    pub inode: u64,
}

impl FileStat {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        let nanoseconds =
            |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        FileStat {
            size: metadata.size(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }

    /// Whether the file had been at rest for 2 seconds at `moment`. A time in the future is not at
    /// rest.
    pub(crate) fn is_settled(&self, moment: i128) -> bool {
        self.modified.max(self.changed) + SETTLED_NANOSECONDS <= moment
    }
}

/// A hashed file: path inside the root, `stat`, digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub path: Vec<u8>,
    pub stat: FileStat,
    pub digest: Digest,
    pub trusted: bool,
}

/// Where records are kept.
#[derive(Debug, Clone)]
pub(crate) struct StatCache {
    folder: PathBuf,
    required: bool,
}

impl StatCache {
    /// Records must be written: for runs.
    pub(crate) fn required(folder: &Path) -> Self {
        StatCache {
            folder: folder.to_owned(),
            required: true,
        }
    }

    /// Records are written when the cache is there and lets them: for commands that only look.
    pub(crate) fn optional(folder: &Path) -> Self {
        StatCache {
            folder: folder.to_owned(),
            required: false,
        }
    }

    /// The records of a root, sorted by path.
    pub fn load(&self, root: &Path) -> Vec<Record> {
        self.path(root).map_or_else(Vec::new, |path| read(&path))
    }

    /// Keeps `records`, unless they are what is `known` already.
    pub fn store(&self, root: &Path, known: &[Record], records: &[Record]) -> Result<()> {
        let Some(path) = self.path(root) else {
            return Ok(());
        };
        if known == records {
            return Ok(());
        }
        let folder = durable::folder_of(&path);
        if !self.required && !durable::folder_of(folder).exists() {
            return Ok(()); // looking at a pipeline that never ran makes no cache
        }
        let written =
            fs::create_dir_all(folder).and_then(|()| durable::write(&path, &encode(records)));
        match written {
            Err(error) if self.required => Err(error.into()),
            // Who only looks may not be allowed to write: the files are hashed again next time.
            _ => Ok(()),
        }
    }

    fn path(&self, root: &Path) -> Option<PathBuf> {
        let absolute = std::path::absolute(root).ok()?;
        let name = Digest::of(absolute.as_os_str().as_bytes()).prefix(32);
        Some(self.folder.join(format!("{name}.bin")))
    }
}

/// The records of a file; none when it doesn't read.
pub(crate) fn read(path: &Path) -> Vec<Record> {
    let bytes = untrusted::read_listing(path, MAGIC).ok();
    bytes.and_then(|bytes| decode(&bytes)).unwrap_or_default()
}

pub(crate) fn encode(records: &[Record]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for record in records {
        bytes.extend((record.path.len() as u32).to_le_bytes());
        bytes.extend(&record.path);
        bytes.extend(record.stat.size.to_le_bytes());
        bytes.extend(record.stat.modified.to_le_bytes());
        bytes.extend(record.stat.changed.to_le_bytes());
        bytes.extend(record.stat.inode.to_le_bytes());
        bytes.extend(record.digest.0);
        bytes.push(u8::from(record.trusted));
    }
    let checksum = blake3::hash(&bytes);
    bytes.extend(checksum.as_bytes());
    bytes
}

pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<Record>> {
    let (body, checksum) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    if blake3::hash(body).as_bytes() != checksum {
        return None;
    }
    let mut rest = body.strip_prefix(MAGIC)?;
    let mut records = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_le_bytes(take(&mut rest)?) as usize;
        let (path, after) = rest.split_at_checked(length)?;
        rest = after;
        records.push(Record {
            path: path.to_vec(),
            stat: FileStat {
                size: u64::from_le_bytes(take(&mut rest)?),
                modified: i128::from_le_bytes(take(&mut rest)?),
                changed: i128::from_le_bytes(take(&mut rest)?),
                inode: u64::from_le_bytes(take(&mut rest)?),
            },
            digest: Digest(take(&mut rest)?),
            trusted: take::<1>(&mut rest)? == [1],
        });
    }
    Some(records)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(path: &str) -> Record {
        let stat = FileStat {
            size: 1,
            modified: -5,
            changed: i128::from(i64::MAX),
            inode: 9,
        };
        Record {
            path: path.into(),
            stat,
            digest: Digest::of(b"x"),
            trusted: true,
        }
    }

    #[test]
    fn records_read_back_and_damaged_ones_are_none() {
        let records = vec![record("a"), record("b/c")];
        let bytes = encode(&records);
        assert_eq!(decode(&bytes), Some(records));
        for position in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[position] ^= 1;
            assert_eq!(decode(&damaged), None);
            assert_eq!(decode(&bytes[..position]), None);
        }
    }

    #[test]
    fn a_file_of_the_last_two_seconds_or_of_the_future_is_not_settled() {
        let stat = FileStat {
            size: 0,
            modified: 10_000_000_000,
            changed: 11_000_000_000,
            inode: 0,
        };
        assert!(!stat.is_settled(12_999_999_999));
        assert!(stat.is_settled(13_000_000_000));
        assert!(!stat.is_settled(0));
    }

    #[test]
    fn looking_at_a_pipeline_that_never_ran_makes_no_cache() {
        let folder = tempfile::tempdir().unwrap();
        let cache = StatCache::optional(&folder.path().join("v1/stat"));
        cache.store(folder.path(), &[], &[record("a")]).unwrap();
        assert!(!folder.path().join("v1").exists());
        let cache = StatCache::required(&folder.path().join("v1/stat"));
        cache.store(folder.path(), &[], &[record("a")]).unwrap();
        assert_eq!(cache.load(folder.path()), [record("a")]);
    }
}
