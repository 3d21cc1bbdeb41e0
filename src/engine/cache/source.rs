//! Outside files: the digest of a file or a whole folder, by relative paths and contents alone.
//!
//! Owns the tree digest; which files a folder has is `walk`'s, which of them were hashed before
//! `stat_cache`'s. Times, owners and modes don't matter, and neither does where the folder lies.
//!
//! A pipeline's last run leaves a listing of each folder, so that an explanation can name the files
//! that were added, removed or changed since: `<cache>/v1/history/<pipeline>/<digest of the
//! source's path>.tree`. It begins with the folder's digest; a listing that doesn't read, or is of
//! another digest, is none.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow, bail};
use fs_err as fs;
use rayon::prelude::*;
use seedpipe_base::Refusal;
use serde::Serialize;

use crate::base::aside::Aside;
use crate::base::digest::Digest;
use crate::base::{durable, untrusted};
use crate::cache::stat_cache::{FileStat, Record, StatCache};
use crate::cache::walk::{WalkedFile, digest_of_fault, readable, special, walk};

/// What is hashed in a moment is not told of.
const MANY_FILES: u64 = 1_000;
const MANY_BYTES: u64 = 64 << 20;

/// Whether a file of that name, in a source that is a folder, is a part of the source.
pub(crate) type Counts = fn(&Path) -> bool;

/// The content digest of a file or folder. Unchanged files are not read again when `cache` knows
/// them.
pub(crate) fn digest(root: &Path, counts: Counts, cache: &StatCache) -> Result<Digest> {
    let listed = list(root, counts)?;
    let is_folder = fs::metadata(root)?.is_dir();
    let known = cache.load(root);
    let records = hash(root, &listed, &known)?;
    cache.store(root, &known, &records)?;
    if !is_folder {
        return Ok(records[0].digest);
    }
    let files = records
        .iter()
        .map(|record| (record.path.as_slice(), &record.digest));
    Ok(tree_digest(files))
}

/// The digest of a folder with these files, which are sorted by path.
pub(crate) fn tree_digest<'a>(files: impl Iterator<Item = (&'a [u8], &'a Digest)>) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key("seedpipe digest of a folder, version 1");
    for (path, digest) in files {
        hasher.update(&(path.len() as u64).to_le_bytes());
        hasher.update(path);
        hasher.update(&digest.0);
    }
    Digest(*hasher.finalize().as_bytes())
}

/// The files of a folder, sorted by path; `root` itself, with an empty path, when it is a file.
fn list(root: &Path, counts: Counts) -> Result<Vec<WalkedFile>> {
    let metadata = fs::metadata(root).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => anyhow!("expected a file or folder, got nothing there"),
        _ => anyhow!(error),
    })?;
    if metadata.is_dir() {
        let mut files = walk(root, &counts)?.files;
        files.par_sort_unstable_by(|left, right| bytes_of(left).cmp(bytes_of(right)));
        return Ok(files);
    }
    match special(metadata.file_type()) {
        Some(kind) => bail!("expected a file or folder, got {kind}"),
        None => Ok(vec![WalkedFile {
            path: PathBuf::new(),
            stat: FileStat::of(&metadata),
            fault: None,
        }]),
    }
}

fn bytes_of(file: &WalkedFile) -> &[u8] {
    file.path.as_os_str().as_bytes()
}

