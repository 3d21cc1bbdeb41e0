//! Stores that live no longer than a stage's rerun: `<cache>/v1/scratch/<name>/`, beside a lock that
//! is held while it is used.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;
use fs_err as fs;

use crate::base::{durable, held};
use crate::cache::store::{Store, entries_in, remove_folder};

const LOCK: &str = "lock";

/// A store of one's own, removed when it is dropped; `gc` removes those of dead processes.
pub(crate) struct ScratchStore {
    folder: PathBuf,
    pub store: Store,
    /// Beside the folder, there from before it is made until it is removed.
    lock: PathBuf,
    _held: fs::File,
}

impl ScratchStore {
    pub fn new(store: &Store) -> Result<ScratchStore> {
        let prefix = durable::TEMPORARY_PREFIX;
        fs::create_dir_all(store.scratch())?;
        let (held, lock) = held::create(&store.scratch(), |name| format!("{prefix}{name}.{LOCK}"))?;
        let folder = lock.with_extension("");
        let scratch = ScratchStore {
            store: Store::new(&folder),
            folder,
            lock,
            _held: held,
        };
        fs::create_dir(&scratch.folder)?;
        scratch.store.prepare()?;
        Ok(scratch)
    }
}

impl Drop for ScratchStore {
    fn drop(&mut self) {
        // What can't be removed now is cleared by `gc`.
        let _ = remove_folder(&self.folder).and_then(|()| fs::remove_file(&self.lock));
    }
}

/// What dead processes left: folders, and the locks beside them.
pub(crate) fn abandoned(store: &Store) -> io::Result<Vec<PathBuf>> {
    let mut abandoned = Vec::new();
    for path in entries_in(&store.scratch())? {
        if held::is_free(&lock_of(&path))? {
            abandoned.push(path);
        }
    }
    Ok(abandoned)
}

fn lock_of(path: &Path) -> PathBuf {
    path.with_extension(LOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_store_is_abandoned_when_its_process_is_dead() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let scratch = ScratchStore::new(&store).unwrap();
        assert_eq!(abandoned(&store).unwrap(), [""; 0].map(PathBuf::from));
        let (path, lock) = (scratch.folder.clone(), scratch.lock.clone());
        // As a process that is killed: nothing is removed, and the lock is free.
        let scratch = std::mem::ManuallyDrop::new(scratch);
        rustix::fs::flock(&scratch._held, rustix::fs::FlockOperation::Unlock).unwrap();
        assert_eq!(abandoned(&store).unwrap(), [path, lock]);
        drop(std::mem::ManuallyDrop::into_inner(scratch));
        assert_eq!(fs::read_dir(store.scratch()).unwrap().count(), 0);
    }
}
