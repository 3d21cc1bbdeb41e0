//! What may be left in a cache when nothing runs: no draft, no temporary, no lock, no lease, no
//! trash.

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::sandbox::Sandbox;

/// The one file of the locks that stays: what `gc` and runs meet at.
const GATE: &str = "gc.gate";

/// Start of the names of files that are being written.
const TEMPORARY_PREFIX: &str = ".seedpipe-tmp-";

/// Lets `gc` clear what crashes left, as if they were hours ago, and makes sure that nothing is
/// left.
pub fn clear(sandbox: &Sandbox, context: &str) {
    age(&sandbox.path(".seedpipe"));
    for entry in fs_err::read_dir(sandbox.path("")).unwrap() {
        age(&entry.unwrap().path()); // a temporary of pipeline.lock
    }
    sandbox.run(&["gc"]).succeeded();
    for folder in ["drafts", "trash"] {
        assert_eq!(
            sandbox.cache_entries(folder),
            [""; 0],
            "{context}: {folder}"
        );
    }
    assert_eq!(sandbox.cache_entries("locks"), [GATE], "{context}");
    let strays: Vec<String> = sandbox
        .cache_entries("..")
        .into_iter()
        .chain(names_in(&sandbox.path("")))
        .filter(|entry| entry.contains(TEMPORARY_PREFIX))
        .collect();
    assert_eq!(strays, [""; 0], "{context}");
}

/// Sets the modification times of a file or folder, and of all that is in it, two hours back: `gc`
/// leaves what is young.
pub fn age(path: &Path) {
    set_times(path, SystemTime::now() - Duration::from_secs(7_200));
}

/// Sets the modification times of a file or folder, and of all that is in it.
pub fn set_times(path: &Path, moment: SystemTime) {
    if path.is_dir() {
        for entry in fs_err::read_dir(path).unwrap() {
            set_times(&entry.unwrap().path(), moment);
        }
    }
    let file = fs_err::File::open(path).unwrap();
    file.file().set_modified(moment).unwrap();
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}
