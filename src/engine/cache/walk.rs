//! Which files below a folder count: said here alone, for the digest of a source and for whoever
//! reads its files.
//!
//! - What begins with `.` is hidden, with all that is below it.
//! - A link stands for what it leads to, a folder too. One that leads to a folder above itself is a
//!   loop, and is cut.
//! - A dead link, a pipe, a socket, a device and what may not be opened are passed over, unless
//!   their name says that they should be files that count: then they are files that can't be read,
//!   as is a folder that may not be opened. None of them is ever opened.
//! - A cache of seedpipe, told by the tag in it, is no input.

use std::ffi::{OsStr, OsString};
use std::fs::FileType;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use fs_err as fs;
use rayon::prelude::*;
use rustix::io::Errno;

use crate::base::digest::Digest;
use crate::cache::stat_cache::FileStat;

/// The file that tells a cache, here and for programs that make backups
/// (<https://bford.info/cachedir>), and what it says.
pub(crate) const TAG: &str = "CACHEDIR.TAG";
pub(crate) const TAGGED: &str = "Signature: 8a477f597d28d172789f06886806bc55\n# A cache of seedpipe: all of it can be made again, and none of it is an input.\n";

/// Folders inside folders; what lies deeper can't be read.
const MAXIMAL_DEPTH: usize = 64;

/// In bytes: 500 megapixels of 16-bit RGBA.
const LONGEST: u64 = 4 << 30;
const TOO_LONG: &str = "a file of more than 4 GiB";
pub const DEAD: &str = "a link that leads to nothing";
const CLOSED: &str = "a folder that can't be opened";

/// A file below a folder.
#[derive(Debug)]
pub struct WalkedFile {
    /// Below the folder.
    pub path: PathBuf,
    pub(crate) stat: FileStat,
    /// Why it can't be read.
    pub(crate) fault: Option<&'static str>,
}

/// What is below a folder, by path.
#[derive(Debug, Default)]
pub struct Walk {
    /// Files that count.
    pub files: Vec<WalkedFile>,
    /// Other visible files.
    pub others: Vec<PathBuf>,
    /// Links to folders, which were followed.
    pub links: Vec<PathBuf>,
    /// Links to folders above themselves, which were not.
    pub loops: Vec<PathBuf>,
}

enum Found {
    File(WalkedFile),
    Other(PathBuf),
    Folder { link: Option<PathBuf>, inside: Walk },
    Loop(PathBuf),
    Nothing,
}

/// A folder and those that it lies in, by device and inode.
struct Level<'a> {
    above: Option<&'a Level<'a>>,
    id: (u64, u64),
    depth: usize,
}

impl Level<'_> {
    fn holds(&self, id: (u64, u64)) -> bool {
        self.id == id || self.above.is_some_and(|above| above.holds(id))
    }
}

/// All files below a folder.
///
/// - `counts`: whether a file of that name does
///
/// # Errors
/// When `root` is no folder, or may not be opened.
pub fn walk(root: &Path, counts: &(dyn Fn(&Path) -> bool + Sync)) -> io::Result<Walk> {
    let metadata = fs::metadata(root)?;
    let level = Level {
        above: None,
        id: (metadata.dev(), metadata.ino()),
        depth: 0,
    };
    below(root, Path::new(""), &level, counts)
}

fn below(
    folder: &Path,
    prefix: &Path,
    level: &Level,
    counts: &(dyn Fn(&Path) -> bool + Sync),
) -> io::Result<Walk> {
    let entries = fs::read_dir(folder)?;
    let named = entries.map(|entry| entry.map(|entry| (entry.file_name(), entry)));
    let mut entries = named.collect::<io::Result<Vec<_>>>()?;
    if level.above.is_some() && is_cache(folder, &entries) {
        return Ok(Walk::default());
    }
    entries.retain(|(name, _)| !is_hidden(name));
    entries.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let found: Vec<Found> = entries
        .par_iter()
        .map(|(name, entry)| look(entry, prefix.join(name), level, counts))
        .collect::<io::Result<_>>()?;
    let mut walk = Walk::default();
    for found in found {
        match found {
            Found::File(file) => walk.files.push(file),
            Found::Other(path) => walk.others.push(path),
            Found::Loop(path) => walk.loops.push(path),
            Found::Folder { link, inside } => {
                walk.files.extend(inside.files);
                walk.others.extend(inside.others);
                walk.links.extend(link.into_iter().chain(inside.links));
                walk.loops.extend(inside.loops);
            }
            Found::Nothing => {}
        }
    }
    Ok(walk)
}

