//! One worker's folder in a draft that several fill: `attempts/<name>/<slot>/`, beside a lock that
//! the worker holds. Parts are written there and renamed into the draft's content when their shard is
//! finished, so that a worker that was stopped, or two with the same shard, never leave half a part
//! among the finished ones.

use std::path::{Path, PathBuf};

use anyhow::Result;
use fs_err as fs;

use crate::base::{durable, fault, held};

const ATTEMPTS: &str = "attempts";
const LOCK: &str = "lock";

/// A worker's own folder; dropping it removes it.
#[derive(Debug)]
pub(crate) struct Attempt {
    folder: PathBuf,
    lock: PathBuf,
    _held: fs::File,
}

impl Attempt {
    /// - `slots`: names of the outputs
    pub fn begin(draft: &Path, slots: &[&str]) -> Result<Attempt> {
        let attempts = draft.join(ATTEMPTS);
        fault::at("attempt.create", &attempts)?;
        fs::create_dir_all(&attempts)?;
        let (held, lock) = held::create(&attempts, |name| format!("{name}.{LOCK}"))?;
        let folder = lock.with_extension("");
        for slot in slots {
            fs::create_dir_all(folder.join(slot))?;
        }
        Ok(Attempt {
            folder,
            lock,
            _held: held,
        })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes a finished part one of the draft's.
    pub fn hand_over(&self, slot: &str, name: &str, content: &Path) -> Result<()> {
        let place = content.join(slot).join(name);
        fault::at("attempt.rename", &place)?;
        Ok(fs::rename(self.folder.join(slot).join(name), place)?)
    }

    /// Removes a part that somebody else has finished meanwhile.
    pub fn forget(&self, slot: &str, name: &str) -> Result<()> {
        Ok(fs::remove_file(self.folder.join(slot).join(name))?)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        // What stays has a free lock, and goes with the next one who opens the draft.
        let _ = fs::remove_dir_all(&self.folder);
        let _ = fs::remove_file(&self.lock);
    }
}

/// Removes the folders of workers that are over.
pub(crate) fn clear(draft: &Path) -> Result<()> {
    let attempts = draft.join(ATTEMPTS);
    if !attempts.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(&attempts)? {
        let path = entry?.path();
        let lock = path.with_extension(LOCK);
        if path.is_dir() && held::is_free(&lock)? {
            fs::remove_dir_all(&path)?;
            held::remove_free(&lock)?;
        }
    }
    // Another worker's stay.
    let _ = fs::remove_dir(&attempts);
    Ok(())
}

/// What a worker has told when it ended: outside every digest.
pub(crate) fn told_path(draft: &Path, share: usize) -> PathBuf {
    draft.join(format!("told-{share:05}.json"))
}

/// Whether a file of a draft's folder is one of [`told_path`]'s.
pub(crate) fn is_told(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with("told-")) && !durable::is_temporary(path)
}
