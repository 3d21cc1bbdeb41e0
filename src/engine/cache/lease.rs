//! What running processes use: each run lists the fingerprints that it needs in a file that it
//! keeps locked, so that `gc` beside it removes none of them. A lease whose lock is free belongs to
//! a run that is over.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, bail};
use fs_err as fs;
use rustix::fs::{FlockOperation, flock};

use crate::base::digest::Digest;
use crate::base::fault;
use crate::cache::locks::{self, Guard};
use crate::cache::store::Store;

const SUFFIX: &str = "lease";

/// The file whose lock `gc` takes exclusively while it removes, and a run shared while it looks.
pub(crate) fn gate(store: &Store) -> PathBuf {
    store.locks().join("gc.gate")
}

/// One run's list; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Lease {
    file: fs::File,
    path: PathBuf,
    gate: PathBuf,
}

impl Lease {
    pub fn begin(store: &Store) -> Result<Lease> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let gate = gate(store);
        let _gate = Guard::shared(&gate)?;
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = store
            .locks()
            .join(format!("run-{}-{count}.{SUFFIX}", std::process::id()));
        fault::at("lease.create", &path)?;
        let file = fs::File::create(&path)?;
        if let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            bail!(
                "lease `{}`: expected to lock it, got: {error}",
                path.display()
            );
        }
        Ok(Lease { file, path, gate })
    }

    /// Lists the fingerprint, then looks: what `look` finds stays there until the lease ends. It
    /// looks without the gate, since it may hash: a `gc` that comes after reads the list, one that
    /// came before is done.
    pub(crate) fn use_while<T>(
        &self,
        fingerprint: Digest,
        look: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let gate = Guard::shared(&self.gate)?;
        fault::at("lease.write", &self.path)?;
        (&self.file).write_all(format!("{fingerprint}\n").as_bytes())?;
        drop(gate);
        look()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // A lease that cannot be removed is unlocked by the kernel, and `gc` clears it.
        let _ = fault::point("lease.remove").and_then(|()| fs::remove_file(&self.path));
    }
}

/// What the runs that are alive use. Call it with the gate held exclusively.
pub(crate) fn in_use(store: &Store) -> Result<BTreeSet<Digest>> {
    let mut used = BTreeSet::new();
    for path in files(store)? {
        if locks::is_free(&path)? {
            continue;
        }
        match fs::read_to_string(&path) {
            Ok(list) => used.extend(list.lines().filter_map(|line| line.parse::<Digest>().ok())),
            // The run ended in between: it needs nothing any more.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(used)
}

/// Leases that dead runs left. Call it with the gate held exclusively.
pub(crate) fn dead(store: &Store) -> Result<Vec<PathBuf>> {
    let mut dead = Vec::new();
    for path in files(store)? {
        if locks::is_free(&path)? {
            dead.push(path);
        }
    }
    Ok(dead)
}

fn files(store: &Store) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if store.locks().exists() {
        for entry in fs::read_dir(store.locks())? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == SUFFIX)
            {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_lists_what_is_used_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        store.prepare().unwrap();
        let (first, second) = (Digest::of(b"1"), Digest::of(b"2"));
        let lease = Lease::begin(&store).unwrap();
        assert_eq!(lease.use_while(first, || Ok(7)).unwrap(), 7);
        lease.use_while(second, || Ok(())).unwrap();
        assert_eq!(in_use(&store).unwrap(), BTreeSet::from([first, second]));
        drop(lease);
        assert!(in_use(&store).unwrap().is_empty());
        assert!(files(&store).unwrap().is_empty());
    }

    #[test]
    fn a_dead_runs_lease_counts_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        store.prepare().unwrap();
        let path = store.locks().join("run-1-0.lease");
        fs::write(&path, format!("{}\n", Digest::of(b"1"))).unwrap();
        assert!(in_use(&store).unwrap().is_empty());
        assert_eq!(dead(&store).unwrap(), [path]);
    }
}