fn look(
    entry: &fs::DirEntry,
    path: PathBuf,
    level: &Level,
    counts: &(dyn Fn(&Path) -> bool + Sync),
) -> io::Result<Found> {
    let unreadable = |path: PathBuf, fault| {
        Found::File(WalkedFile {
            path,
            stat: FileStat::default(),
            fault: Some(fault),
        })
    };
    let is_link = entry.file_type()?.is_symlink();
    // A link stands for what it leads to; everything else is asked relative to the open folder,
    // which is quicker.
    let metadata = match is_link {
        true => fs::metadata(entry.path()),
        false => entry.metadata(),
    };
    let metadata = match metadata {
        Ok(metadata) => metadata,
        Err(error) => {
            return match fault_of(&error) {
                // It went while it was looked for.
                Some(DEAD) if !is_link => Ok(Found::Nothing),
                Some(fault) if counts(&path) => Ok(unreadable(path, fault)),
                Some(_) => Ok(Found::Nothing),
                None => Err(error),
            };
        }
    };
    if metadata.is_dir() {
        let inner = Level {
            above: Some(level),
            id: (metadata.dev(), metadata.ino()),
            depth: level.depth + 1,
        };
        if level.holds(inner.id) {
            return Ok(Found::Loop(path));
        }
        if inner.depth > MAXIMAL_DEPTH {
            return Ok(unreadable(path, CLOSED));
        }
        return match below(&entry.path(), &path, &inner, counts) {
            Ok(inside) => Ok(Found::Folder {
                link: is_link.then_some(path),
                inside,
            }),
            Err(error) if fault_of(&error).is_some() => Ok(unreadable(path, CLOSED)),
            Err(error) => Err(error),
        };
    }
    Ok(match (counts(&path), special(metadata.file_type())) {
        (true, Some(fault)) => unreadable(path, fault),
        (false, Some(_)) => Found::Nothing,
        (true, None) => Found::File(WalkedFile {
            path,
            stat: FileStat::of(&metadata),
            fault: None,
        }),
        (false, None) => Found::Other(path),
    })
}

/// Whether a file or folder of that name is passed over, with all that is below it.
pub fn is_hidden(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b".")
}

fn is_cache(folder: &Path, entries: &[(OsString, fs::DirEntry)]) -> bool {
    let mut entries = entries.iter();
    let tag = entries.find(|(name, _)| name == TAG);
    let is_file = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_file());
    tag.is_some_and(|(_, tag)| is_file(tag)) && {
        let mut text = String::new();
        let tag = fs::File::open(folder.join(TAG));
        let read = tag.and_then(|tag| tag.take(1 << 10).read_to_string(&mut text));
        read.is_ok() && text == TAGGED
    }
}

/// What else than a file or a folder it is.
pub(crate) fn special(kind: FileType) -> Option<&'static str> {
    match kind {
        kind if kind.is_file() => None,
        kind if kind.is_fifo() => Some("a named pipe"),
        kind if kind.is_socket() => Some("a socket"),
        kind if kind.is_dir() => Some(CLOSED),
        _ => Some("a device"),
    }
}

/// What is wrong with a file that the system can't give; `None` where something else is wrong, such
/// as too many open files.
fn fault_of(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Some(DEAD),
        io::ErrorKind::PermissionDenied => Some("a file that may not be read"),
        kind if kind == io::Error::from(Errno::LOOP).kind() => Some("a link that leads to itself"),
        _ => None,
    }
}

/// The bytes of a file, or why it has none: whatever it is, nothing is waited for.
///
/// # Errors
/// When the fault is not the file's.
pub fn read(path: &Path) -> io::Result<Result<Vec<u8>, &'static str>> {
    bounded(path, |path| fs::read(path))
}

/// The digest of what [`read`] gives, without holding it.
///
/// # Errors
/// When the fault is not the file's.
pub fn digest(path: &Path) -> io::Result<Digest> {
    Ok(bounded(path, Digest::of_file)?.unwrap_or_else(digest_of_fault))
}

/// The length of a file; 0 of what has none.
pub fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// As [`readable`], unless the file is longer than any image.
fn bounded<T>(
    path: &Path,
    read: impl FnOnce(&Path) -> io::Result<T>,
) -> io::Result<Result<T, &'static str>> {
    match length(path) > LONGEST {
        true => Ok(Err(TOO_LONG)),
        false => readable(path, read),
    }
}

/// Whether it is a file that may be looked at, or what it is.
///
/// # Errors
/// When the fault is not the file's.
pub fn check(path: &Path) -> io::Result<Result<(), &'static str>> {
    readable(path, |_| Ok(()))
}

/// The digest of what [`read`] gave.
pub fn digest_of(read: &Result<Vec<u8>, &'static str>) -> Digest {
    match read {
        Ok(bytes) => Digest::of(bytes),
        Err(fault) => digest_of_fault(fault),
    }
}

pub(crate) fn digest_of_fault(fault: &str) -> Digest {
    Digest(blake3::derive_key(
        "seedpipe digest of a file that can't be read, version 1",
        fault.as_bytes(),
    ))
}