/// A record for every listed file, in order: the known one where nothing changed, else a fresh one.
fn hash(root: &Path, listed: &[WalkedFile], known: &[Record]) -> Result<Vec<Record>> {
    let mut known = known.iter().peekable();
    let matched: Vec<(&WalkedFile, Option<&Record>)> = listed
        .iter()
        .map(|file| {
            let path = bytes_of(file);
            while known.next_if(|record| *record.path < *path).is_some() {}
            let same = known.next_if(|record| record.path == path);
            (
                file,
                same.filter(|record| record.trusted && record.stat == file.stat),
            )
        })
        .collect();
    let unknown = matched.iter().filter(|(_, same)| same.is_none());
    let (files, bytes) = unknown.fold((0, 0), |(files, bytes), (file, _)| {
        (files + 1, bytes + file.stat.size)
    });
    let is_long = files >= MANY_FILES || bytes >= MANY_BYTES;
    let aside = is_long.then(|| Aside::begin("hashing sources", "bytes", bytes));
    let hashed = matched.into_par_iter().map(|(file, same)| match same {
        Some(record) => Ok(record.clone()),
        None => {
            let record = hash_file(root, file);
            if let Some(aside) = &aside {
                aside.advance(file.stat.size);
            }
            record
        }
    });
    hashed.collect()
}

fn hash_file(root: &Path, file: &WalkedFile) -> Result<Record> {
    let is_inside = !file.path.as_os_str().is_empty();
    let path = match is_inside {
        true => root.join(&file.path),
        false => root.to_owned(),
    };
    let start = now();
    let hashed = match file.fault {
        Some(fault) => Err(fault),
        // A file of a folder is one of many; a source of its own must be read.
        None if is_inside => readable(&path, Digest::of_file)?,
        None => Ok(Digest::of_file(&path)?),
    };
    if hashed.is_ok() && FileStat::of(&fs::metadata(&path)?) != file.stat {
        let message = format!(
            "`{}`: expected a file at rest, got one that changes while it is read",
            path.display()
        );
        bail!(Refusal::failure(message).hint("run again when nobody writes to it"));
    }
    Ok(Record {
        path: bytes_of(file).to_owned(),
        stat: file.stat,
        // Whether it may be read is not in its times.
        trusted: hashed.is_ok() && file.stat.is_settled(start),
        digest: hashed.unwrap_or_else(digest_of_fault),
    })
}

/// Nanoseconds since 1970.
pub(crate) fn now() -> i128 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    }
}

/// Sources as they are at one moment: each is looked at once, however many stages name it.
#[derive(Debug)]
pub(crate) struct Snapshot {
    cache: StatCache,
    /// By path, and by what counts there.
    known: RefCell<BTreeMap<(PathBuf, usize), Digest>>,
}

impl Snapshot {
    pub fn new(cache: StatCache) -> Self {
        Snapshot {
            cache,
            known: RefCell::new(BTreeMap::new()),
        }
    }

    /// The content digest of a file or folder at this snapshot's moment.
    pub fn digest(&self, root: &Path, counts: Counts) -> Result<Digest> {
        let key = (root.to_owned(), counts as usize);
        if let Some(known) = self.known.borrow().get(&key) {
            return Ok(*known);
        }
        let digest = digest(root, counts, &self.cache)?;
        self.known.borrow_mut().insert(key, digest);
        Ok(digest)
    }
}

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
type SourceListing = Vec<(Vec<u8>, Digest)>;

/// Where the listing of a source lies in a pipeline's history folder.
fn path_in(folder: &Path, source: &str) -> PathBuf {
    folder.join(format!("{}.tree", Digest::of(source.as_bytes()).prefix(16)))
}

/// Whether the listing of that digest is kept already; reads its first bytes only.
pub(crate) fn is_kept(folder: &Path, source: &str, digest: Digest) -> bool {
    let mut kept = [0; 32];
    let read =
        untrusted::open(&path_in(folder, source)).and_then(|mut file| file.read_exact(&mut kept));
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
pub(crate) fn read(folder: &Path, source: &str, digest: Digest) -> Option<SourceListing> {
    let bytes = untrusted::read_listing(&path_in(folder, source), &digest.0).ok()?;
    let mut rest = bytes.strip_prefix(&digest.0)?;
    let mut listing = SourceListing::new();
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
pub(crate) fn changes(source: &str, old: &SourceListing, new: &[Record]) -> Vec<FileChange> {
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
#[path = "source_tests.rs"]
mod tests;
