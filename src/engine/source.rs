//! Outside files: the digest of a file or a whole folder, by relative paths and contents alone.
//!
//! Owns the walk and the tree digest; which files were hashed before is `stat_cache`'s. Times, owners and modes don't
//! matter, and neither does where the folder lies.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow, bail};
use fs_err as fs;
use rayon::prelude::*;

use crate::digest::Digest;
use crate::stat_cache::{FileStat, Record, StatCache};

/// Folders inside folders; more is a loop of links.
const MAXIMAL_DEPTH: usize = 64;

/// The content digest of a file or folder. Unchanged files are not read again when `cache` knows them.
pub(crate) fn digest(root: &Path, cache: &StatCache) -> Result<Digest> {
    let listed = list(root)?;
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

/// A file below a root: its path inside, with `/`, and what `stat` says.
struct Listed {
    path: Vec<u8>,
    stat: FileStat,
}

/// All files below `root`, sorted by path; `root` itself, with an empty path, when it is a file.
fn list(root: &Path) -> Result<Vec<Listed>> {
    let metadata = fs::metadata(root).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => anyhow!("expected a file or folder, got nothing there"),
        _ => anyhow!(error),
    })?;
    if metadata.is_file() {
        return Ok(vec![Listed {
            path: Vec::new(),
            stat: stat_of(&metadata),
        }]);
    }
    let mut files = walk(root, &[], 0)?;
    files.par_sort_unstable_by(|left, right| left.path.cmp(&right.path));
    Ok(files)
}

enum Found {
    File(Listed),
    Folder(Vec<Listed>),
}

fn walk(folder: &Path, prefix: &[u8], depth: usize) -> Result<Vec<Listed>> {
    if depth > MAXIMAL_DEPTH {
        bail!(
            "`{}`: expected at most {MAXIMAL_DEPTH} folders inside each other, got more: links in a loop?",
            folder.display()
        );
    }
    let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    let found = entries.par_iter().map(|entry| {
        let mut path = Vec::with_capacity(prefix.len() + 32);
        path.extend_from_slice(prefix);
        path.extend_from_slice(entry.file_name().as_bytes());
        let is_link = entry.file_type()?.is_symlink();
        // A link stands for what it leads to; everything else is asked relative to the open folder, which is quicker.
        let metadata = if is_link {
            fs::metadata(entry.path())?
        } else {
            entry.metadata()?
        };
        if metadata.is_dir() {
            path.push(b'/');
            Ok(Found::Folder(walk(&entry.path(), &path, depth + 1)?))
        } else if metadata.is_file() {
            Ok(Found::File(Listed {
                path,
                stat: stat_of(&metadata),
            }))
        } else {
            bail!(
                "`{}`: expected a file or a folder, got something else",
                entry.path().display()
            )
        }
    });
    let mut files = Vec::with_capacity(entries.len());
    for found in found.collect::<Result<Vec<_>>>()? {
        match found {
            Found::File(file) => files.push(file),
            Found::Folder(inner) => files.extend(inner),
        }
    }
    Ok(files)
}

pub(crate) fn stat_of(metadata: &std::fs::Metadata) -> FileStat {
    let nanoseconds =
        |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    FileStat {
        size: metadata.size(),
        modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
        changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        inode: metadata.ino(),
    }
}

/// A record for every listed file, in order: the known one where nothing changed, else a fresh one.
fn hash(root: &Path, listed: &[Listed], known: &[Record]) -> Result<Vec<Record>> {
    let mut known = known.iter().peekable();
    let matched: Vec<(&Listed, Option<&Record>)> = listed
        .iter()
        .map(|file| {
            while known.next_if(|record| record.path < file.path).is_some() {}
            let same = known.next_if(|record| record.path == file.path);
            (
                file,
                same.filter(|record| record.trusted && record.stat == file.stat),
            )
        })
        .collect();
    let hashed = matched.into_par_iter().map(|(file, same)| match same {
        Some(record) => Ok(record.clone()),
        None => hash_file(root, file),
    });
    hashed.collect()
}

