//! Files that a living process holds: made anew under a name that nobody else has, and locked
//! before anything is written.
//!
//! Whether their process is alive is asked of the lock, which the kernel frees when it dies, and
//! never of a process number: two containers on one folder have equal ones.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::base::untrusted;

/// 16 hexadecimal digits that nobody else has, drawn by the operating system: for names, never for
/// content.
pub fn unique_name() -> String {
    // Each `RandomState` has keys of the system's own random numbers.
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

/// Makes a file in `folder` and holds it for as long as it stays open; where the file system has no
/// locks it is only made.
///
/// - `name`: the file's name, from one that nobody else has
pub(crate) fn create(
    folder: &Path,
    name: impl Fn(&str) -> String,
) -> io::Result<(fs::File, PathBuf)> {
    loop {
        let path = folder.join(name(&unique_name()));
        let mut options = fs::OpenOptions::new();
        let file = match options.read(true).write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            made => made?,
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            // Who cleared up may have been quicker than the lock.
            Ok(()) if !is_current(&file, &path) => {}
            // Who looks on has it for a moment; another name is quicker than waiting.
            Err(Errno::WOULDBLOCK) => drop(fs::remove_file(&path)),
            _ => return Ok((file, path)),
        }
    }
}

/// Whether nobody holds a file; one that isn't there is free. Changes nothing.
///
/// # Errors
/// When it can't be read, or its file system has no locks.
pub(crate) fn is_free(path: &Path) -> io::Result<bool> {
    let file = match untrusted::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        opened => opened?,
    };
    // Shared: those who look on don't take each other for the holder, and NFS allows it to those
    // who only read.
    take(&file, FlockOperation::NonBlockingLockShared)
}

/// Removes a file unless somebody holds it, which is asked again with its lock in hand. Whether it
/// is gone.
///
/// # Errors
/// When it can't be opened for writing or removed, or its file system has no locks.
pub(crate) fn remove_free(path: &Path) -> io::Result<bool> {
    let opened = fs::OpenOptions::new().read(true).write(true).open(path);
    let removed = opened.and_then(|file| {
        let is_taken = take(&file, FlockOperation::NonBlockingLockExclusive)?;
        match is_taken && is_current(&file, path) {
            true => fs::remove_file(path).map(|()| true),
            false => Ok(false),
        }
    });
    match removed {
        // Somebody was quicker.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        removed => removed,
    }
}

fn take(file: &fs::File, operation: FlockOperation) -> io::Result<bool> {
    match flock(file, operation) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether the folder's file of that name is the open one.
pub(crate) fn is_current(file: &fs::File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_drawn_anew_whatever_the_thread() {
        let names = || (0..200).map(|_| unique_name()).collect::<Vec<_>>();
        let other = std::thread::spawn(names).join().unwrap();
        let distinct: BTreeSet<String> = names().into_iter().chain(other).collect();
        assert_eq!(distinct.len(), 400);
        assert!(distinct.iter().all(|name| name.len() == 16));
    }

    #[test]
    fn a_held_file_is_told_from_one_that_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let (file, path) = create(folder.path(), |name| format!("run-{name}")).unwrap();
        assert!(!is_free(&path).unwrap());
        assert!(!remove_free(&path).unwrap() && path.exists());
        drop(file);
        assert!(is_free(&path).unwrap() && path.exists());
        assert!(remove_free(&path).unwrap() && !path.exists());
        assert!(is_free(&path).unwrap() && remove_free(&path).unwrap());
    }

    /// What another process with the same number would have made.
    #[test]
    fn a_name_that_is_taken_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("first"), "another's").unwrap();
        let tries = std::cell::Cell::new(0);
        let name = |_: &str| {
            tries.set(tries.get() + 1);
            ["first", "second"][tries.get() - 1].to_owned()
        };
        let (_file, path) = create(folder.path(), name).unwrap();
        assert_eq!(path, folder.path().join("second"));
        let first = fs::read_to_string(folder.path().join("first")).unwrap();
        assert_eq!(first, "another's");
    }
}
