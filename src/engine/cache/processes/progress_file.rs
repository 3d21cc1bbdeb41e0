//! A run's progress for other processes while it is alive: `<cache>/progress/run-<name>.json`, under
//! a name that no other run has, beside a lock that the run holds, so that a run that died is known
//! by its free lock.
//!
//! What it holds is the caller's business. It is telemetry: outside the store, replaced whole by a
//! rename and never fsynced, and whoever can't write it goes on without. So there are no fault
//! points here. The file of a run that is over stays for a quarter of an hour at least, for those
//! who look on to see how it ended; after that the next run of the same cache removes it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;

use crate::base::{held, untrusted};

const START: &str = "run-";
/// The file of a run that is over stays that long at least.
const KEPT: Duration = Duration::from_secs(900);
const PROGRESS: &str = "json";
const LOCK: &str = "lock";
/// A pipeline has at most 10,000 stages, which take 5 MB or so.
const MAXIMAL_BYTES: u64 = 64 << 20;

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
    /// Takes the lock, and removes the files of runs that have been over for long.
    ///
    /// # Errors
    /// When the folder can't be written, or its file system has no locks.
    pub fn create(cache: &Path) -> io::Result<Self> {
        let folder = folder(cache);
        fs::create_dir_all(&folder)?;
        clear(&folder, KEPT)?;
        let (held, lock) = held::create(&folder, |name| format!("{START}{name}.{LOCK}"))?;
        Ok(ProgressFile {
            path: lock.with_extension(PROGRESS),
            temporary: lock.with_extension("new"),
            _held: held,
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
    /// The run's name: no other run has it.
    pub run: String,
    /// Whether the run still goes on.
    pub is_alive: bool,
    pub bytes: Vec<u8>,
}

/// What the runs of a cache wrote last, those that go on and those that were over when the last one
/// began. By name.
///
/// # Errors
/// When the folder can't be read; where there is none, there was no run. A file in it that can't be
/// read tells nothing.
pub fn read_all(cache: &Path) -> io::Result<Vec<LastProgress>> {
    let mut all = Vec::new();
    for path in files(&folder(cache))? {
        let (Some(run), true) = (run_of(&path), has_ending(&path, PROGRESS)) else {
            continue;
        };
        // Asked before it is read: the file of a run that is over is then whole.
        let is_alive = !held::is_free(&path.with_extension(LOCK))?;
        if let Ok(bytes) = untrusted::read(&path, MAXIMAL_BYTES) {
            all.push(LastProgress {
                run,
                is_alive,
                bytes,
            });
        }
    }
    all.sort_by(|one, other| one.run.cmp(&other.run));
    Ok(all)
}

/// Removes what runs that are over left, unless they wrote it less than `kept` ago.
fn clear(folder: &Path, kept: Duration) -> io::Result<()> {
    for path in files(folder)? {
        let is_fresh = || {
            let written = fs::metadata(&path).and_then(|metadata| metadata.modified());
            let age = written.ok().and_then(|written| written.elapsed().ok());
            has_ending(&path, PROGRESS) && age.is_some_and(|age| age < kept)
        };
        if run_of(&path).is_some() && held::is_free(&path.with_extension(LOCK))? && !is_fresh() {
            // Asked again of the lock itself: another run may be about to hold it.
            held::remove_free(&path)?;
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

fn run_of(path: &Path) -> Option<String> {
    let stem = path.file_stem()?.to_str()?;
    stem.strip_prefix(START).map(str::to_owned)
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found == ending)
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
        let run = run_of(&file.path).unwrap();
        let expected = |is_alive| {
            vec![LastProgress {
                run: run.clone(),
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
