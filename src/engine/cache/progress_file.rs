//! A run's progress for other processes while it is alive: `<cache>/progress/run-<pid>.json`,
//! beside a lock that the run holds, so that a run that died is known by its free lock.
//!
//! What it holds is the caller's business. It is telemetry: outside the store, replaced whole by a
//! rename and never fsynced, and whoever can't write it goes on without. So there are no fault
//! points here. The file of a run that is over stays for a quarter of an hour at least, for those
//! who look on to see how it ended; after that the next run of the same cache removes it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use rustix::fs::{FlockOperation, flock};

use crate::cache::locks;

const START: &str = "run-";
/// The file of a run that is over stays that long at least.
const KEPT: Duration = Duration::from_secs(900);
const PROGRESS: &str = "json";
const LOCK: &str = "lock";
const TRIES: usize = 5;
const PAUSE: Duration = Duration::from_millis(2);

/// The folder of a cache where runs write their progress.
pub fn folder(cache: &Path) -> PathBuf {
    cache.join("progress")
}

/// This process's file. Dropping it frees the lock, and leaves the file.
#[derive(Debug)]
pub struct ProgressFile {
    path: PathBuf,
    temporary: PathBuf,
    lock: PathBuf,
    _held: fs::File,
}

impl ProgressFile {
    /// Takes the lock, and removes the files of runs that have been over for long. A process has
    /// one run at a time.
    ///
    /// # Errors
    /// When the folder can't be written, or its file system has no locks.
    pub fn create(cache: &Path) -> io::Result<Self> {
        let folder = folder(cache);
        fs::create_dir_all(&folder)?;
        clear(&folder, KEPT)?;
        let name = |ending: &str| folder.join(format!("{START}{}.{ending}", std::process::id()));
        let lock = name(LOCK);
        Ok(ProgressFile {
            path: name(PROGRESS),
            temporary: name("new"),
            _held: hold(&lock)?,
            lock,
        })
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// When it can't be written; then the last one stays.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        fs::write(&self.temporary, bytes)?;
        fs::rename(&self.temporary, &self.path)
    }
}

impl Drop for ProgressFile {
    fn drop(&mut self) {
        // Removed while held. What is left is a free lock, which means the same.
        let _ = fs::remove_file(&self.lock);
    }
}

/// What a run wrote last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastProgress {
    pub process: u32,
    /// Whether the run still goes on.
    pub is_alive: bool,
    pub bytes: Vec<u8>,
}

/// What the runs of a cache wrote last, those that go on and those that were over when the last one
/// began. By process.
///
/// # Errors
/// When the folder can't be read; where there is none, there was no run.
pub fn read_all(cache: &Path) -> io::Result<Vec<LastProgress>> {
    let mut all = Vec::new();
    for path in files(&folder(cache))? {
        let (Some(process), true) = (process_of(&path), has_ending(&path, PROGRESS)) else {
            continue;
        };
        // Asked before it is read: the file of a run that is over is then whole.
        let is_alive = is_held(&path.with_extension(LOCK))?;
        match fs::read(&path) {
            Ok(bytes) => all.push(LastProgress {
                process,
                is_alive,
                bytes,
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    all.sort_by_key(|last| last.process);
    Ok(all)
}

/// Makes the lock and holds it. Another run may take it for an abandoned one and remove it before
/// it is held, and those who look on hold it for a moment: then once more.
fn hold(lock: &Path) -> io::Result<fs::File> {
    let mut tries = 0;
    loop {
        let file = fs::File::create(lock)?;
        let held = flock(&file, FlockOperation::NonBlockingLockExclusive);
        tries += 1;
        match held {
            Ok(()) if locks::is_current(&file, lock) => return Ok(file),
            Err(error) if tries == TRIES => return Err(error.into()),
            Ok(()) if tries == TRIES => return Err(io::ErrorKind::NotFound.into()),
            _ => std::thread::sleep(PAUSE),
        }
    }
}

/// Removes what runs that are over left, unless they wrote it less than `kept` ago.
fn clear(folder: &Path, kept: Duration) -> io::Result<()> {
    for path in files(folder)? {
        let is_fresh = || {
            let written = fs::metadata(&path).and_then(|metadata| metadata.modified());
            let age = written.ok().and_then(|written| written.elapsed().ok());
            has_ending(&path, PROGRESS) && age.is_some_and(|age| age < kept)
        };
        if process_of(&path).is_some() && !is_held(&path.with_extension(LOCK))? && !is_fresh() {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {} // another run may have been quicker
            }
        }
    }
    Ok(())
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn process_of(path: &Path) -> Option<u32> {
    let stem = path.file_stem()?.to_str()?;
    stem.strip_prefix(START)?.parse().ok()
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found == ending)
}

fn is_held(lock: &Path) -> io::Result<bool> {
    match fs::File::open(lock) {
        // Shared, so that those who look on don't take each other for the run.
        Ok(file) => Ok(flock(&file, FlockOperation::NonBlockingLockShared).is_err()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_last_stays_for_a_while() {
        let cache = tempfile::tempdir().unwrap();
        assert_eq!(read_all(cache.path()).unwrap(), []);
        let file = ProgressFile::create(cache.path()).unwrap();
        file.write(b"first").unwrap();
        file.write(b"second").unwrap();
        let expected = |is_alive| {
            vec![LastProgress {
                process: std::process::id(),
                is_alive,
                bytes: b"second".to_vec(),
            }]
        };
        assert_eq!(read_all(cache.path()).unwrap(), expected(true));
        drop(file);
        assert_eq!(read_all(cache.path()).unwrap(), expected(false));
        clear(&folder(cache.path()), Duration::from_secs(60)).unwrap();
        assert_eq!(read_all(cache.path()).unwrap(), expected(false));
        clear(&folder(cache.path()), Duration::ZERO).unwrap();
        assert_eq!(read_all(cache.path()).unwrap(), []);
    }

    #[test]
    fn a_run_that_was_killed_is_not_alive_and_is_cleared() {
        let cache = tempfile::tempdir().unwrap();
        let folder = folder(cache.path());
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in [("run-1.json", "x"), ("run-1.lock", ""), ("run-1.new", "y")] {
            fs::write(folder.join(name), text).unwrap();
        }
        fs::write(folder.join("notes.txt"), "not ours").unwrap();
        assert!(!read_all(cache.path()).unwrap()[0].is_alive);
        clear(&folder, Duration::ZERO).unwrap();
        let left: Vec<_> = files(&folder).unwrap();
        assert_eq!(left, [folder.join("notes.txt")]);
    }
}
