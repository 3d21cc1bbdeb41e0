//! The event files of one training: what they hold of earlier runs, and the file that this one
//! writes.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use fs_err as fs;

use super::{event, record};

const START: &str = "events.out.tfevents.";
/// In bytes: millions of steps.
const LARGEST: u64 = 256 << 20;

pub struct EventFile {
    folder: PathBuf,
    /// Steps that were done when it began.
    step: u64,
    /// None before the first event.
    file: Option<File>,
}

impl EventFile {
    /// Takes later steps out of the files that are there, and what a crash tore; with step 0, all.
    /// What is too large to be of a training is left alone.
    ///
    /// # Errors
    /// When the files can't be read or changed.
    pub fn after(folder: &Path, step: u64) -> io::Result<EventFile> {
        for path in files(folder)? {
            if fs::metadata(&path)?.len() > LARGEST {
                continue;
            }
            let bytes = fs::read(&path)?;
            let kept = match step {
                0 => 0,
                step => sound_until(&bytes, step),
            };
            if kept == 0 {
                fs::remove_file(&path)?;
            } else if kept < bytes.len() {
                fs::OpenOptions::new()
                    .write(true)
                    .open(&path)?
                    .set_len(kept as u64)?;
            }
        }
        Ok(EventFile {
            folder: folder.to_owned(),
            step,
            file: None,
        })
    }

    /// Appends an event. It is not fsynced: after a power cut the last ones may be missing.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write_scalars(&mut self, step: u64, scalars: &[(String, f64)]) -> io::Result<()> {
        let now = now();
        let mut bytes = Vec::new();
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                record::push(&mut bytes, &event::version(now));
                if self.step > 0 {
                    record::push(&mut bytes, &event::restart(now, self.step + 1));
                }
                self.file.insert(create(&self.folder, now)?)
            }
        };
        record::push(&mut bytes, &event::scalars(now, step, scalars));
        file.write_all(&bytes)
    }
}

/// A new file whose name comes after those that are there: TensorBoard reads them in this order.
fn create(folder: &Path, now: f64) -> io::Result<File> {
    fs::create_dir_all(folder)?;
    let last = files(folder)?.pop();
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy().replace('/', "_");
    let process = std::process::id();
    let mut second = now as u64;
    loop {
        let path = folder.join(format!("{START}{second:010}.{host}.{process}"));
        if last.as_ref().is_none_or(|last| *last < path) {
            return File::create_new(path);
        }
        second += 1;
    }
}

/// Bytes of the records up to the last one that counts; 0 when none holds more than the file's
/// version.
fn sound_until(bytes: &[u8], step: u64) -> usize {
    let (mut end, mut has_content) = (0, false);
    while let Some((event, length)) = record::first(&bytes[end..]) {
        match event::read(event) {
            Some(stored) if stored.step <= step => has_content |= stored.has_content,
            _ => break,
        }
        end += length;
    }
    if has_content { end } else { 0 }
}

/// Sorted by name.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        let is_file = entry.file_type()?.is_file();
        if is_file && entry.file_name().to_string_lossy().starts_with(START) {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps of the scalars in all files.
    fn steps(folder: &Path) -> Vec<u64> {
        let mut steps = Vec::new();
        for path in files(folder).unwrap() {
            let bytes = fs::read(path).unwrap();
            let mut rest = bytes.as_slice();
            while let Some((event, length)) = record::first(rest) {
                let stored = event::read(event).unwrap();
                // A restart's event is no scalar: it has fewer than 20 bytes.
                if stored.has_content && event.len() > 20 {
                    steps.push(stored.step);
                }
                rest = &rest[length..];
            }
            assert!(rest.is_empty());
        }
        steps
    }

    fn write(folder: &Path, after: u64, steps: &[u64]) {
        let mut file = EventFile::after(folder, after).unwrap();
        for step in steps {
            let scalars = [("train/loss".to_owned(), *step as f64)];
            file.write_scalars(*step, &scalars).unwrap();
        }
    }

    #[test]
    fn a_training_that_goes_on_leaves_each_step_once() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        write(folder, 0, &[1, 2, 3, 4, 5]);
        // Killed in the middle of a record.
        let path = files(folder).unwrap().pop().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend(&bytes.clone()[..20]);
        fs::write(&path, bytes).unwrap();
        write(folder, 3, &[4, 5, 6]);
        assert_eq!(steps(folder), [1, 2, 3, 4, 5, 6]);
        assert_eq!(files(folder).unwrap().len(), 2);
        // Again, before the second file's first step: that file goes.
        write(folder, 2, &[3, 4]);
        assert_eq!(steps(folder), [1, 2, 3, 4]);
        write(folder, 0, &[1]);
        assert_eq!(steps(folder), [1]);
    }

    #[test]
    fn nothing_is_written_before_something_is_measured() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("student");
        EventFile::after(&folder, 0).unwrap();
        assert!(!folder.exists());
    }
}