fn hash_file(root: &Path, file: &Listed) -> Result<Record> {
    let path = path_of(root, &file.path);
    let start = now();
    let digest = Digest::of_file(&path)?;
    let after = stat_of(&fs::metadata(&path)?);
    if after != file.stat {
        bail!(
            "`{}`: expected a file at rest, got one that changes while it is read\nhint: run again when nobody writes to it",
            path.display()
        );
    }
    Ok(Record {
        path: file.path.clone(),
        stat: file.stat,
        digest,
        trusted: file.stat.is_settled(start),
    })
}

fn path_of(root: &Path, relative: &[u8]) -> PathBuf {
    if relative.is_empty() {
        root.to_owned()
    } else {
        root.join(std::ffi::OsStr::from_bytes(relative))
    }
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
    known: RefCell<BTreeMap<PathBuf, Digest>>,
}

impl Snapshot {
    pub fn new(cache: StatCache) -> Self {
        Snapshot {
            cache,
            known: RefCell::new(BTreeMap::new()),
        }
    }

    /// The content digest of a file or folder at this snapshot's moment.
    pub fn digest(&self, root: &Path) -> Result<Digest> {
        if let Some(known) = self.known.borrow().get(root) {
            return Ok(*known);
        }
        let digest = digest(root, &self.cache)?;
        self.known.borrow_mut().insert(root.to_owned(), digest);
        Ok(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join("root").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn digest_of(folder: &tempfile::TempDir) -> Digest {
        digest(&folder.path().join("root"), &StatCache::disabled()).unwrap()
    }

    #[test]
    fn a_tree_is_its_paths_and_contents_and_nothing_else() {
        let reference = digest_of(&folder_with(&[("a/x", "1"), ("b", "2")]));
        assert_eq!(
            reference,
            digest_of(&folder_with(&[("b", "2"), ("a/x", "1")]))
        );
        for other in [
            folder_with(&[("a/x", "1"), ("b", "3")]),
            folder_with(&[("a/y", "1"), ("b", "2")]),
            folder_with(&[("a/x", "1")]),
            folder_with(&[("a/x", "1"), ("b", "2"), ("c", "")]),
            folder_with(&[("a/x", "2"), ("b", "1")]),
        ] {
            assert_ne!(reference, digest_of(&other));
        }
    }

    #[test]
    fn a_file_is_its_bytes() {
        let folder = folder_with(&[("a", "text")]);
        let digest = digest(&folder.path().join("root/a"), &StatCache::disabled()).unwrap();
        assert_eq!(digest, Digest::of(b"text"));
    }

    #[test]
    fn links_stand_for_what_they_lead_to() {
        let folder = folder_with(&[("a/x", "1")]);
        let reference = digest_of(&folder_with(&[("a/x", "1"), ("b/x", "1")]));
        std::os::unix::fs::symlink("a", folder.path().join("root/b")).unwrap();
        assert_eq!(digest_of(&folder), reference);
        std::os::unix::fs::symlink(".", folder.path().join("root/loop")).unwrap();
        let message = digest(&folder.path().join("root"), &StatCache::disabled())
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("loop") || message.contains("symbolic links"),
            "{message}"
        );
    }

    #[test]
    fn an_unchanged_file_is_not_read_again() {
        let folder = folder_with(&[("a", "1"), ("b", "2")]);
        let root = folder.path().join("root");
        let cache = StatCache::required(&folder.path().join("stat"));
        let before = digest(&root, &cache).unwrap();
        assert!(
            cache.load(&root).iter().all(|record| !record.trusted),
            "files of this second are not trusted"
        );
        // The record says that `a` has other content: believed, because stat says that nothing changed.
        let mut records = cache.load(&root);
        for record in &mut records {
            record.trusted = true;
        }
        records[0].digest = Digest::of(b"believed");
        cache.store(&root, &[], &records).unwrap();
        let believed = digest(&root, &cache).unwrap();
        assert_ne!(believed, before);
        // Touched: read again.
        fs::write(root.join("a"), "1").unwrap();
        assert_eq!(digest(&root, &cache).unwrap(), before);
    }

    #[test]
    fn what_is_not_there_is_told() {
        let error = digest(Path::new("/no/such"), &StatCache::disabled()).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "expected a file or folder, got nothing there"
        );
    }
}
