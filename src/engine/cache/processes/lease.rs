//! What running processes use: each run lists the fingerprints that it needs in a file that it
//! keeps locked, so that `gc` beside it removes none of them. A lease whose lock is free belongs to
//! a run that is over.
//!
//! Some file systems keep the locks of each machine to itself. So a lease says on which machine it
//! was made, and that of another one also counts while it was touched within the last hour, which
//! runs do every minute.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use fs_err as fs;

use crate::base::digest::Digest;
use crate::base::{fault, held, untrusted};
use crate::cache::processes::locks::{self, Guard, Holder};
use crate::cache::store::Store;

const SUFFIX: &str = "lease";
/// Starts the first line: on which machine the run is.
const MACHINE: &str = "on ";
/// How often a run touches its lease.
const TOUCHED: Duration = Duration::from_secs(60);
/// So long another machine's lease counts after it was touched, though its lock looks free.
const BELIEVED: Duration = Duration::from_secs(3_600);

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
    /// Its end ends the touching.
    _touching: Sender<()>,
}

impl Lease {
    pub fn begin(store: &Store) -> Result<Lease> {
        let gate = gate(store);
        // Held while the lease is made: `gc` sees it locked or not at all.
        let _gate = Guard::shared(&gate)?;
        fault::at("lease.create", &store.locks())?;
        let (file, path) = held::create(&store.locks(), |name| format!("run-{name}.{SUFFIX}"))?;
        let lease = Lease {
            file,
            _touching: keep_touching(path.clone()),
            path,
            gate,
        };
        (&lease.file).write_all(format!("{MACHINE}{}\n", machine()).as_bytes())?;
        Ok(lease)
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
        if let Some(list) = list_of_the_living(&path)? {
            used.extend(list.lines().filter_map(|line| line.parse::<Digest>().ok()));
        }
    }
    Ok(used)
}

/// Leases that dead runs left. Call it with the gate held exclusively.
pub(crate) fn dead(store: &Store) -> Result<Vec<PathBuf>> {
    let mut dead = Vec::new();
    for path in files(store)? {
        if list_of_the_living(&path)?.is_none() {
            dead.push(path);
        }
    }
    Ok(dead)
}

/// A lease's text; `None` when its run is over.
fn list_of_the_living(path: &Path) -> Result<Option<String>> {
    let is_free = locks::is_free(path)?;
    let list = match untrusted::read_text(path, untrusted::MAXIMAL_RECORD) {
        Ok(list) => list,
        // The run ended in between: it needs nothing any more.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let first = list
        .lines()
        .next()
        .and_then(|line| line.strip_prefix(MACHINE));
    let is_elsewhere = first.is_some_and(|machine| machine != self::machine());
    let is_over = is_free && !(is_elsewhere && was_touched_lately(path));
    Ok((!is_over).then_some(list))
}

fn was_touched_lately(path: &Path) -> bool {
    let touched = fs::metadata(path).and_then(|metadata| metadata.modified());
    let age = touched.map(|touched| SystemTime::now().duration_since(touched));
    // A time in the future is late enough: clocks of machines differ.
    age.is_ok_and(|age| age.map_or(true, |age| age < BELIEVED))
}

/// Which machine this is, containers on it included: those share its locks.
fn machine() -> String {
    const BOOT: &str = "/proc/sys/kernel/random/boot_id";
    match fs::read_to_string(BOOT) {
        Ok(boot) => boot.trim().to_owned(),
        Err(_) => Holder::here("").host,
    }
}

/// Touches the file every minute until what it gives is dropped.
fn keep_touching(path: PathBuf) -> Sender<()> {
    let (sender, receiver) = channel::<()>();
    let touch = move || {
        while receiver.recv_timeout(TOUCHED) == Err(RecvTimeoutError::Timeout) {
            let file = fs::OpenOptions::new().write(true).open(&path);
            // Nothing is lost on this machine: the lock is what counts here.
            let _ = file.and_then(|file| file.file().set_modified(SystemTime::now()));
        }
    };
    // Without it the lease serves its own machine.
    drop(
        std::thread::Builder::new()
            .name("lease".to_owned())
            .spawn(touch),
    );
    sender
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
        let used = Digest::of(b"1");
        for machine in ["", &format!("{MACHINE}{}\n", machine())] {
            fs::write(&path, format!("{machine}{used}\n")).unwrap();
            assert!(in_use(&store).unwrap().is_empty());
            assert_eq!(dead(&store).unwrap(), std::slice::from_ref(&path));
        }
    }

    #[test]
    fn another_machines_lease_counts_until_it_was_not_touched_for_long() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        store.prepare().unwrap();
        let path = store.locks().join("run-1-0.lease");
        let used = Digest::of(b"1");
        fs::write(&path, format!("{MACHINE}elsewhere\n{used}\n")).unwrap();
        assert_eq!(in_use(&store).unwrap(), BTreeSet::from([used]));
        assert!(dead(&store).unwrap().is_empty());
        let long_ago = SystemTime::now() - BELIEVED;
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.file().set_modified(long_ago).unwrap();
        assert!(in_use(&store).unwrap().is_empty());
        assert_eq!(dead(&store).unwrap(), [path]);
    }

    /// Two containers give their first processes equal numbers.
    #[test]
    fn a_lease_is_a_file_of_its_own_whatever_the_process_number() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        store.prepare().unwrap();
        let first = Lease::begin(&store).unwrap();
        let used = Digest::of(b"1");
        first.use_while(used, || Ok(())).unwrap();
        let second = Lease::begin(&store).unwrap();
        assert_ne!(first.path, second.path);
        let number = std::process::id().to_string();
        for path in files(&store).unwrap() {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            assert!(name.split('-').all(|part| part != number), "{name}");
        }
        drop(second);
        assert_eq!(in_use(&store).unwrap(), BTreeSet::from([used]));
    }
}