/// As [`read`], by another reader.
pub(crate) fn readable<T>(
    path: &Path,
    read: impl FnOnce(&Path) -> io::Result<T>,
) -> io::Result<Result<T, &'static str>> {
    let got = fs::metadata(path).and_then(|metadata| match special(metadata.file_type()) {
        None => read(path).map(Ok),
        Some(fault) => Ok(Err(fault)),
    });
    got.or_else(|error| fault_of(&error).map(Err).ok_or(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    fn is_image(path: &Path) -> bool {
        path.extension().is_some_and(|ending| ending == "png")
    }

    /// A folder with files of these names.
    fn folder_with(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        folder
    }

    /// The paths that count, and what is wrong with each.
    fn files(walk: &Walk) -> Vec<(&str, Option<&str>)> {
        let files = walk.files.iter();
        files
            .map(|file| (file.path.to_str().unwrap(), file.fault))
            .collect()
    }

    #[test]
    fn visible_files_that_count_are_found_in_the_order_of_their_paths() {
        let folder = folder_with(&[
            "b/a.png",
            "b-c/a.png",
            "a.png",
            "notes.txt",
            ".hidden.png",
            ".git/x.png",
            "b/._a.png",
        ]);
        let walk = walk(folder.path(), &is_image).unwrap();
        assert_eq!(
            files(&walk),
            [("a.png", None), ("b/a.png", None), ("b-c/a.png", None)]
        );
        assert_eq!(walk.others, [PathBuf::from("notes.txt")]);
    }

    #[test]
    fn what_is_no_file_is_passed_over_unless_its_name_counts() {
        let folder = folder_with(&["a.png"]);
        let path = |name: &str| folder.path().join(name);
        for name in ["b.png", "pipe"] {
            rustix::fs::mkfifoat(rustix::fs::CWD, path(name), 0o600.into()).unwrap();
        }
        let _sockets = ["c.png", "socket"].map(|name| UnixListener::bind(path(name)).unwrap());
        for name in ["d.png", "notes"] {
            symlink("/nowhere", path(name)).unwrap();
        }
        symlink("e.png", path("e.png")).unwrap();
        symlink("/dev/null", path("f.png")).unwrap();
        let walk = walk(folder.path(), &is_image).unwrap();
        let expected = [
            ("a.png", None),
            ("b.png", Some("a named pipe")),
            ("c.png", Some("a socket")),
            ("d.png", Some("a link that leads to nothing")),
            ("e.png", Some("a link that leads to itself")),
            ("f.png", Some("a device")),
        ];
        assert_eq!(files(&walk), expected);
        assert!(walk.others.is_empty());
        for (name, fault) in expected {
            assert_eq!(read(&path(name)).unwrap().err(), fault, "{name}");
        }
    }

    #[test]
    fn linked_folders_are_followed_and_loops_are_cut() {
        let folder = folder_with(&["a/x.png", "b/y.png"]);
        let path = |name: &str| folder.path().join(name);
        symlink("../b", path("a/to_b")).unwrap();
        symlink("../a", path("b/to_a")).unwrap();
        symlink(".", path("self")).unwrap();
        let walk = walk(folder.path(), &is_image).unwrap();
        assert_eq!(
            files(&walk),
            ["a/to_b/y.png", "a/x.png", "b/to_a/x.png", "b/y.png"].map(|path| (path, None))
        );
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(walk.links, paths(&["a/to_b", "b/to_a"]));
        assert_eq!(walk.loops, paths(&["a/to_b/to_a", "b/to_a/to_b", "self"]));
    }

    #[test]
    fn a_cache_is_no_input_and_another_tagged_folder_is() {
        let folder = folder_with(&["a.png", "cache/v1/b.png", "other/c.png"]);
        fs::write(folder.path().join("cache/v1").join(TAG), TAGGED).unwrap();
        fs::write(folder.path().join("other").join(TAG), &TAGGED[..44]).unwrap();
        let found = walk(folder.path(), &is_image).unwrap();
        assert_eq!(files(&found), [("a.png", None), ("other/c.png", None)]);
        let inside = walk(&folder.path().join("cache/v1"), &is_image).unwrap();
        assert_eq!(files(&inside), [("b.png", None)]);
    }

    #[test]
    fn what_lies_too_deep_can_not_be_read() {
        let deep = format!("{}x.png", "d/".repeat(MAXIMAL_DEPTH + 1));
        let folder = folder_with(&["a.png", &deep]);
        let walk = walk(folder.path(), &is_image).unwrap();
        let found = files(&walk);
        assert_eq!((found.len(), found[1].1), (2, Some(CLOSED)));
    }

    #[test]
    fn what_may_not_be_opened_is_a_file_that_can_not_be_read() {
        use std::os::unix::fs::PermissionsExt;
        let folder = folder_with(&["a.png", "b/x.png", "c.png"]);
        for name in ["b", "c.png"] {
            let closed = std::fs::Permissions::from_mode(0o000);
            fs::set_permissions(folder.path().join(name), closed).unwrap();
        }
        if fs::read(folder.path().join("c.png")).is_ok() {
            eprintln!("skipped: root may open everything");
            return;
        }
        let walk = walk(folder.path(), &is_image).unwrap();
        // Whether a file may be read is found out by who reads it.
        let expected = [("a.png", None), ("b", Some(CLOSED)), ("c.png", None)];
        assert_eq!(files(&walk), expected);
        let read = read(&folder.path().join("c.png")).unwrap();
        assert_eq!(read, Err("a file that may not be read"));
    }
}
