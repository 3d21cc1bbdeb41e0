//! Files that are either wholly there or not at all, whatever moment the machine dies at.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use fs_err as fs;

use crate::base::fault;

/// Start of the names of files that are still being written; `gc` clears those that a crash left.
pub(crate) const TEMPORARY_PREFIX: &str = ".seedpipe-tmp-";

/// Writes `bytes` beside `path`, fsyncs, renames over `path` and fsyncs the folder.
///
/// # Errors
/// When any of that fails; then `path` is what it was, and nothing is left beside it unless that
/// can't be removed either.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with(path, bytes, true)
}

/// Writes like [`write`] without waiting for the disk: after a power cut the file may be the old
/// one, empty or torn. For what carries a checksum and can be made anew.
pub(crate) fn write_lightly(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with(path, bytes, false)
}

fn write_with(path: &Path, bytes: &[u8], is_durable: bool) -> io::Result<()> {
    let temporary = temporary_in(folder_of(path));
    let subject = subject_of(path);
    let point = |step: &str| match cfg!(debug_assertions) {
        true => fault::at(&format!("{subject}.{step}"), path),
        false => Ok(()), // not even the name is made
    };
    let written = (|| {
        point("create")?;
        let mut file = fs::File::create(&temporary)?;
        point("write")?;
        file.write_all(bytes)?;
        if is_durable {
            point("fsync")?;
            file.sync_all()?;
        }
        point("rename")?;
        fs::rename(&temporary, path)?;
        if is_durable {
            point("fsync-folder")?;
            sync_folder(folder_of(path))?;
        }
        Ok(())
    })();
    if written.is_err() && temporary.exists() {
        // The first error is the one to report; what cannot be removed now is cleared by `gc`.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Writes like [`write`], unless the file already holds exactly `bytes`. Returns whether it wrote.
pub(crate) fn write_if_changed(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    match fs::read(path) {
        Ok(found) if found == bytes => Ok(false),
        Ok(_) => write(path, bytes).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fault::at("folder.create", folder_of(path))?;
            fs::create_dir_all(folder_of(path))?;
            write(path, bytes).map(|()| true)
        }
        Err(error) => Err(error),
    }
}

/// What a file is, for the names of fault points: `manifest`, `shard`, `pipeline-lock`.
fn subject_of(path: &Path) -> &str {
    let mut names = path
        .ancestors()
        .filter_map(|part| part.file_name()?.to_str());
    let own = names.next().unwrap_or_default();
    let parents: Vec<&str> = names.take(2).collect();
    match own.split_once('.').unwrap_or((own, "")) {
        ("manifest", "json") => "manifest",
        ("draft", "json") => "draft",
        (_, "lock") => "pipeline-lock",
        (_, "safetensors") => "checkpoint",
        (shard, "json") if shard.starts_with("shard-") => "shard",
        _ if parents.contains(&"history") => "history",
        _ if parents.contains(&"stat") => "stat",
        _ if parents.contains(&"seals") => "seal",
        _ => "file",
    }
}

/// Makes renames and new entries in `folder` survive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// The folder that holds `path`; `.` for a bare file name.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Whether a file is being written, or was when its process died; `None` for other files.
pub fn is_being_written(path: &Path) -> Option<bool> {
    let name = path.file_name()?.to_str()?;
    let process = name.strip_prefix(TEMPORARY_PREFIX)?.split('-').next()?;
    let process = process
        .parse()
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    // Asking a process that is not ours may be refused: then it is alive.
    Some(process.is_some_and(|process| {
        rustix::process::test_kill_process(process) != Err(rustix::io::Errno::SRCH)
    }))
}

/// A name in `folder` that says which process uses it: see [`is_being_written`].
pub(crate) fn temporary_in(folder: &Path) -> PathBuf {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    folder.join(format!("{TEMPORARY_PREFIX}{process}-{count}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fact.json");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn temporaries_of_live_processes_are_told_from_those_of_dead_ones() {
        let live = temporary_in(Path::new("folder"));
        assert_eq!(is_being_written(&live), Some(true));
        let dead = format!("folder/{TEMPORARY_PREFIX}{}-0", i32::MAX);
        assert_eq!(is_being_written(Path::new(&dead)), Some(false));
        assert_eq!(is_being_written(Path::new("folder/fact.json")), None);
    }

    #[test]
    fn unchanged_bytes_are_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deeper/fact.json");
        assert!(write_if_changed(&path, b"one").unwrap());
        assert!(!write_if_changed(&path, b"one").unwrap());
        assert!(write_if_changed(&path, b"two").unwrap());
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_temporary_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("folder");
        fs::create_dir(&path).unwrap();
        assert!(write(&path, b"one").is_err());
        assert!(path.is_dir());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
