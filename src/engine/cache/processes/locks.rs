//! One process makes an artifact; others wait for it, say for whom, and take over when it died.
//!
//! A lock is an `flock` on `<cache>/v1/locks/<fingerprint>.lock`: the kernel frees it when its
//! holder dies. The file says who holds it. Whoever frees a lock removes the file; so a lock only
//! counts when its file is still the one in the folder.

use std::fmt;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use fs_err as fs;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use seedpipe_base::Refusal;
use serde::{Deserialize, Serialize};

use crate::base::{clock, fault, held, untrusted, waiting};

/// Who holds a lock takes 300 bytes or so.
const MAXIMAL_HOLDER: u64 = 64 << 10;

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
            Err(error) => return Err(failed(path, error.into())),
        }
        if !held::is_current(&file, path) {
            return Ok(None); // freed and removed between opening and locking: the next try opens the new file
        }
        let mut lock = Lock {
            file,
            path: path.to_owned(),
        };
        fault::at("lock.write", path)?;
        write_holder(&mut lock.file, holder)?;
        Ok(Some(lock))
    }

    /// Waits for the lock as long as it takes; `waiting` is told for whom after 2 seconds and then
    /// every 30.
    pub fn take(path: &Path, holder: &Holder, waiting: impl Fn(&Holder)) -> Result<Lock> {
        waiting::until(
            || Lock::try_take(path, holder),
            || waiting(&read_holder(path)),
        )
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
    held::is_free(path).map_err(|error| failed(path, error))
}

/// A shared or exclusive `flock` on a file that is never removed. Who waits for it says so.
#[derive(Debug)]
pub(crate) struct Guard {
    file: fs::File,
}

impl Guard {
    pub fn shared(path: &Path) -> Result<Guard> {
        Guard::take(path, FlockOperation::NonBlockingLockShared)
    }

    pub(crate) fn exclusive(path: &Path) -> Result<Guard> {
        let mut guard = Guard::take(path, FlockOperation::NonBlockingLockExclusive)?;
        // Only for those who wait, so it is no matter if it can't be written.
        let _ = write_holder(&mut guard.file, &Holder::here(""));
        Ok(guard)
    }

    fn take(path: &Path, operation: FlockOperation) -> Result<Guard> {
        let file = open(path)?;
        waiting::until(
            || match flock(&file, operation) {
                Ok(()) => Ok(Some(())),
                Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(None),
                Err(error) => Err(failed(path, error.into())),
            },
            || {
                let Holder {
                    pid, host, since, ..
                } = read_holder(path);
                let shown = path.display();
                waiting::tell(&match operation {
                    FlockOperation::NonBlockingLockShared => format!(
                        "waits for pid {pid} on {host}, which clears up, repairs, or writes pipeline.lock since {since} (`{shown}`)"
                    ),
                    _ => format!(
                        "waits for a moment in which nobody looks anything up in the cache (`{shown}`)"
                    ),
                });
            },
        )?;
        Ok(Guard { file })
    }
}

fn open(path: &Path) -> Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    fault::at("lock.open", path)?;
    options.read(true).write(true).create(true).truncate(false);
    Ok(options.open(path)?)
}

fn failed(path: &Path, error: io::Error) -> anyhow::Error {
    let path = path.display();
    Refusal::failure(format!(
        "lock `{path}`: expected a file system with locks, got: {error}"
    ))
    .hint("put the cache on a local disk, or on NFS version 4")
    .into()
}

fn write_holder(file: &mut fs::File, holder: &Holder) -> io::Result<()> {
    let text = serde_json::to_string(holder).expect("BUG: a holder is JSON");
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())
}

/// Who holds the lock, as far as its file says.
fn read_holder(path: &Path) -> Holder {
    let text = untrusted::read_text(path, MAXIMAL_HOLDER).ok();
    let holder = text.and_then(|text| serde_json::from_str(&text).ok());
    holder.unwrap_or_else(Holder::unknown)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

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
    fn who_waits_at_a_gate_says_for_whom() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gate");
        let (sender, told) = std::sync::mpsc::channel();
        waiting::tell_by(move |line| drop(sender.send(line.to_owned())));
        let shown = format!("(`{}`)", path.display());
        let next = || told.iter().find(|line| line.ends_with(&shown)).unwrap();
        let gate = Guard::exclusive(&path).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| drop(Guard::shared(&path).unwrap()));
            let expected = format!("waits for pid {} on ", std::process::id());
            assert!(next().starts_with(&expected));
            drop(gate);
        });
        let gate = Guard::shared(&path).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| drop(Guard::exclusive(&path).unwrap()));
            assert!(next().starts_with("waits for a moment in which nobody"));
            drop(gate);
        });
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
