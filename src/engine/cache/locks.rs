//! One process makes an artifact; others wait for it, say for whom, and take over when it died.
//!
//! A lock is an `flock` on `<cache>/v1/locks/<fingerprint>.lock`: the kernel frees it when its
//! holder dies. The file says who holds it. Whoever frees a lock removes the file; so a lock only
//! counts when its file is still the one in the folder.

use std::fmt;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use fs_err as fs;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use seedpipe_base::Refusal;
use serde::{Deserialize, Serialize};

use crate::{base::cancel, base::clock, base::fault};

/// Pause between two tries for a lock.
const PAUSE: Duration = Duration::from_millis(25);
/// From when on a waiter says for whom it waits, and how often.
const FIRST_NOTICE: Duration = Duration::from_secs(2);
const NEXT_NOTICE: Duration = Duration::from_secs(30);

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub pid: u32,
    pub host: String,
    pub stage: String,
    /// RFC 3339, UTC.
    pub since: String,
}

impl Holder {
    /// This process, from now on.
    pub(crate) fn here(stage: &str) -> Self {
        let host = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        Holder {
            pid: std::process::id(),
            host,
            stage: stage.to_owned(),
            since: clock::now(),
        }
    }

    fn unknown() -> Self {
        let unknown = || "unknown".to_owned();
        Holder {
            pid: 0,
            host: unknown(),
            stage: unknown(),
            since: unknown(),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Holder {
            pid,
            host,
            stage,
            since,
        } = self;
        write!(
            formatter,
            "pid {pid} on {host}, stage `{stage}`, since {since}"
        )
    }
}

/// A held lock; dropping it frees it and removes its file.
#[derive(Debug)]
pub(crate) struct Lock {
    file: fs::File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock, or `None` when somebody holds it.
    pub(crate) fn try_take(path: &Path, holder: &Holder) -> Result<Option<Lock>> {
        let file = open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(failed(path, error)),
        }
        if !is_current(&file, path) {
            return Ok(None); // freed and removed between opening and locking: the next try opens the new file
        }
        let mut lock = Lock {
            file,
            path: path.to_owned(),
        };
        let text = serde_json::to_string(holder).expect("BUG: a holder is JSON");
        fault::at("lock.write", path)?;
        lock.file.set_len(0)?;
        lock.file.rewind()?;
        lock.file.write_all(text.as_bytes())?;
        Ok(Some(lock))
    }

    /// Waits for the lock as long as it takes; `waiting` is told for whom after 2 seconds and then
    /// every 30.
    pub fn take(path: &Path, holder: &Holder, waiting: impl Fn(&Holder)) -> Result<Lock> {
        let start = Instant::now();
        let mut next_notice = FIRST_NOTICE;
        loop {
            if let Some(lock) = Lock::try_take(path, holder)? {
                return Ok(lock);
            }
            cancel::check()?;
            if start.elapsed() >= next_notice {
                waiting(&read_holder(path));
                next_notice += NEXT_NOTICE;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while held. When it cannot be removed it stays as a free lock, which `gc` clears.
        let _ = fault::point("lock.remove").and_then(|()| fs::remove_file(&self.path));
    }
}

/// Whether nobody holds the lock of an existing file. Changes nothing.
pub(crate) fn is_free(path: &Path) -> Result<bool> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error.into()),
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(failed(path, error)),
    }
}

/// Removes the file of a lock that nobody holds.
pub(crate) fn remove_free(path: &Path) -> Result<()> {
    drop(Lock::try_take(path, &Holder::here("gc"))?);
    Ok(())
}

/// A shared or exclusive `flock` on a file that is never removed.
#[derive(Debug)]
pub(crate) struct Guard {
    _file: fs::File,
}

impl Guard {
    pub fn shared(path: &Path) -> Result<Guard> {
        Guard::take(path, FlockOperation::LockShared)
    }

    pub(crate) fn exclusive(path: &Path) -> Result<Guard> {
        Guard::take(path, FlockOperation::LockExclusive)
    }

    fn take(path: &Path, operation: FlockOperation) -> Result<Guard> {
        let file = open(path)?;
        loop {
            match flock(&file, operation) {
                Ok(()) => return Ok(Guard { _file: file }),
                Err(Errno::INTR) => cancel::check()?,
                Err(error) => return Err(failed(path, error)),
            }
        }
    }
}

fn open(path: &Path) -> Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    fault::at("lock.open", path)?;
    options.read(true).write(true).create(true).truncate(false);
    Ok(options.open(path)?)
}

fn failed(path: &Path, error: Errno) -> anyhow::Error {
    let path = path.display();
    Refusal::failure(format!(
        "lock `{path}`: expected a file system with locks, got: {error}"
    ))
    .hint("put the cache on a local disk, or on NFS version 4")
    .into()
}

/// Whether the folder's file of that name is the open one.
pub(crate) fn is_current(file: &fs::File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// Who holds the lock, as far as its file says.
fn read_holder(path: &Path) -> Holder {
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text));
    match read.map(|_| serde_json::from_str(&text)) {
        Ok(Ok(holder)) => holder,
        _ => Holder::unknown(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_lock_is_held_by_one_and_its_file_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let lock = Lock::try_take(&path, &Holder::here("a")).unwrap().unwrap();
        assert!(Lock::try_take(&path, &Holder::here("b")).unwrap().is_none());
        assert_eq!(read_holder(&path).stage, "a");
        drop(lock);
        assert!(!path.exists());
        assert!(Lock::try_take(&path, &Holder::here("b")).unwrap().is_some());
    }

    #[test]
    fn many_threads_take_turns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let inside = AtomicUsize::new(0);
        let turns = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        let lock = Lock::take(&path, &Holder::here("a"), |_| {}).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        turns.fetch_add(1, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
        assert_eq!(turns.load(Ordering::SeqCst), 40);
    }

    #[test]
    fn a_waiter_says_for_whom_after_two_seconds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let lock = Lock::try_take(&path, &Holder::here("slow"))
            .unwrap()
            .unwrap();
        let told = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                Lock::take(&path, &Holder::here("other"), |holder| {
                    told.lock().unwrap().push(holder.clone())
                })
                .unwrap();
            });
            std::thread::sleep(Duration::from_millis(2_300));
            assert!(!waiter.is_finished());
            drop(lock);
        });
        let told = told.into_inner().unwrap();
        assert_eq!(told.len(), 1);
        assert_eq!(
            (told[0].pid, told[0].stage.as_str()),
            (std::process::id(), "slow")
        );
    }
}
