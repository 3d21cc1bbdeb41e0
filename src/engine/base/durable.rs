//! Files that are either wholly there or not at all, whatever moment the machine dies at.

use std::io::{self, Write};
use std::path::Path;

use fs_err as fs;

use crate::base::fault;
use crate::base::held;
use crate::base::untrusted;

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
    let mut temporary = None;
    let subject = subject_of(path);
    let point = |step: &str| match cfg!(debug_assertions) {
        true => fault::at(&format!("{subject}.{step}"), path),
        false => Ok(()), // not even the name is made
    };
    let written = (|| {
        point("create")?;
        let (mut file, made) =
            held::create(folder_of(path), |name| format!("{TEMPORARY_PREFIX}{name}"))?;
        let made = temporary.insert(made);
        point("write")?;
        file.write_all(bytes)?;
        if is_durable {
            point("fsync")?;
            file.sync_all()?;
        }
        point("rename")?;
        fs::rename(made, path)?;
        if is_durable {
            point("fsync-folder")?;
            sync_folder(folder_of(path))?;
        }
        Ok(())
    })();
    if let (Err(_), Some(temporary)) = (&written, temporary) {
        // The first error is the one to report; what cannot be removed now is cleared by `gc`.
        let _ = fs::remove_file(temporary);
    }
    written
}

/// Writes like [`write`], unless the file already holds exactly `bytes`. Returns whether it wrote.
pub(crate) fn write_if_changed(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    match untrusted::read(path, bytes.len() as u64) {
        Ok(found) if found == bytes => Ok(false),
        // Longer, say.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            write(path, bytes).map(|()| true)
        }
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
        ("reached", "json") => "reached",
        (_, "lock") => "pipeline-lock",
        (_, "safetensors") => "checkpoint",
        (shard, "json") if shard.starts_with("shard-") => "shard",
        _ if parents.contains(&"history") => "history",
        _ if parents.contains(&"stat") => "stat",
        _ if parents.contains(&"seals") => "seal",
        _ => "file",
    }
}

/// Makes `path` another name of a finished file, which lies on the disk once then. `false` where that
/// cannot be: the file has gone, or the file system or another owner's file allows no second name.
pub(crate) fn second_name(stored: &Path, path: &Path) -> bool {
    let linked = fault::at("part.link", path).and_then(|()| fs::hard_link(stored, path));
    linked.is_ok()
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

/// Whether the name is that of a file that is being written, or was when its process died.
pub(crate) fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(TEMPORARY_PREFIX))
}

/// Removes a half-written file whose process is dead; leaves all others.
///
/// # Errors
/// When it can't be removed. Where locks can't be asked it stays.
pub fn remove_abandoned(path: &Path) -> io::Result<()> {
    match is_temporary(path) && held::is_free(path).unwrap_or(false) {
        true => held::remove_free(path).map(drop),
        false => Ok(()),
    }
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
    fn what_the_dead_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let name = |name: &str| format!("{TEMPORARY_PREFIX}{name}");
        let (live, held) = held::create(folder.path(), name).unwrap();
        let dead = folder.path().join(name("dead"));
        let other = folder.path().join("fact.json");
        for path in [&dead, &other] {
            fs::write(path, "x").unwrap();
        }
        for path in [&held, &dead, &other] {
            remove_abandoned(path).unwrap();
        }
        assert_eq!(
            [&held, &dead, &other].map(|path| path.exists()),
            [true, false, true]
        );
        drop(live);
        remove_abandoned(&held).unwrap();
        assert!(!held.exists());
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
