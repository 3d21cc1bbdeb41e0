//! A cached file on its way out: hashed while it is read, so that damage never travels.

use std::io::{self, Read};
use std::path::PathBuf;

use fs_err as fs;

use crate::base::cancel;
use crate::base::digest::Digest;
use crate::kind::observer::Progress;

/// A file that is to be there.
pub(crate) struct Blob {
    pub path: PathBuf,
    pub bytes: u64,
    pub blake3: Digest,
    /// For messages: `images/part-00000.parquet`.
    pub file: String,
}

/// A file that is hashed while it is read, and whose last read fails when it isn't what its
/// manifest says.
pub(crate) struct HashedFile<'a> {
    file: fs::File,
    blob: &'a Blob,
    hasher: blake3::Hasher,
    length: u64,
    progress: Progress<'a>,
    /// What was expected and found, once it is known to be something else.
    pub damage: Option<String>,
}

impl<'a> HashedFile<'a> {
    /// - `progress`: hears of the bytes read
    pub fn open(blob: &'a Blob, progress: Progress<'a>) -> io::Result<Self> {
        Ok(HashedFile {
            file: fs::File::open(&blob.path)?,
            blob,
            hasher: blake3::Hasher::new(),
            length: 0,
            progress,
            damage: None,
        })
    }

    fn damaged(&mut self, expected: String, found: String) -> io::Error {
        let message = format!("expected {expected}, got {found}");
        let error = io::Error::new(
            io::ErrorKind::InvalidData,
            format!("`{}`: {message}", self.blob.file),
        );
        self.damage = Some(message);
        error
    }
}

impl Read for HashedFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if cancel::requested() {
            return Err(io::Error::other(cancel::Cancelled));
        }
        let count = self.file.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.length += count as u64;
        self.progress.advance(count as u64);
        if buffer.is_empty() || (count > 0 && self.length <= self.blob.bytes) {
            return Ok(count);
        }
        if self.length != self.blob.bytes {
            let (expected, found) = (self.blob.bytes, self.length);
            return Err(self.damaged(format!("{expected} bytes"), format!("{found} bytes")));
        }
        let found = Digest(*self.hasher.finalize().as_bytes());
        if found != self.blob.blake3 {
            return Err(self.damaged(
                format!("BLAKE3 {}", self.blob.blake3),
                format!("BLAKE3 {found}"),
            ));
        }
        Ok(0)
    }
}
