//! Objects of a remote in a folder, as files that are there wholly or not at all.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Writes an object and waits for the disk before it gets its name: a power cut must leave no
/// name that stands for other bytes, since what is there is not written again.
///
/// # Errors
/// Also when `source` can't be read; then the object is what it was.
pub(crate) fn write(path: &Path, source: &mut dyn Read) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)?;
    let (staged, mut file) = staged(path)?;
    let written = io::copy(source, &mut file)
        .and_then(|_| file.sync_all())
        .and_then(|()| fs::rename(&staged, path));
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&staged);
    }
    written.and_then(|()| File::open(folder)?.sync_all())
}

/// A new file beside `path`, with a name that the `object_store` crate takes for no object.
fn staged(path: &Path) -> io::Result<(PathBuf, File)> {
    let mut number = 1_u64;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!("#{number}"));
        let staged = PathBuf::from(name);
        match File::options().write(true).create_new(true).open(&staged) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            opened => return Ok((staged, opened?)),
        }
    }
}
